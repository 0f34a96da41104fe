/**
 * Which models there are and which of them are loaded. Loading compiles a model and opens the sessions of its two main
 * views on every worker; `score`, rarely needed, and the `dense` view of a large net are opened at their first use. A model that cannot be loaded stays listed
 * with the reason, and harms no other.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import { compileModel, type CompiledModel, type View } from './compile.js';
import { MANIFEST_FILE, readModelFolder } from './manifest.js';
import { prepareUntrained } from './untrained.js';

/** What the registry needs of the worker pool. */
export interface SessionOpener {
  open(spec: SessionSpec): Promise<void>;
  close(id: string): Promise<void>;
}

export type ModelState = 'loading' | 'ready' | 'unloaded' | 'failed';

export interface ModelEntry {
  readonly name: string;
  readonly folder: string;
  readonly state: ModelState;
  /** Why the model is not ready, for people. */
  readonly reason?: string;
  /** Present when ready. */
  readonly model?: CompiledModel;
}

export interface Registry {
  /** All models, ready or not, by name. */
  list(): readonly ModelEntry[];
  /** Name of the model of requests that name none; undefined when no model is ready. */
  readonly defaultName: string | undefined;
  /** An entry, whatever its state. Throws MODEL_NOT_FOUND. */
  entry(name: string): ModelEntry;
  /** A model that can answer: the named one, or the default. Throws MODEL_NOT_FOUND with the names there are. */
  get(name?: string): CompiledModel;
  /** Do something with such a model; its sessions stay open until that has settled, whatever is unloaded meanwhile. */
  use<T>(name: string | undefined, work: (model: CompiledModel) => Promise<T>): Promise<T>;
  /** The open session of a view; opened now if this is its first use. Resolves to the session's id. */
  session(model: CompiledModel, view: View): Promise<string>;
  /** (Re)load a model from its folder; also one that has just been put there. Throws MODEL_NOT_FOUND. */
  load(name: string): Promise<ModelEntry>;
  /** Refuse the model to new work, wait for the work in flight, and close its sessions. Throws MODEL_NOT_FOUND. */
  unload(name: string): Promise<ModelEntry>;
}

export interface RegistryOptions {
  /** The folder of model folders. */
  readonly folder: string;
  /** Where untrained models are written. */
  readonly cache: string;
  readonly untrained: readonly string[];
  /** Empty: the manifest that says `default`, else the first. */
  readonly defaultModel: string;
}

/** Above this a model’s `dense` session, which doubles its memory (and for a VGG is gigabytes), waits for its first use. */
const EAGER_PARAMETERS = 1e7;

/** Find the models and load them, one after the other. A broken model becomes an entry with state `failed`. */
export async function createRegistry(
  options: RegistryOptions,
  sessions: SessionOpener,
  report: (entry: ModelEntry) => void = () => undefined,
): Promise<Registry> {
  const entries = new Map<string, ModelEntry>();
  const opened = new Map<string, Promise<void>>();
  const users = new Map<CompiledModel, Set<Promise<unknown>>>();

  function openSession(spec: SessionSpec): Promise<void> {
    const opening =
      opened.get(spec.id) ??
      sessions.open(spec).catch((cause: unknown) => {
        opened.delete(spec.id);
        throw cause;
      });
    opened.set(spec.id, opening);
    return opening;
  }

  async function closeSessions(model: CompiledModel, except?: CompiledModel): Promise<void> {
    await Promise.allSettled([...(users.get(model) ?? [])]);
    const keep = new Set(Object.values(except?.sessions ?? {}).map((spec) => spec.id));
    const ids = Object.values(model.sessions).map((spec) => spec.id);
    await Promise.all(
      ids
        .filter((id) => opened.has(id) && !keep.has(id))
        .map(async (id) => {
          opened.delete(id);
          await sessions.close(id);
        }),
    );
  }

  function set(entry: ModelEntry): ModelEntry {
    entries.set(entry.name, entry);
    report(entry);
    return entry;
  }

  async function loadFolder(name: string, folder: string): Promise<ModelEntry> {
    const before = entries.get(name)?.model;
    // While a new version loads, the old one answers.
    if (before === undefined) set({ name, folder, state: 'loading' });
    try {
      const content = await readModelFolder(folder);
      const model = await compileModel(content);
      if (model.manifest.name !== name) throw new Error(`the manifest names the model ${model.manifest.name}`);
      await openSession(model.sessions.classify);
      if (model.parameters <= EAGER_PARAMETERS) await openSession(model.sessions.dense);
      const entry = set({ name, folder, state: 'ready', model });
      if (before !== undefined) await closeSessions(before, model);
      return entry;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return before === undefined
        ? set({ name, folder, state: 'failed', reason })
        : set({ name, folder, state: 'ready', model: before, reason: `the newer version failed: ${reason}` });
    }
  }

  const found = await findModelFolders(options.folder);
  for (const architecture of options.untrained) {
    found.set(`${architecture}-untrained`, await prepareUntrained(options.cache, architecture));
  }
  for (const [name, folder] of found) await loadFolder(name, folder);

  const notFound = (name: string): ServiceError => {
    const names = [...entries.keys()].join(', ') || 'none';
    return new ServiceError('MODEL_NOT_FOUND', `There is no model "${name}".`, {
      errors: [{ parameter: 'model', detail: `must be one of: ${names}` }],
    });
  };
  const entryOf = (name: string): ModelEntry => {
    const entry = entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry;
  };

  const defaultName = (): string | undefined => {
    if (options.defaultModel !== '') return options.defaultModel;
    const ready = [...entries.values()].filter((entry) => entry.state === 'ready');
    return (ready.find((entry) => entry.model?.manifest.default) ?? ready[0])?.name;
  };
  const get = (name = defaultName()): CompiledModel => {
    if (name === undefined) throw new ServiceError('MODEL_NOT_FOUND', 'No model is loaded.');
    const { model, state } = entryOf(name);
    if (model === undefined) throw new ServiceError('MODEL_NOT_FOUND', `The model "${name}" is ${state}.`);
    return model;
  };
  if (options.defaultModel !== '') entryOf(options.defaultModel);

  return {
    list: () => [...entries.values()].sort((a, b) => a.name.localeCompare(b.name)),
    get defaultName() {
      return defaultName();
    },
    entry: entryOf,
    get,
    async use(name, work) {
      const model = get(name);
      const working = work(model);
      const inUse = users.get(model) ?? new Set();
      users.set(model, inUse.add(working));
      try {
        return await working;
      } finally {
        inUse.delete(working);
        if (inUse.size === 0) users.delete(model);
      }
    },
    async session(model, view) {
      const spec = model.sessions[view];
      await openSession(spec);
      return spec.id;
    },
    async load(name) {
      const folder = entries.get(name)?.folder ?? (await findModelFolders(options.folder)).get(name);
      if (folder === undefined) throw notFound(name);
      return loadFolder(name, folder);
    },
    async unload(name) {
      const { model, folder } = entryOf(name);
      const entry = set({ name, folder, state: 'unloaded' });
      if (model !== undefined) await closeSessions(model);
      return entry;
    },
  };
}

/** The folders below `root` that hold a manifest, by folder name, which is the model's name. */
async function findModelFolders(root: string): Promise<Map<string, string>> {
  const children = (await readdir(root, { withFileTypes: true })).filter((child) => child.isDirectory());
  const folders = await Promise.all(
    children.map(async ({ name }) => {
      const files = await readdir(join(root, name));
      return files.includes(MANIFEST_FILE) ? ([name, join(root, name)] as const) : undefined;
    }),
  );
  return new Map(folders.filter((folder) => folder !== undefined).sort(([a], [b]) => a.localeCompare(b)));
}
