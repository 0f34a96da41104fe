/**
 * A slot for one model: its loads come and go, the slot stays and tells their state. Loads and unloads run one after
 * the other. While a new version loads, the old one answers. If the new one cannot be loaded, the old one stays.
 */
import pLimit from 'p-limit';
import { GraphError } from '../graph/graph-error.js';
import type { CompiledModel } from './compile.js';
import { ModelFileError } from './files/model-file-error.js';
import type { ModelLoader } from './load-model.js';
import type { LoadedModel } from './loaded-model.js';

export const MODEL_STATES = ['loading', 'ready', 'unloaded', 'failed'] as const;
export type ModelState = (typeof MODEL_STATES)[number];

export interface ModelEntry {
  readonly name: string;
  readonly folder: string;
  readonly state: ModelState;
  /** Why the model, or its newest version, is not ready. Public: it reveals nothing about the machine. */
  readonly reason?: string;
  /** Present when ready. */
  readonly model?: CompiledModel;
}

/** Called on each change of a model's state. `error`, which is not public, is given if a load failed. */
export type ModelReport = (entry: ModelEntry, error?: unknown) => void;

export class ModelSlot {
  readonly #name: string;
  readonly #folder: string;
  readonly #open: ModelLoader;
  readonly #report: ModelReport;
  readonly #inTurn = pLimit(1);
  #entry: ModelEntry;
  #loaded: LoadedModel | undefined;
  /** The reason in the entry, if it is that a file was replaced. */
  #replaced: string | undefined;

  constructor(name: string, folder: string, open: ModelLoader, report: ModelReport) {
    this.#name = name;
    this.#folder = folder;
    this.#open = open;
    this.#report = report;
    this.#entry = { name, folder, state: 'loading' };
  }

  get entry(): ModelEntry {
    return this.#entry;
  }

  /** The load whose model is in the entry; undefined if there is none. */
  get loaded(): LoadedModel | undefined {
    return this.#loaded;
  }

  /** (Re)load the model from its folder. Never rejects: if the load fails, the entry tells the reason. */
  load(): Promise<ModelEntry> {
    return this.#inTurn(() => this.#loadNow());
  }

  /** Refuse new work, wait for the work in flight, and close the sessions. */
  unload(): Promise<ModelEntry> {
    return this.#inTurn(async () => {
      const before = this.#loaded;
      this.#loaded = undefined;
      const entry = this.#set({ state: 'unloaded' });
      await before?.close();
      return entry;
    });
  }

  /**
   * See whether the files of the loaded model have changed. If one was rewritten, the model fails, and its sessions are
   * closed once their users are done. If one was replaced, the entry says so.
   */
  async checkFiles(): Promise<void> {
    const load = this.#loaded;
    const changed = await load?.model.weights.findChanged();
    if (load === undefined || this.#loaded !== load) return;
    const reason = changed && `${changed.messageWithin(this.#folder)}; the model must be loaded again`;
    if (changed?.isRewritten) {
      this.#loaded = undefined;
      this.#set({ state: 'failed', reason: reason! }, changed);
      void load.close();
    } else if (
      this.#entry.reason !== reason &&
      (this.#entry.reason === undefined || this.#entry.reason === this.#replaced)
    ) {
      this.#replaced = reason;
      this.#set({ state: 'ready', ...(reason !== undefined && { reason }), model: load.model }, changed);
    }
  }

  async #loadNow(): Promise<ModelEntry> {
    const before = this.#loaded;
    if (before === undefined) this.#set({ state: 'loading' });
    try {
      this.#loaded = await this.#open(this.#name, this.#folder);
    } catch (error) {
      const reason = publicReason(error, this.#folder);
      // It may have failed meanwhile.
      if (before === undefined || this.#loaded !== before) return this.#set({ state: 'failed', reason }, error);
      return this.#set({ state: 'ready', reason: `the newer version failed: ${reason}`, model: before.model }, error);
    }
    const entry = this.#set({ state: 'ready', model: this.#loaded.model });
    await before?.close();
    return entry;
  }

  #set(change: Omit<ModelEntry, 'name' | 'folder'>, error?: unknown): ModelEntry {
    this.#entry = { name: this.#name, folder: this.#folder, ...change };
    this.#report(this.#entry, error);
    return this.#entry;
  }
}

/** Messages of the engine and of the file system contain paths, so they go to the log only. */
function publicReason(error: unknown, folder: string): string {
  if (error instanceof ModelFileError) return error.messageWithin(folder);
  if (error instanceof GraphError) return error.message;
  return 'it could not be opened; the log says why';
}
