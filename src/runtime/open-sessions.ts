/**
 * The sessions that are open on every worker. Hides how one is opened on all of them or on none, and that what an engine
 * keeps of a model is made once.
 */
import type { SessionSpec } from './session.js';
import type { Opened, WorkerThread } from './worker-thread.js';

export class OpenSessions {
  readonly #specs = new Map<string, SessionSpec>();
  #provider: string | undefined;

  /** The execution provider of the session opened last; undefined before the first. */
  get provider(): string | undefined {
    return this.#provider;
  }

  list(): readonly SessionSpec[] {
    return [...this.#specs.values()];
  }

  /** Throws when it is not open. */
  get(id: string): SessionSpec {
    const spec = this.#specs.get(id);
    if (spec === undefined) throw new Error(`the session ${id} is not open`);
    return spec;
  }

  /**
   * Open a session on these threads, which are all there are; one that starts later opens what is in the list. Resolves to
   * the milliseconds of its warm-ups on the first of them. Rejects with the engine's message, and then it is open on none.
   */
  async open(spec: SessionSpec, threads: readonly WorkerThread[]): Promise<readonly number[]> {
    // What an engine keeps of a model the first worker makes, and the others find: else each would make its own.
    const ahead = spec.digest === undefined ? 0 : 1;
    const results = [...(await openOn(threads.slice(0, ahead), spec)), ...(await openOn(threads.slice(ahead), spec))];
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await closeOn(threads, spec.id);
      throw failed.reason;
    }
    const opened = results.find((result) => result.status === 'fulfilled')?.value;
    this.#provider = opened?.provider ?? this.#provider;
    this.#specs.set(spec.id, spec);
    return opened?.warmUpMs ?? [];
  }

  /** Close a session on these threads, after the runs in flight. */
  async close(id: string, threads: readonly WorkerThread[]): Promise<void> {
    this.#specs.delete(id);
    await closeOn(threads, id);
  }
}

function openOn(threads: readonly WorkerThread[], spec: SessionSpec): Promise<PromiseSettledResult<Opened>[]> {
  return Promise.allSettled(threads.map((thread) => thread.open(spec)));
}

async function closeOn(threads: readonly WorkerThread[], id: string): Promise<void> {
  await Promise.allSettled(threads.map((thread) => thread.close(id)));
}
