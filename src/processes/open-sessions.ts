/**
 * The sessions that are open on every worker. Hides how one is opened on all of them or on none, and that what an engine
 * keeps of a model is made once.
 */
import type { SessionSpec } from '../runtime/session.js';
import type { Opened } from './protocol.js';

/** A process that sessions are opened in. */
export interface SessionHost {
  open(spec: SessionSpec): Promise<Opened>;
  close(id: string): Promise<void>;
}

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
   * Open a session on these hosts, which are all there are; one that starts later opens what is in the list. Resolves to
   * the milliseconds of its warm-ups on the first of them. Rejects with the engine's message, and then it is open on none.
   */
  async open(spec: SessionSpec, hosts: readonly SessionHost[]): Promise<readonly number[]> {
    // What an engine keeps of a model the first worker makes, and the others find: else each would make its own.
    const ahead = spec.digest === undefined ? 0 : 1;
    const results = [...(await openOn(hosts.slice(0, ahead), spec)), ...(await openOn(hosts.slice(ahead), spec))];
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) {
      await closeOn(hosts, spec.id);
      throw failed.reason;
    }
    const opened = results.find((result) => result.status === 'fulfilled')?.value;
    this.#provider = opened?.provider ?? this.#provider;
    this.#specs.set(spec.id, spec);
    return opened?.warmUpMs ?? [];
  }

  /** Close a session on these hosts, after the runs in flight. */
  async close(id: string, hosts: readonly SessionHost[]): Promise<void> {
    this.#specs.delete(id);
    await closeOn(hosts, id);
  }
}

function openOn(hosts: readonly SessionHost[], spec: SessionSpec): Promise<PromiseSettledResult<Opened>[]> {
  return Promise.allSettled(hosts.map((host) => host.open(spec)));
}

async function closeOn(hosts: readonly SessionHost[], id: string): Promise<void> {
  await Promise.allSettled(hosts.map((host) => host.close(id)));
}
