/**
 * Which models there are and which of them are loaded. Loading compiles a model and opens the sessions of its two main
 * views on every worker; `score`, rarely needed, and the `dense` view of a large net are opened at their first use. A
 * model that cannot be loaded stays listed with the reason, and harms no other.
 *
 * Loads and unloads of one model go one after the other, and each load has its own sessions (loaded-model.ts): whatever
 * is asked for meanwhile, requests keep the sessions they began with, and no load closes another's.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit, { type LimitFunction } from 'p-limit';
import { ServiceError, UsageError } from '../errors.js';
import { isFile } from '../files.js';
import { GraphError } from '../graph/graph-error.js';
import { compileModel, type CompiledModel } from './compile.js';
import type { View } from './dense-views.js';
import { LoadedModel, type SessionLease } from './loaded-model.js';
import { MANIFEST_FILE, readModelFolder, type ModelFolder } from './manifest.js';
import { ModelFileError } from './files/model-file-error.js';
import { measureParity, refuseUnlessHalf, trusted, type SessionRunner } from './parity.js';
import { prepareUntrained } from './networks/untrained.js';

export type ModelState = 'loading' | 'ready' | 'unloaded' | 'failed';

export interface ModelEntry {
  readonly name: string;
  readonly folder: string;
  readonly state: ModelState;
  /** Why the model, or its newest version, is not ready. Public: it says nothing of the machine. */
  readonly reason?: string;
  /** Present when ready. */
  readonly model?: CompiledModel;
}

export interface Registry {
  /** All models, ready or not, by name. */
  list(): readonly ModelEntry[];
  /** Name of the model of requests that name none; undefined when that one, or with none configured any, is not ready. */
  readonly defaultName: string | undefined;
  /** An entry, whatever its state. Throws MODEL_NOT_FOUND. */
  entry(name: string): ModelEntry;
  /** A model that can answer: the named one, or the default. Throws MODEL_NOT_FOUND with the names that are ready. */
  get(name?: string): CompiledModel;
  /** Do something with such a model; its sessions stay open until that has settled, whatever is unloaded meanwhile. */
  use<T>(name: string | undefined, work: (model: CompiledModel) => Promise<T>): Promise<T>;
  /**
   * Hold the session of one of a model's views, opened now if it is not; it fails with MODEL_NOT_FOUND when the model has
   * been unloaded or replaced, and nobody uses it any more.
   */
  lease(model: CompiledModel, view: Pick<View, 'session'>): SessionLease;
  /** (Re)load a model from its folder; also one that has just been put there. Throws MODEL_NOT_FOUND. */
  load(name: string): Promise<ModelEntry>;
  /** Refuse the model to new work, wait for the work in flight, and close its sessions. Throws MODEL_NOT_FOUND. */
  unload(name: string): Promise<ModelEntry>;
}

export interface RegistryOptions {
  /** The folder of model folders: the setting FULLCONV_MODELS. */
  readonly folder: string;
  /** Where untrained models and converted weights are written, and what was measured of imported ones. */
  readonly cache: string;
  /** Architectures to serve untrained: the setting FULLCONV_UNTRAINED. */
  readonly untrained: readonly string[];
  /** The setting FULLCONV_DEFAULT_MODEL. Empty: the manifest that says `default`, else the first. */
  readonly defaultModel: string;
  /** Whether the device computes in half precision (runtime/half-precision.ts). Default: it does not. */
  readonly computesHalf?: boolean;
}

/** Told of each change of a model's state; with the error, which is not public, when it could not be loaded. */
export type ModelReport = (entry: ModelEntry, error?: unknown) => void;

/** Above this a model’s `dense` session, which doubles its memory (and for a VGG is gigabytes), waits for its first use. */
const EAGER_PARAMETERS = 1e7;

/**
 * Find the models and load them, one after the other. A broken model becomes an entry with state `failed`. Throws
 * UsageError when the folder of models cannot be read, or a model or architecture in the settings does not exist.
 */
export async function createRegistry(
  options: RegistryOptions,
  sessions: SessionRunner,
  report: ModelReport = () => undefined,
): Promise<Registry> {
  const entries = new Map<string, ModelEntry>();
  const loaded = new WeakMap<CompiledModel, LoadedModel>();
  const turns = new Map<string, LimitFunction>();
  let loads = 0;

  /** Loads and unloads of one model, each after the one asked for before it. */
  function inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = turns.get(name) ?? pLimit(1);
    turns.set(name, turn);
    return turn(work);
  }

  const loadOf = (model: CompiledModel): LoadedModel => loaded.get(model)!;

  function set(entry: ModelEntry, error?: unknown): ModelEntry {
    entries.set(entry.name, entry);
    report(entry, error);
    return entry;
  }

  async function loadModel(name: string, folder: string): Promise<CompiledModel> {
    const content = await readModelFolder(folder);
    if (content.manifest.name !== name) {
      throw new ModelFileError(join(folder, MANIFEST_FILE), 'name', `must be "${name}", is "${content.manifest.name}"`);
    }
    const model = await trust(await compile(content));
    const load = new LoadedModel(model, sessions);
    try {
      await open(load, model.classifier);
      if ('view' in model.dense && model.parameters <= EAGER_PARAMETERS) await open(load, model.dense.view());
    } catch (error) {
      await load.close();
      throw error;
    }
    loaded.set(model, load);
    return model;
  }

  /** In half precision only where that was measured, or in single where the engine does not run it. */
  async function compile(content: ModelFolder): Promise<CompiledModel> {
    const { cache, computesHalf } = options;
    const load = (loads += 1);
    const model = await compileModel(content, { load, cache, ...(computesHalf !== undefined && { computesHalf }) });
    const { halfCheck: check } = model;
    if (check === undefined) return model;
    const parity = await measureParity(check, sessions, cache);
    if (parity === undefined) return compileModel(content, { load, cache });
    refuseUnlessHalf(content.folder, check, parity);
    return model;
  }

  /** The model with its dense view proven, or without it. */
  async function trust(model: CompiledModel): Promise<CompiledModel> {
    const { parityCheck: check } = model;
    if (check === undefined) return model;
    return trusted(model, check, await measureParity(check, sessions, options.cache));
  }

  async function loadFolder(name: string, folder: string): Promise<ModelEntry> {
    const before = entries.get(name)?.model;
    // While a new version loads, the old one answers.
    if (before === undefined) set({ name, folder, state: 'loading' });
    let model: CompiledModel;
    try {
      model = await loadModel(name, folder);
    } catch (error) {
      const reason = publicReason(error, folder);
      return before === undefined
        ? set({ name, folder, state: 'failed', reason }, error)
        : set({ name, folder, state: 'ready', reason: `the newer version failed: ${reason}`, model: before }, error);
    }
    const entry = set({ name, folder, state: 'ready', model });
    if (before !== undefined) await loadOf(before).close();
    return entry;
  }

  const notFound = (detail: string, names: readonly string[]): ServiceError =>
    new ServiceError('MODEL_NOT_FOUND', detail, {
      errors: [
        { parameter: 'model', detail: names.length === 0 ? 'there is none' : `must be one of: ${names.join(', ')}` },
      ],
    });
  const entryOf = (name: string): ModelEntry => {
    const entry = entries.get(name);
    if (entry === undefined) throw notFound(`There is no model "${name}".`, [...entries.keys()]);
    return entry;
  };
  const readyEntries = (): ModelEntry[] => [...entries.values()].filter(({ model }) => model !== undefined);

  /** The model of requests that name none, ready or not. */
  const impliedName = (): string | undefined => {
    if (options.defaultModel !== '') return options.defaultModel;
    const ready = readyEntries();
    return (ready.find(({ model }) => model?.manifest.default) ?? ready[0])?.name;
  };
  const get = (name = impliedName()): CompiledModel => {
    const readyNames = (): string[] => readyEntries().map((entry) => entry.name);
    if (name === undefined) throw notFound('No model is ready.', []);
    const entry = entries.get(name);
    if (entry === undefined) throw notFound(`There is no model "${name}".`, readyNames());
    if (entry.model === undefined) throw notFound(`The model "${name}" is ${entry.state}.`, readyNames());
    return entry.model;
  };

  const found = await findModelFolders(options.folder);
  for (const architecture of options.untrained) {
    found.set(`${architecture}-untrained`, await prepareUntrained(options.cache, architecture));
  }
  if (options.defaultModel !== '' && !found.has(options.defaultModel)) {
    const names = [...found.keys()].join(', ') || 'none';
    throw new UsageError(`FULLCONV_DEFAULT_MODEL=${options.defaultModel}: there is no such model; there are: ${names}`);
  }
  for (const [name, folder] of found) await loadFolder(name, folder);

  return {
    list: () => [...entries.values()].sort((a, b) => a.name.localeCompare(b.name)),
    get defaultName() {
      const name = impliedName();
      return name !== undefined && entries.get(name)?.model !== undefined ? name : undefined;
    },
    entry: entryOf,
    get,
    use: async (name, work) => loadOf(get(name)).use(work),
    lease: (model, view) => loadOf(model).lease(view),
    async load(name) {
      const folder = entries.get(name)?.folder ?? (await findModelFolders(options.folder)).get(name);
      if (folder === undefined) throw notFound(`There is no model "${name}".`, [...entries.keys()]);
      return inTurn(name, () => loadFolder(name, folder));
    },
    async unload(name) {
      const { folder } = entryOf(name);
      return inTurn(name, async () => {
        const { model } = entryOf(name);
        const entry = set({ name, folder, state: 'unloaded' });
        if (model !== undefined) await loadOf(model).close();
        return entry;
      });
    },
  };
}

/** Open the session of a view, and leave it open. */
async function open(load: LoadedModel, view: View): Promise<void> {
  const { opened, release } = load.lease(view);
  await opened.finally(release);
}

/** The messages of the engine and of the file system hold paths: they are for the log. */
function publicReason(error: unknown, folder: string): string {
  if (error instanceof ModelFileError) return error.messageWithin(folder);
  if (error instanceof GraphError) return error.message;
  return 'it could not be opened; the log says why';
}

/**
 * The folders below `root`, links to folders too, that hold a manifest, by their name there, which is the model's name.
 * Whatever else lies there, or cannot be read, is no model.
 */
async function findModelFolders(root: string): Promise<Map<string, string>> {
  const names = await readdir(root).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`FULLCONV_MODELS=${root}: the folder of models cannot be read: ${why}`, { cause });
  });
  const folders = names.sort((a, b) => a.localeCompare(b)).map((name) => [name, join(root, name)] as const);
  const areModels = await Promise.all(folders.map(([, folder]) => isFile(join(folder, MANIFEST_FILE))));
  return new Map(folders.filter((_, position) => areModels[position]));
}
