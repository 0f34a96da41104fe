/**
 * One load of a model: its sessions, and who is at work with them. Every load has sessions of its own (their ids hold
 * the load's number, see compile.ts), so nothing that happens to another load of the same model touches them. Once
 * closed it never opens a session again: what came too late is told so, and leaks nothing.
 */
import { ServiceError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import { denseView, type CompiledModel, type View } from './compile.js';

/** What a loaded model needs of the worker pool. */
export interface SessionOpener {
  /** Rejects with the engine's message; then the session is open on no worker. */
  open(spec: SessionSpec): Promise<void>;
  close(id: string): Promise<void>;
}

export class LoadedModel {
  readonly model: CompiledModel;
  readonly #sessions: SessionOpener;
  readonly #opened = new Map<View, Promise<void>>();
  readonly #users = new Set<Promise<unknown>>();
  #closed = false;

  constructor(model: CompiledModel, sessions: SessionOpener) {
    this.model = model;
    this.#sessions = sessions;
  }

  /** The id of a view's session, opened now if this is its first use. Throws MODEL_NOT_FOUND after the close. */
  async session(view: View): Promise<string> {
    if (this.#closed) {
      throw new ServiceError('MODEL_NOT_FOUND', `The model "${this.model.manifest.name}" is no longer loaded.`);
    }
    const spec = this.model.sessions[view];
    if (spec === undefined) {
      denseView(this.model);
      throw new Error(`${this.model.manifest.name} has no view "${view}"`);
    }
    const opening =
      this.#opened.get(view) ??
      this.#sessions.open(spec).catch((cause: unknown) => {
        this.#opened.delete(view);
        throw cause;
      });
    this.#opened.set(view, opening);
    await opening;
    return spec.id;
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
    await Promise.allSettled(this.#opened.values());
    const specs = [...this.#opened.keys()].map((view) => this.model.sessions[view]);
    await Promise.all(specs.map(async (spec) => spec && this.#sessions.close(spec.id)));
  }
}
