/**
 * A slot for one version of a model: its loads come and go, the slot stays and tells their state. Loads and unloads run one
 * after the other. While a new load is made, the old one answers. If the new one cannot be made, the old one stays.
 *
 * With a bound on the memory of models, a version that is not loaded is loaded when it is asked for. All who ask share that
 * load. If nobody waits any more before it has begun, it is not made. After a failure it is not tried again for a while, so
 * that strangers who ask for a broken model cost nothing.
 */
import pLimit from 'p-limit';
import type { ExceededLimit } from '../errors.js';
import { GraphError } from '../graph/graph-error.js';
import type { CompiledModel } from './compile.js';
import { ModelFileError } from './files/model-file-error.js';
import type { VersionPlace } from './model-folders.js';
import type { ModelLoader } from './load-model.js';
import type { LoadedModel } from './loaded-model.js';
import type { ModelMemory, Release, Resident } from './model-memory.js';
import { outlineOf, type Outline } from './model-outline.js';
import { expectedBytes, type WeightCopies } from './weight-copies.js';

export const MODEL_STATES = ['loading', 'ready', 'unloaded', 'failed'] as const;
export type ModelState = (typeof MODEL_STATES)[number];

export interface ModelEntry {
  readonly name: string;
  readonly folder: string;
  /** Absent if it is not known before the load. */
  readonly version?: string;
  /** Other names of this version. */
  readonly versionLabels?: readonly string[];
  readonly state: ModelState;
  /** Why the model, or its newest form, is not ready. Public: it reveals nothing about the machine. */
  readonly reason?: string;
  /** The limit that it goes beyond, if that is the reason. */
  readonly limit?: ExceededLimit;
  /** Present when ready. */
  readonly model?: CompiledModel;
  /** What it takes, or before its first load what it is expected to take. */
  readonly memoryBytes?: number;
}

/** Called on each change of a model's state. `error`, which is not public, is given if a load failed. */
export type ModelReport = (entry: ModelEntry, error?: unknown) => void;

/** Of all models, since the start. */
export interface LoadCounts {
  loads: number;
  failures: number;
  /** Unloads to make room. */
  evictions: number;
}

/** What the slots of all models share. */
export interface SlotParts {
  readonly open: ModelLoader;
  readonly report: ModelReport;
  readonly memory: ModelMemory;
  readonly copies: WeightCopies;
  /** Limits the loads that are made at the same time. */
  readonly atOnce: <T>(work: () => Promise<T>) => Promise<T>;
  readonly counts: LoadCounts;
}

type Change = Pick<ModelEntry, 'state' | 'reason' | 'limit' | 'model'>;

export const ON_DEMAND = 'it is loaded when it is asked for';

/** Until a load that has failed is tried again because somebody asks: doubled with each failure. */
const RETRY_MS = 10_000;
const MAX_RETRY_MS = 600_000;

export class ModelSlot implements Resident {
  readonly #name: string;
  readonly #place: VersionPlace;
  readonly #parts: SlotParts;
  readonly #inTurn = pLimit(1);
  #outline: Outline = { version: undefined, versionLabels: [], isDefault: false, weightsBytes: 0 };
  #change: Change = { state: 'loading' };
  #loaded: LoadedModel | undefined;
  /** The loaded one, and those that are being closed. */
  readonly #loads = new Set<LoadedModel>();
  /** What the last load took when it was made; undefined if the files have changed since. */
  #measuredBytes: number | undefined;
  /** The reason in the entry, if it is that a file was replaced. */
  #replaced: string | undefined;
  /** Why it cannot be served beside the other versions. */
  #conflict: string | undefined;
  /** An administrator has unloaded it: only a load by hand brings it back. */
  #isOff = false;
  #failures = 0;
  /** By `performance.now()`. */
  #retryAt = 0;
  #claims = 0;
  #demand: { readonly loading: Promise<unknown>; readonly nobodyWaits: AbortController } | undefined;

  constructor(name: string, place: VersionPlace, parts: SlotParts) {
    this.#name = name;
    this.#place = place;
    this.#parts = parts;
  }

  get entry(): ModelEntry {
    const { version, versionLabels } = this;
    return {
      name: this.#name,
      folder: this.#place.path,
      ...(version !== undefined && { version }),
      ...(versionLabels.length > 0 && { versionLabels }),
      ...this.#change,
      memoryBytes: this.bytes === 0 ? this.#expectedBytes : this.bytes,
    };
  }

  get place(): VersionPlace {
    return this.#place;
  }

  get outline(): Outline {
    return this.#outline;
  }

  /** Of the load that answers, else of what lies in its folder. */
  get version(): string | undefined {
    return this.#loaded?.model.manifest.version ?? this.#outline.version;
  }

  get versionLabels(): readonly string[] {
    return this.#loaded === undefined ? this.#outline.versionLabels : (this.#loaded.model.manifest.versionLabels ?? []);
  }

  get isOff(): boolean {
    return this.#isOff;
  }

  /** The load whose model is in the entry; undefined if there is none. */
  get loaded(): LoadedModel | undefined {
    return this.#loaded;
  }

  /** Whether it has been loaded since its files are as they are. */
  get isProven(): boolean {
    return this.#measuredBytes !== undefined;
  }

  /** Whether a request may ask for it: it is loaded, or will be for the request. */
  get isAvailable(): boolean {
    if (this.#loaded !== undefined) return true;
    if (this.#parts.memory.maxBytes === undefined || this.#isOff) return false;
    return this.#change.state !== 'failed' || this.retryInMs <= 0;
  }

  /** Until a request may try a failed load again; Infinity if that cannot help. */
  get retryInMs(): number {
    return this.#retryAt - performance.now();
  }

  get bytes(): number {
    return [...this.#loads].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get isInUse(): boolean {
    const isChanging = this.#inTurn.activeCount + this.#inTurn.pendingCount > 0;
    const isClosing = this.#loads.size > (this.#loaded === undefined ? 0 : 1);
    return isChanging || isClosing || this.#claims > 0 || this.#loaded?.isInUse === true;
  }

  /** Read again what is known of it before a load. */
  async look(): Promise<void> {
    const before = this.#outline;
    this.#outline = await outlineOf(this.#place);
    if (this.#outline.weightsBytes !== before.weightsBytes) this.#measuredBytes = undefined;
  }

  /** Say that it cannot be served beside the others, or that it can. An old load of it goes on to answer. */
  conflict(reason: string | undefined): void {
    const had = this.#conflict;
    this.#conflict = reason;
    if (reason !== undefined && this.#loaded === undefined) this.#fail(reason, Infinity);
    else if (reason === undefined && had !== undefined && this.#loaded === undefined) this.#rest();
  }

  /** (Re)load the model from its folder. Never rejects: if the load fails, the entry tells the reason. */
  load(): Promise<ModelEntry> {
    this.#isOff = false;
    this.#measuredBytes = undefined;
    return this.#inTurn(() => this.#loadNow());
  }

  /** Load it, if there is room without unloading others; else it is loaded when it is asked for. */
  loadIfRoom(): Promise<ModelEntry> {
    this.#isOff = false;
    const { memory } = this.#parts;
    const release = memory.maxBytes === undefined ? undefined : memory.takeNow(this, this.#expectedBytes);
    if (release === undefined && memory.maxBytes !== undefined) {
      if (this.#loaded === undefined && this.#conflict === undefined) this.#rest();
      return Promise.resolve(this.entry);
    }
    return this.#inTurn(() => this.#loadNow({ release }));
  }

  /** Load it because it is asked for. Settles when that is over, whatever became of it. For holders of a claim. */
  demand(): Promise<unknown> {
    if (this.#demand === undefined) {
      const nobodyWaits = new AbortController();
      const loading = this.#inTurn(async () => {
        if (this.#loaded === undefined && !nobodyWaits.signal.aborted) {
          await this.#loadNow({ signal: nobodyWaits.signal });
        }
      });
      this.#demand = { loading, nobodyWaits };
      const over = (): void => {
        if (this.#demand?.nobodyWaits === nobodyWaits) this.#demand = undefined;
      };
      void loading.then(over, over);
    }
    return this.#demand.loading;
  }

  /** Keep it from being unloaded to make room. The returned function must be called once. */
  claim(): () => void {
    this.#claims += 1;
    return () => {
      this.#claims -= 1;
      if (this.#claims > 0) return;
      this.#demand?.nobodyWaits.abort();
      this.#demand = undefined;
      this.#parts.memory.settle();
    };
  }

  /** Refuse new work, wait for the work in flight, and close the sessions. Requests do not bring it back. */
  unload(): Promise<ModelEntry> {
    this.#isOff = true;
    this.#demand?.nobodyWaits.abort();
    this.#demand = undefined;
    return this.#inTurn(async () => {
      const before = this.#loaded;
      this.#loaded = undefined;
      const entry = this.#set({ state: 'unloaded' });
      await this.#close(before);
      return entry;
    });
  }

  evict(): Promise<void> {
    const before = this.#loaded;
    this.#loaded = undefined;
    this.#parts.counts.evictions += 1;
    this.#rest();
    return this.#close(before);
  }

  /**
   * See whether the files of the loaded model have changed. If one was rewritten, the model fails, and its sessions are
   * closed once their users are done. If one was replaced, the entry says so.
   */
  async checkFiles(): Promise<void> {
    const load = this.#loaded;
    const changed = await load?.model.weights.findChanged();
    if (load === undefined || this.#loaded !== load) return;
    const reason = changed && `${changed.messageWithin(this.#place.path)}; the model must be loaded again`;
    if (changed?.isRewritten) {
      this.#loaded = undefined;
      this.#measuredBytes = undefined;
      this.#fail(reason!, RETRY_MS, changed);
      void this.#close(load);
    } else if (
      this.#change.reason !== reason &&
      (this.#change.reason === undefined || this.#change.reason === this.#replaced)
    ) {
      this.#replaced = reason;
      this.#set({ state: 'ready', ...(reason !== undefined && { reason }), model: load.model }, changed);
    }
  }

  /** `release`: its memory is kept already. `signal`: until its load has begun, it need not be made. */
  async #loadNow({
    release,
    signal,
  }: { release?: Release | undefined; signal?: AbortSignal } = {}): Promise<ModelEntry> {
    const before = this.#loaded;
    const { memory, counts, atOnce, open } = this.#parts;
    const isAskedFor = signal !== undefined;
    if (before === undefined && !isAskedFor) this.#set({ state: 'loading' });
    await this.look();
    let giveBack: Release;
    try {
      giveBack = release ?? (await this.#takeMemory(signal));
    } catch (error) {
      if (signal?.aborted === true) return this.entry;
      return this.#failed(before, error);
    }
    if (before === undefined && isAskedFor) this.#set({ state: 'loading' });
    let loaded: LoadedModel;
    try {
      if (this.#conflict !== undefined) throw new ConflictError(this.#conflict);
      loaded = await atOnce(() => open(this.#name, this.#place.path, this.#place.version));
    } catch (error) {
      giveBack();
      return this.#failed(before, error);
    }
    this.#loaded = loaded;
    this.#loads.add(loaded);
    this.#measuredBytes = loaded.bytes;
    this.#failures = 0;
    counts.loads += 1;
    const entry = this.#set({ state: 'ready', model: loaded.model });
    memory.used(this);
    giveBack();
    await this.#close(before);
    return this.#loaded === loaded ? this.entry : entry;
  }

  #takeMemory(signal?: AbortSignal): Promise<Release> {
    const { memory } = this.#parts;
    const { maxBytes: value } = memory;
    const needed = this.#expectedBytes;
    if (value !== undefined && needed > value) throw new TooLargeError({ name: 'model_memory', value, needed });
    return memory.take(this, needed, signal);
  }

  get #expectedBytes(): number {
    return this.#measuredBytes ?? expectedBytes(this.#outline.weightsBytes, this.#parts.copies);
  }

  #failed(before: LoadedModel | undefined, error: unknown): ModelEntry {
    this.#parts.counts.failures += 1;
    const reason = publicReason(error, this.#place.path);
    // It may have failed meanwhile.
    if (before !== undefined && this.#loaded === before) {
      return this.#set({ state: 'ready', reason: `the newer version failed: ${reason}`, model: before.model }, error);
    }
    this.#failures += 1;
    const isHopeless = error instanceof TooLargeError || error instanceof ConflictError;
    const wait = isHopeless ? Infinity : Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (this.#failures - 1));
    return this.#fail(reason, wait, error);
  }

  #fail(reason: string, retryMs: number, error?: unknown): ModelEntry {
    this.#retryAt = performance.now() + retryMs;
    const limit = error instanceof TooLargeError ? error.limit : undefined;
    return this.#set({ state: 'failed', reason, ...(limit !== undefined && { limit }) }, error ?? new Error(reason));
  }

  /** Not loaded, but a request for it is welcome. */
  #rest(): ModelEntry {
    const isOnDemand = this.#parts.memory.maxBytes !== undefined;
    return this.#set({ state: 'unloaded', ...(isOnDemand && { reason: ON_DEMAND }) });
  }

  async #close(load: LoadedModel | undefined): Promise<void> {
    if (load === undefined) return;
    await load.close();
    this.#loads.delete(load);
    this.#parts.memory.settle();
  }

  #set(change: Change, error?: unknown): ModelEntry {
    this.#change = change;
    const { entry } = this;
    this.#parts.report(entry, error);
    return entry;
  }
}

/** The model alone takes more than all models may. */
class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
  readonly limit: ExceededLimit;

  constructor(limit: ExceededLimit) {
    const megabytes = (bytes = 0): string => `${Math.ceil(bytes / 2 ** 20)} MB`;
    super(`it takes ${megabytes(limit.needed)}, and all models together may take ${megabytes(limit.value)}`);
    this.limit = limit;
  }
}

/** Another version has the same number or label. */
class ConflictError extends Error {
  override readonly name = 'ConflictError';
}

/** Messages of the engine and of the file system contain paths, so they go to the log only. */
function publicReason(error: unknown, folder: string): string {
  if (error instanceof ModelFileError) return error.messageWithin(folder);
  if (error instanceof GraphError || error instanceof TooLargeError || error instanceof ConflictError) {
    return error.message;
  }
  return 'it could not be opened; the log says why';
}
