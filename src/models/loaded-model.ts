/**
 * One load of a model: its sessions, and who is at work with them. Every load has sessions of its own (their ids hold
 * the load's number, see compile.ts), so nothing that happens to another load of the same model touches them. Once
 * closed it never opens a session again: what came too late is told so, and leaks nothing.
 *
 * A session is a copy of the weights in each worker. The classifier stays open; of the others, which there are for every
 * output stride and edge that somebody asks for, those used last stay, as many as MAX_EXTRA_PARAMETERS allow.
 */
import { ServiceError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import type { CompiledModel } from './compile.js';
import type { View } from './dense-views.js';

/** What a loaded model needs of the worker pool. */
export interface SessionOpener {
  /** Rejects with the engine's message; then the session is open on no worker. */
  open(spec: SessionSpec): Promise<unknown>;
  close(id: string): Promise<void>;
}

/** An open session, held for somebody. */
export interface SessionLease {
  /** The session's id, when it is open. Rejects with MODEL_NOT_FOUND after the close, or the engine's message. */
  readonly opened: Promise<string>;
  /** To be called once, whatever became of `opened`. */
  readonly release: () => void;
}

/** Four bytes each, in every worker: 800 MB. A model may always have two. */
const MAX_EXTRA_PARAMETERS = 2e8;
const MIN_EXTRA_SESSIONS = 2;

interface OpenSession {
  readonly opened: Promise<string>;
  users: number;
}

export class LoadedModel {
  readonly model: CompiledModel;
  readonly #sessions: SessionOpener;
  readonly #maxExtra: number;
  /** By id; those used last come last. */
  readonly #open = new Map<string, OpenSession>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #users = new Set<Promise<unknown>>();
  #closed = false;

  constructor(model: CompiledModel, sessions: SessionOpener) {
    this.model = model;
    this.#sessions = sessions;
    this.#maxExtra = Math.max(MIN_EXTRA_SESSIONS, Math.floor(MAX_EXTRA_PARAMETERS / model.parameters));
  }

  /** Hold a view's session, opened now if it is not. It stays open until the lease is released. */
  lease({ session: spec }: Pick<View, 'session'>): SessionLease {
    if (this.#closed) {
      const gone = new ServiceError('MODEL_NOT_FOUND', `The model "${this.model.manifest.name}" is no longer loaded.`);
      return { opened: handled(Promise.reject(gone)), release: () => undefined };
    }
    const session = this.#open.get(spec.id) ?? this.#openNow(spec);
    session.users += 1;
    this.#open.delete(spec.id);
    this.#open.set(spec.id, session);
    return {
      opened: session.opened,
      release: () => {
        session.users -= 1;
        this.#closeLeastUsed();
      },
    };
  }

  /** Do something with the model; a close waits until it has settled. */
  async use<T>(work: (model: CompiledModel) => Promise<T>): Promise<T> {
    const working = work(this.model);
    this.#users.add(working);
    try {
      return await working;
    } finally {
      this.#users.delete(working);
    }
  }

  /** Wait for the users there are, then close every session. To be called when nobody new can come. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#users);
    this.#closed = true;
    for (const [id, session] of [...this.#open]) this.#closeNow(id, session);
    await Promise.all(this.#closing.values());
  }

  #openNow(spec: SessionSpec): OpenSession {
    const opening = async (): Promise<string> => {
      await this.#closing.get(spec.id);
      await this.#sessions.open(spec);
      return spec.id;
    };
    const session: OpenSession = { opened: opening(), users: 0 };
    // Closed while it was opened, it may have a successor by now, which stays.
    session.opened.catch(() => {
      if (this.#open.get(spec.id) === session) this.#open.delete(spec.id);
    });
    return session;
  }

  /** When it is open. Never rejects: a session that does not close has no worker any more. */
  #closeNow(id: string, { opened }: OpenSession): void {
    this.#open.delete(id);
    const ended = (): void => void this.#closing.delete(id);
    this.#closing.set(id, opened.then(() => this.#sessions.close(id)).then(ended, ended));
  }

  #closeLeastUsed(): void {
    const extra = [...this.#open].filter(([id]) => id !== this.model.classifier.session.id);
    const unused = extra.filter(([, { users }]) => users === 0);
    const surplus = Math.max(0, extra.length - this.#maxExtra);
    for (const [id, session] of unused.slice(0, surplus)) this.#closeNow(id, session);
  }
}

/** The promise, whose rejection nobody need wait for. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
