/**
 * The models by name, and the choice of the one that answers. A model that cannot be loaded stays listed with the
 * reason, and harms no other. model-versions.ts has the versions of a model, model-slot.ts hides the life cycle of one of them,
 * model-memory.ts who is unloaded for whom, load-model.ts the steps of a load.
 *
 * Each load has its own sessions (loaded-model.ts): during reloads and unloads, requests keep the sessions that they
 * began with, and no load closes another's sessions.
 */
import pLimit from 'p-limit';
import { ServiceError, UsageError, type ErrorCode } from '../errors.js';
import type { CompiledModel } from './compile.js';
import type { View } from './dense-views.js';
import { createModelLoader, type LoadOptions, type ModelLoader } from './load-model.js';
import type { LoadedModel, SessionLease } from './loaded-model.js';
import type { FolderFinder } from './import/import-to-cache.js';
import { findGivenModel, findModels, findVersions, prepareUntrainedFolders } from './model-folders.js';
import { ModelMemory } from './model-memory.js';
import type { LoadCounts, ModelEntry, ModelReport, ModelSlot, SlotParts } from './model-slot.js';
import { ModelVersions } from './model-versions.js';
import type { SessionRunner } from './parity.js';
import { ONE_COPY } from './weight-copies.js';

export { MODEL_STATES, type LoadCounts, type ModelEntry, type ModelReport } from './model-slot.js';

/** How a request waits for a model, if it may wait: as long as it lives. Rejects when it has ended before. */
export type Wait = <T>(loading: () => Promise<T>) => Promise<T>;

export interface UseOptions {
  /** A number, or a label. Absent: the one that answers for the model. */
  readonly version?: string | undefined;
  /** Default: for ever. */
  readonly wait?: Wait;
}

export interface Registry {
  /** All versions of all models, ready or not, by name and number. */
  list(): readonly ModelEntry[];
  /** Names of the models that were given by their paths. */
  readonly given: readonly string[];
  /** Names of what lies in the folder of models and is no model, as it was at the start. */
  readonly others: readonly string[];
  /**
   * Name of the model that answers requests without a model name, at once or when it has been loaded for them; undefined if
   * the configured default cannot, or if none is configured and no model can.
   */
  readonly defaultName: string | undefined;
  has(name: string): boolean;
  /** The entry of that name, in any state: of a version, or of the one that answers. Throws MODEL_NOT_FOUND. */
  entry(name: string, version?: string): ModelEntry;
  /** The entries of all versions, rising. Throws MODEL_NOT_FOUND. */
  versions(name: string): readonly ModelEntry[];
  /**
   * Whether a request for it may go on. Loads nothing. Throws MODEL_NOT_FOUND with what there is, and MODEL_NOT_READY for one
   * that could not be loaded just now.
   */
  check(name?: string, version?: string): void;
  /** A ready model: the named one, or the default. Throws MODEL_NOT_FOUND with the names of the ready models. */
  get(name?: string, version?: string): CompiledModel;
  /**
   * Work with a model, which is loaded before if it is one that is loaded when it is asked for. Its sessions stay open until the work
   * has settled, even if the model is unloaded. Throws as `check` does, and MODEL_NOT_FOUND if the work fails because the model's
   * files have changed.
   */
  use<T>(name: string | undefined, work: (model: CompiledModel) => Promise<T>, options?: UseOptions): Promise<T>;
  /**
   * Hold the session of one of a model's views, and open it if needed. The lease fails with MODEL_NOT_FOUND if the
   * model has been unloaded or replaced and has no users left.
   */
  lease(model: CompiledModel, view: Pick<View, 'session'>): SessionLease;
  /**
   * (Re)load a model from its folder, which may be new: one version, or all that there are now. Those that are gone are unloaded.
   * Resolves to the version that was named, or the newest. Throws MODEL_NOT_FOUND.
   */
  load(name: string, version?: string): Promise<ModelEntry>;
  /** Refuse new work for a model or a version, wait for the work in flight, and close its sessions. Throws MODEL_NOT_FOUND. */
  unload(name: string, version?: string): Promise<ModelEntry>;
  /**
   * The model at `path` is new, or something in it has changed: as `load`, of the versions that `isWhole` names, but what is loaded
   * when it is asked for waits for that. Never loads what an administrator has unloaded.
   */
  refresh(name: string, path: string, isWhole: (version: string | undefined) => boolean): Promise<void>;
  /** The model's folder is gone: unload it, and list it no more. */
  remove(name: string): Promise<void>;
  /** Of all models, as weight-copies.ts counts. */
  readonly memoryBytes: number;
  readonly counts: Readonly<LoadCounts>;
  /**
   * See every few seconds whether the files of loaded models have changed. Returns a function that ends this. A model whose
   * file was rewritten has failed. One whose file was replaced stays ready with a reason: its open sessions have the old
   * file, and none is opened from the new one.
   */
  watchFiles(): () => void;
}

export interface RegistryOptions extends LoadOptions {
  /** The folder of model folders: the setting FULLCONV_MODELS. */
  readonly folder: string;
  /** Paths of further models: model folders, and what can be imported. The first answers requests that name no model. */
  readonly given?: readonly string[];
  /** Finds the folder that a model is served from, and imports what is none. Default: every model is a folder. */
  readonly findFolder?: FolderFinder;
  /** Architectures to serve untrained, with weights written into the cache: the setting FULLCONV_UNTRAINED. */
  readonly untrained: readonly string[];
  /**
   * The setting FULLCONV_DEFAULT_MODEL. If empty, the first ready model with `default` in its manifest, otherwise the
   * first ready one.
   */
  readonly defaultModel: string;
  /** The setting FULLCONV_DEFAULT_ALIAS: another name for the model that answers requests without a name. */
  readonly defaultAlias?: string;
  /** The setting FULLCONV_MODEL_MEMORY in bytes. Absent: all models are loaded at the start, and stay. */
  readonly maxBytes?: number | undefined;
}

/** Between two looks at the files of the models. */
const WATCH_MS = 2000;

/** Errors that a model's changed files may be the cause of. */
const OF_THE_ENGINE: readonly ErrorCode[] = ['INFERENCE_FAILED', 'WORKER_LOST'];

/** While the workers open the sessions of one model, the next is read and compiled. */
const LOADS_AT_ONCE = 2;

/** Of a model that cannot be loaded whatever its users do. */
const RETRY_HOPELESS_S = 3600;

/**
 * Find the models and load them; with a bound on their memory, as many as fit, the default model first. A broken model becomes an
 * entry with state `failed`. Throws UsageError if the folder of models cannot be read, or if a model or architecture in the
 * settings does not exist.
 */
export async function createRegistry(
  options: RegistryOptions,
  sessions: SessionRunner,
  report: ModelReport = () => undefined,
): Promise<Registry> {
  const { folder, cache, untrained, given = [] } = options;
  const { models, others } = await findModels(folder);
  const found = new Map([...models, ...(await prepareUntrainedFolders(cache, untrained))]);
  const names = await addGiven(found, given);
  const defaultModel = options.defaultModel === '' ? (names[0] ?? '') : options.defaultModel;
  const registry = new Models(
    { ...options, defaultModel },
    { given: names, others },
    createModelLoader(options, sessions),
    report,
  );
  if (defaultModel !== '' && !found.has(defaultModel)) {
    const all = [...found.keys()].join(', ') || 'none';
    throw new UsageError(`FULLCONV_DEFAULT_MODEL=${defaultModel}: there is no such model; there are: ${all}`);
  }
  await registry.start(found);
  return registry;
}

/** Add the models that are named by their paths; returns their names. Throws UsageError if a name is taken. */
async function addGiven(found: Map<string, string>, given: readonly string[]): Promise<readonly string[]> {
  const names: string[] = [];
  for (const path of given) {
    const [name, place] = await findGivenModel(path, found);
    found.set(name, place);
    names.push(name);
  }
  return names;
}

class Models implements Registry {
  readonly given: readonly string[];
  readonly others: readonly string[];
  readonly counts: LoadCounts = { loads: 0, failures: 0, evictions: 0 };
  readonly #folder: string;
  readonly #default: string;
  readonly #alias: string | undefined;
  readonly #memory: ModelMemory;
  readonly #slots: SlotParts;
  readonly #models = new Map<string, ModelVersions>();
  readonly #listing = pLimit(1);
  /** Includes replaced and unloaded models, which requests in flight still use. */
  readonly #loads = new WeakMap<CompiledModel, LoadedModel>();

  constructor(
    { folder, defaultModel, defaultAlias, maxBytes, copies = ONE_COPY, findFolder = keepPath }: RegistryOptions,
    { given, others }: Pick<Registry, 'given' | 'others'>,
    loader: ModelLoader,
    report: ModelReport,
  ) {
    this.given = given;
    this.others = others;
    this.#folder = folder;
    this.#default = defaultModel;
    // An empty setting is no name: a request may have an empty one.
    this.#alias = defaultAlias === '' ? undefined : defaultAlias;
    this.#memory = new ModelMemory(maxBytes);
    this.#slots = {
      ...{ report, copies, memory: this.#memory, counts: this.counts },
      atOnce: pLimit(LOADS_AT_ONCE),
      open: async (name, from, version) => {
        const loaded = await loader(name, await findFolder(name, from), version);
        this.#loads.set(loaded.model, loaded);
        return loaded;
      },
    };
  }

  /** List these models, and load them as far as there is room: of each the version that answers, then the others. */
  async start(found: ReadonlyMap<string, string>): Promise<void> {
    for (const [name, path] of found) await this.#list(name, path, everything, () => []);
    const names = [...found.keys()];
    const isFirst = (name: string): boolean =>
      this.#default === '' ? this.#models.get(name)!.main.outline.isDefault : name === this.#default;
    const models = [...names.filter(isFirst), ...names.filter((name) => !isFirst(name))].map((name) =>
      this.#models.get(name)!,
    );
    const answering = models.map(({ main }) => main);
    const rest = models.flatMap(({ slots }) => slots.filter((slot) => !answering.includes(slot)).reverse());
    await Promise.all([...answering, ...rest].map((slot) => slot.loadIfRoom()));
  }

  list(): readonly ModelEntry[] {
    const models = [...this.#models.values()].sort((a, b) => a.name.localeCompare(b.name));
    return models.flatMap((model) => model.entries());
  }

  get defaultName(): string | undefined {
    const name = this.#impliedName();
    return name !== undefined && this.#models.get(name)?.answering() !== undefined ? name : undefined;
  }

  get memoryBytes(): number {
    return this.#memory.bytes;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  entry(name: string, version?: string): ModelEntry {
    return this.#slot(name, version).entry;
  }

  versions(name: string): readonly ModelEntry[] {
    return this.#model(name).entries();
  }

  check(name?: string, version?: string): void {
    this.#answering(name, version);
  }

  get(name?: string, version?: string): CompiledModel {
    const slot = this.#answering(name, version);
    if (slot.loaded === undefined) throw this.#notReady(slot.entry, version);
    return slot.loaded.model;
  }

  async use<T>(
    name: string | undefined,
    work: (model: CompiledModel) => Promise<T>,
    { version, wait = (loading) => loading() }: UseOptions = {},
  ): Promise<T> {
    for (;;) {
      const slot = this.#answering(name, version);
      const { loaded } = slot;
      if (loaded !== undefined && !this.#memory.isHeld(slot)) return this.#useNow(slot, loaded, work);
      if (loaded !== undefined) {
        await wait(() => this.#memory.whenLetGo());
        continue;
      }
      const release = slot.claim();
      try {
        await wait(() => slot.demand());
        // If it could not be loaded, another version may answer.
        if (slot.loaded !== undefined) return await this.#useNow(slot, slot.loaded, work);
      } finally {
        release();
      }
    }
  }

  /** The work begins at once: nothing can unload the model before. */
  async #useNow<T>(slot: ModelSlot, loaded: LoadedModel, work: (model: CompiledModel) => Promise<T>): Promise<T> {
    this.#memory.used(slot);
    try {
      return await loaded.use(work);
    } catch (error) {
      throw (await this.#changed(slot, loaded, error)) ?? error;
    } finally {
      this.#memory.settle();
    }
  }

  lease(model: CompiledModel, view: View): SessionLease {
    return this.#loads.get(model)!.lease(view);
  }

  async load(asked: string, version?: string): Promise<ModelEntry> {
    const found = this.#models.has(asked) ? undefined : (await findModels(this.#folder)).models.get(asked);
    const { name, path } = found === undefined ? this.#model(asked) : { name: asked, path: found };
    const [entry] = await this.#list(name, path, everything, (model) => {
      if (version !== undefined) return [this.#slot(name, version).load()];
      const newest = model.slots.at(-1)!;
      const others = model.slots.filter((slot) => slot !== newest);
      return [newest.load(), ...others.map((slot) => this.#again(slot))];
    });
    return entry!;
  }

  async unload(name: string, version?: string): Promise<ModelEntry> {
    const main = this.#slot(name, version);
    const unloading = await this.#listing(() => {
      const others = version === undefined ? this.#model(name).slots.filter((slot) => slot !== main) : [];
      return Promise.resolve({ entries: [main, ...others].map((slot) => slot.unload()) });
    });
    const [entry] = await Promise.all(unloading.entries);
    return entry!;
  }

  async refresh(name: string, path: string, isWhole: (version: string | undefined) => boolean): Promise<void> {
    const known = this.#models.get(name)?.slots ?? [];
    const wasLoaded = known.some(({ loaded }) => loaded !== undefined);
    await this.#list(name, path, isWhole, ({ slots }) => {
      // A new version of a model in use takes its place only when it is loaded.
      const takesOver = (slot: ModelSlot): boolean => wasLoaded && slot === slots.at(-1) && !known.includes(slot);
      return slots
        .filter((slot) => !slot.isOff && isWhole(slot.place.version))
        .map((slot) => (takesOver(slot) ? slot.load() : this.#again(slot)));
    });
  }

  async remove(name: string): Promise<void> {
    const model = this.#models.get(name);
    this.#models.delete(name);
    await Promise.all((model?.slots ?? []).map((slot) => this.#drop(slot)));
  }

  watchFiles(): () => void {
    let checking = false;
    const timer = setInterval(() => {
      if (checking) return;
      checking = true;
      const checks = [...this.#models.values()].flatMap(({ slots }) => slots.map((slot) => slot.checkFiles()));
      void Promise.allSettled(checks).finally(() => (checking = false));
    }, WATCH_MS).unref();
    return () => clearInterval(timer);
  }

  /**
   * Have the versions that lie there now, new ones if they are whole, begin `work` with them, and unload those that are gone. A model
   * that is gone as a whole stays. These go one after the other, in the order of the calls, and do not wait for the works of others.
   */
  async #list(
    name: string,
    path: string,
    isWhole: (version: string | undefined) => boolean,
    work: (model: ModelVersions) => readonly Promise<ModelEntry>[],
  ): Promise<ModelEntry[]> {
    const begun = await this.#listing(async () => {
      const model = this.#models.get(name) ?? new ModelVersions(name, path, this.#slots);
      const known = model.slots.map(({ place }) => place);
      const isKnown = (version: string | undefined): boolean => known.some((place) => place.version === version);
      const found = await findVersions(path).catch(() => []);
      const places = found.filter(({ version }) => isKnown(version) || isWhole(version));
      const nothing = known.length > 0 ? known : [{ version: undefined, path }];
      const gone = await model.place(places.length > 0 ? places : nothing);
      this.#models.set(name, model);
      return { left: gone.map((slot) => this.#drop(slot)), works: work(model) };
    });
    await Promise.all(begun.left);
    return Promise.all(begun.works);
  }

  /** Load it anew if it is loaded; else as at the start. */
  #again(slot: ModelSlot): Promise<ModelEntry> {
    return slot.loaded === undefined ? slot.loadIfRoom() : slot.load();
  }

  async #drop(slot: ModelSlot): Promise<void> {
    await slot.unload();
    this.#memory.forget(slot);
  }

  /** What to say of work that failed with `cause`, if the files of its model have changed. */
  async #changed(slot: ModelSlot, { model }: LoadedModel, cause: unknown): Promise<ServiceError | undefined> {
    if (cause instanceof ServiceError && !OF_THE_ENGINE.includes(cause.code)) return undefined;
    if ((await model.weights.findChanged()) === undefined) return undefined;
    const { name } = model.manifest;
    await slot.checkFiles();
    const detail = `The files of the model "${name}" have changed since it was loaded; it must be loaded again.`;
    return new ServiceError('MODEL_NOT_FOUND', detail, { cause });
  }

  /** The model of that name, or of that other name. */
  #find(name: string): ModelVersions | undefined {
    const model = this.#models.get(name);
    if (model !== undefined || name !== this.#alias) return model;
    const all = [...this.#models.values()];
    return this.#models.get(this.#impliedName() ?? '') ?? all.find(({ main }) => main.outline.isDefault) ?? all[0];
  }

  #model(name: string): ModelVersions {
    const model = this.#find(name);
    if (model === undefined) throw this.#unknown(name);
    return model;
  }

  /** A version, in any state. Throws MODEL_NOT_FOUND. */
  #slot(name: string, version?: string): ModelSlot {
    const model = this.#model(name);
    if (version === undefined) return model.main;
    const slot = model.find(version);
    if (slot !== undefined) return slot;
    const names = namesOfVersions(model).join(', ');
    throw new ServiceError('MODEL_NOT_FOUND', `The model "${name}" has no version ${version}; it has ${names}.`, {
      errors: [{ parameter: 'version', detail: `must be one of: ${names}` }],
    });
  }

  /** The version that answers requests for a name. Throws as `check` does. */
  #answering(name = this.#impliedName(), version?: string): ModelSlot {
    if (name === undefined) throw notFound('No model is ready.', []);
    const model = this.#find(name);
    if (model === undefined) throw notFound(`There is no model "${name}".`, this.#available());
    const slot = version === undefined ? model.answering() : this.#slot(name, version);
    if (slot?.isAvailable === true) return slot;
    throw this.#notReady((slot ?? model.main).entry, version, slot ?? model.main);
  }

  #notReady({ name, state, reason, limit }: ModelEntry, version?: string, slot?: ModelSlot): ServiceError {
    const which = version === undefined ? `The model "${name}"` : `Version ${version} of the model "${name}"`;
    if (this.#memory.maxBytes === undefined || state !== 'failed' || slot === undefined) {
      return notFound(`${which} is ${state}.`, this.#available());
    }
    const seconds = Math.max(1, Math.ceil(slot.retryInMs / 1000));
    const retryAfterS = Number.isFinite(seconds) ? seconds : RETRY_HOPELESS_S;
    return new ServiceError('MODEL_NOT_READY', `${which} could not be loaded: ${reason ?? ''}.`, {
      limit,
      retryAfterS,
    });
  }

  /** Names of the models that may be asked for. */
  #available(): string[] {
    return [...this.#models.values()].filter((model) => model.answering() !== undefined).map(({ name }) => name);
  }

  /** Name of the model for requests without a model name; it need not be ready. */
  #impliedName(): string | undefined {
    if (this.#default !== '') return this.#default;
    const available = [...this.#models.values()].filter((model) => model.answering() !== undefined);
    const wanted = available.find((model) => model.answering()!.outline.isDefault);
    return (wanted ?? available[0])?.name;
  }

  #unknown(name: string): ServiceError {
    return notFound(`There is no model "${name}".`, [...this.#models.keys()]);
  }
}

function namesOfVersions({ slots }: ModelVersions): string[] {
  return slots.flatMap(({ outline: { version, versionLabels } }) => [
    ...(version === undefined ? [] : [version]),
    ...versionLabels,
  ]);
}

const everything = (): boolean => true;

const keepPath: FolderFinder = (_, path) => Promise.resolve(path);

/** `names` are the models that may be asked for instead. */
function notFound(detail: string, names: readonly string[]): ServiceError {
  return new ServiceError('MODEL_NOT_FOUND', detail, {
    errors: [
      { parameter: 'model', detail: names.length === 0 ? 'there is none' : `must be one of: ${names.join(', ')}` },
    ],
  });
}
