/**
 * One load of a model: its sessions and their users. Every load has its own sessions (their ids contain the load's
 * number, see compile.ts), so other loads of the same model cannot affect them. A closed load never opens a session
 * again: a late lease is refused and leaks nothing.
 *
 * A session is a copy of the weights in each worker. The session that classifies images of the model's own size stays open. Each requested output stride
 * and edge adds another one. Of these the last used stay open, as many as MAX_EXTRA_PARAMETERS allows.
 */
import { ServiceError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import { usualView, type CompiledModel } from './compile.js';
import type { View } from './dense-views.js';

/** The part of the worker pool that a loaded model uses. */
export interface SessionOpener {
  /** Rejects with the engine's message; the session is then open on no worker. */
  open(spec: SessionSpec): Promise<unknown>;
  close(id: string): Promise<void>;
}

/** A session that stays open for its holder. */
export interface SessionLease {
  /** The session's id, once it is open. Rejects with MODEL_NOT_FOUND after the close, or with the engine's error. */
  readonly opened: Promise<string>;
  /** Must be called exactly once, even if `opened` rejects. */
  readonly release: () => void;
}

/** Four bytes each, in every worker: 800 MB. Every model may have at least MIN_EXTRA_SESSIONS. */
const MAX_EXTRA_PARAMETERS = 2e8;
const MIN_EXTRA_SESSIONS = 2;

interface OpenSession {
  readonly opened: Promise<string>;
  users: number;
}

export class LoadedModel {
  readonly model: CompiledModel;
  readonly #sessions: SessionOpener;
  /** The session that stays open. */
  readonly #kept: string;
  readonly #maxExtra: number;
  /** By id, least recently used first. */
  readonly #open = new Map<string, OpenSession>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #users = new Set<Promise<unknown>>();
  readonly #sessionBytes: number;
  #closed = false;

  /** `sessionBytes`: what an open session takes, in all processes. */
  constructor(model: CompiledModel, sessions: SessionOpener, sessionBytes = 0) {
    this.model = model;
    this.#sessions = sessions;
    this.#kept = usualView(model).session.id;
    this.#sessionBytes = sessionBytes;
    this.#maxExtra = Math.max(MIN_EXTRA_SESSIONS, Math.floor(MAX_EXTRA_PARAMETERS / model.parameters));
  }

  /** Memory of its sessions, as weight-copies.ts counts it. */
  get bytes(): number {
    return this.#sessionBytes * (this.#open.size + this.#closing.size);
  }

  /** Whether somebody works with it. */
  get isInUse(): boolean {
    return this.#users.size > 0;
  }

  /** Hold a view's session, and open it if needed. It stays open until the lease is released. */
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

  /** Work with the model; `close` waits until the work has settled. */
  async use<T>(work: (model: CompiledModel) => Promise<T>): Promise<T> {
    const working = work(this.model);
    this.#users.add(working);
    try {
      return await working;
    } finally {
      this.#users.delete(working);
    }
  }

  /** Wait for the current users, then close every session. Call it only when no new users can come. */
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
    // A session that was closed while it opened may have a successor under its id, which must stay.
    session.opened.catch(() => {
      if (this.#open.get(spec.id) === session) this.#open.delete(spec.id);
    });
    return session;
  }

  /** Close a session as soon as it is open. Never rejects: a session that cannot be closed has lost its workers. */
  #closeNow(id: string, { opened }: OpenSession): void {
    this.#open.delete(id);
    const ended = (): void => {
      // A successor under its id may be closing, too: whoever opens the next one waits for that.
      if (this.#closing.get(id) === closing) this.#closing.delete(id);
    };
    const closing = opened.then(() => this.#sessions.close(id)).then(ended, ended);
    this.#closing.set(id, closing);
  }

  #closeLeastUsed(): void {
    const extra = [...this.#open].filter(([id]) => id !== this.#kept);
    const unused = extra.filter(([, { users }]) => users === 0);
    const surplus = Math.max(0, extra.length - this.#maxExtra);
    for (const [id, session] of unused.slice(0, surplus)) this.#closeNow(id, session);
  }
}

/** The promise, with its rejection marked as handled. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
