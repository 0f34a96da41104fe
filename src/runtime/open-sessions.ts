/**
 * The sessions that are open on every worker. A session is opened on all of them or on none. Hides how, and that the
 * files an engine keeps of a model are made only once.
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

  /** The spec of an open session. Throws if it is not open. */
  get(id: string): SessionSpec {
    const spec = this.#specs.get(id);
    if (spec === undefined) throw new Error(`the session ${id} is not open`);
    return spec;
  }

  /**
   * Open a session on `threads`, which must be all threads there are; a thread that starts later opens the sessions of
   * `list()`. Resolves to the milliseconds of the warm-ups on the first thread. Rejects with the engine's message; the
   * session is then open on none.
   */
  async open(spec: SessionSpec, threads: readonly WorkerThread[]): Promise<readonly number[]> {
    // The first worker makes the files that an engine keeps of a model. The others find them; otherwise each would make
    // its own.
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
