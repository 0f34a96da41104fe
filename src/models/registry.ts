/**
 * The models by name, and the choice of the one that answers. A model that cannot be loaded stays listed with the
 * reason, and harms no other. model-slot.ts hides the life cycle of one model, load-model.ts the steps of a load.
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
import { findGivenModel, findModels, prepareUntrainedFolders } from './model-folders.js';
import { ModelSlot, type ModelEntry, type ModelReport } from './model-slot.js';
import type { SessionRunner } from './parity.js';

export { MODEL_STATES, type ModelEntry, type ModelReport } from './model-slot.js';

export interface Registry {
  /** All models, ready or not, by name. */
  list(): readonly ModelEntry[];
  /** Names of the models that were given by their paths. */
  readonly given: readonly string[];
  /** Names of what lies in the folder of models and is no model, as it was at the start. */
  readonly others: readonly string[];
  /**
   * Name of the model that answers requests without a model name; undefined if the configured default is not ready, or
   * if none is configured and no model is ready.
   */
  readonly defaultName: string | undefined;
  has(name: string): boolean;
  /** The entry of that name, in any state. Throws MODEL_NOT_FOUND. */
  entry(name: string): ModelEntry;
  /** A ready model: the named one, or the default. Throws MODEL_NOT_FOUND with the names of the ready models. */
  get(name?: string): CompiledModel;
  /**
   * Work with a ready model. Its sessions stay open until the work has settled, even if the model is unloaded. Throws
   * MODEL_NOT_FOUND if the work fails because the model's files have changed.
   */
  use<T>(name: string | undefined, work: (model: CompiledModel) => Promise<T>): Promise<T>;
  /**
   * Hold the session of one of a model's views, and open it if needed. The lease fails with MODEL_NOT_FOUND if the
   * model has been unloaded or replaced and has no users left.
   */
  lease(model: CompiledModel, view: Pick<View, 'session'>): SessionLease;
  /** (Re)load a model from its folder, which may be new. Throws MODEL_NOT_FOUND. */
  load(name: string): Promise<ModelEntry>;
  /** Refuse new work for a model, wait for the work in flight, and close its sessions. Throws MODEL_NOT_FOUND. */
  unload(name: string): Promise<ModelEntry>;
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
}

/** Between two looks at the files of the models. */
const WATCH_MS = 2000;

/** Errors that a model's changed files may be the cause of. */
const OF_THE_ENGINE: readonly ErrorCode[] = ['INFERENCE_FAILED', 'WORKER_LOST'];

/** Two at start: while the workers open the sessions of one model, the next is read and compiled. */
const LOADS_AT_ONCE = 2;

/**
 * Find the models and load them. A broken model becomes an entry with state `failed`. Throws UsageError if the folder
 * of models cannot be read, or if a model or architecture in the settings does not exist.
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
  const atOnce = pLimit(LOADS_AT_ONCE);
  const slots = [...found].map(([name, from]) => registry.place(name, from));
  await Promise.all(slots.map((slot) => atOnce(() => slot.load())));
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
  readonly #folder: string;
  readonly #default: string;
  readonly #loader: ModelLoader;
  readonly #report: ModelReport;
  readonly #slots = new Map<string, ModelSlot>();
  /** Includes replaced and unloaded models, which requests in flight still use. */
  readonly #loads = new WeakMap<CompiledModel, LoadedModel>();

  constructor(
    { folder, defaultModel, findFolder = keepPath }: RegistryOptions,
    { given, others }: Pick<Registry, 'given' | 'others'>,
    loader: ModelLoader,
    report: ModelReport,
  ) {
    this.given = given;
    this.others = others;
    this.#folder = folder;
    this.#default = defaultModel;
    this.#report = report;
    this.#loader = async (name, from) => {
      const loaded = await loader(name, await findFolder(name, from));
      this.#loads.set(loaded.model, loaded);
      return loaded;
    };
  }

  /** The slot of a model; a new, empty one if there is none. */
  place(name: string, folder: string): ModelSlot {
    const slot = this.#slots.get(name) ?? new ModelSlot(name, folder, this.#loader, this.#report);
    this.#slots.set(name, slot);
    return slot;
  }

  list(): readonly ModelEntry[] {
    return this.#entries().sort((a, b) => a.name.localeCompare(b.name));
  }

  get defaultName(): string | undefined {
    const name = this.#impliedName();
    return name !== undefined && this.#slots.get(name)?.loaded !== undefined ? name : undefined;
  }

  has(name: string): boolean {
    return this.#slots.has(name);
  }

  entry(name: string): ModelEntry {
    return this.#slot(name).entry;
  }

  get(name?: string): CompiledModel {
    return this.#ready(name).model;
  }

  async use<T>(name: string | undefined, work: (model: CompiledModel) => Promise<T>): Promise<T> {
    const loaded = this.#ready(name);
    try {
      return await loaded.use(work);
    } catch (error) {
      throw (await this.#changed(loaded, error)) ?? error;
    }
  }

  lease(model: CompiledModel, view: View): SessionLease {
    return this.#loads.get(model)!.lease(view);
  }

  async load(name: string): Promise<ModelEntry> {
    const folder = this.#slots.get(name)?.entry.folder ?? (await findModels(this.#folder)).models.get(name);
    if (folder === undefined) throw this.#unknown(name);
    return this.place(name, folder).load();
  }

  async unload(name: string): Promise<ModelEntry> {
    return this.#slot(name).unload();
  }

  watchFiles(): () => void {
    let checking = false;
    const timer = setInterval(() => {
      if (checking) return;
      checking = true;
      const checks = [...this.#slots.values()].map((slot) => slot.checkFiles());
      void Promise.allSettled(checks).finally(() => (checking = false));
    }, WATCH_MS).unref();
    return () => clearInterval(timer);
  }

  /** What to say of work that failed with `cause`, if the files of its model have changed. */
  async #changed({ model }: LoadedModel, cause: unknown): Promise<ServiceError | undefined> {
    if (cause instanceof ServiceError && !OF_THE_ENGINE.includes(cause.code)) return undefined;
    if ((await model.weights.findChanged()) === undefined) return undefined;
    const { name } = model.manifest;
    await this.#slots.get(name)?.checkFiles();
    const detail = `The files of the model "${name}" have changed since it was loaded; it must be loaded again.`;
    return new ServiceError('MODEL_NOT_FOUND', detail, { cause });
  }

  #entries(): ModelEntry[] {
    return [...this.#slots.values()].map(({ entry }) => entry);
  }

  #readyEntries(): ModelEntry[] {
    return this.#entries().filter(({ model }) => model !== undefined);
  }

  #slot(name: string): ModelSlot {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw this.#unknown(name);
    return slot;
  }

  /** The load that answers requests for a name. Throws MODEL_NOT_FOUND. */
  #ready(name = this.#impliedName()): LoadedModel {
    if (name === undefined) throw notFound('No model is ready.', []);
    const slot = this.#slots.get(name);
    if (slot?.loaded !== undefined) return slot.loaded;
    const names = this.#readyEntries().map((entry) => entry.name);
    if (slot === undefined) throw notFound(`There is no model "${name}".`, names);
    throw notFound(`The model "${name}" is ${slot.entry.state}.`, names);
  }

  /** Name of the model for requests without a model name; it need not be ready. */
  #impliedName(): string | undefined {
    if (this.#default !== '') return this.#default;
    const ready = this.#readyEntries();
    return (ready.find(({ model }) => model?.manifest.default) ?? ready[0])?.name;
  }

  #unknown(name: string): ServiceError {
    return notFound(`There is no model "${name}".`, [...this.#slots.keys()]);
  }
}

const keepPath: FolderFinder = (_, path) => Promise.resolve(path);

/** `names` are the models that may be asked for instead. */
function notFound(detail: string, names: readonly string[]): ServiceError {
  return new ServiceError('MODEL_NOT_FOUND', detail, {
    errors: [
      { parameter: 'model', detail: names.length === 0 ? 'there is none' : `must be one of: ${names.join(', ')}` },
    ],
  });
}
