/**
 * What can be served by name: model folders and what can become one (in the folder of models, or named), and folders of
 * untrained models, which are written if they are missing.
 */
import { readdir } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { UsageError } from '../errors.js';
import { isFile, isFolder, isTaken, isUnfinished } from '../files.js';
import { isModelFolder, mightBeModel } from './import/import-to-cache.js';
import { isBeside, isHuggingFaceConfig, looksLikeModel, nameOf } from './import/recognize.js';
import { MANIFEST_FILE, readManifest } from './manifest.js';
import { prepareUntrained } from './networks/untrained.js';

/** Files of a folder that are looked at to see whether it is a model itself. */
const MAX_LOOKS = 200;

/**
 * The folders directly below `root`, and links to folders, that hold a manifest. Keys are the folders' names, which are
 * the models' names. Whatever is called as the manifest counts: what cannot be read is told when the model is loaded. Other
 * and unreadable entries are skipped. Throws UsageError if `root` cannot be read.
 */
export async function findModelFolders(root: string): Promise<Map<string, string>> {
  return (await findModels(root)).models;
}

export interface FoundModels {
  /** Paths by the models' names: folders with a manifest, and what might become a model. */
  readonly models: Map<string, string>;
  /** Names of the other entries, without texts and hidden ones. */
  readonly others: readonly string[];
}

/**
 * What lies directly below `root`, or `root` as the only model if it is one itself (`isOneModel`). Throws UsageError if `root`
 * cannot be read.
 */
export async function findModels(root: string): Promise<FoundModels> {
  const entries = await readdir(root).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`FULLCONV_MODELS=${root}: the folder of models cannot be read: ${why}`, { cause });
  });
  if (await isOneModel(root)) return { models: new Map([[await nameOfFolder(root), root]]), others: [] };
  const names = entries
    .filter((name) => !name.startsWith('.') && !isUnfinished(name))
    .sort((a, b) => a.localeCompare(b));
  const areFolders = await Promise.all(names.map((name) => isTaken(join(root, name, MANIFEST_FILE))));
  const models = new Map(names.filter((_, index) => areFolders[index]).map((name) => [name, join(root, name)]));
  const others: string[] = [];
  for (const [index, name] of names.entries()) {
    if (areFolders[index]) continue;
    const path = join(root, name);
    const stems = (await isFile(path)) ? [basename(name, extname(name)), name] : [name];
    const free = (await mightBeModel(path)) ? stems.map(asModelName) : [];
    const chosen = free.find((each) => !models.has(each));
    if (chosen !== undefined) models.set(chosen, path);
    else if (!isBeside(name)) others.push(name);
  }
  return { models, others };
}

/**
 * Whether a folder is one model, and no folder of models: it holds model.json (a manifest, or the topology of a TensorFlow.js
 * model), Hugging Face's config.json, or versions of a model and nothing else that could be one. A file that is a model by itself
 * makes no model of its folder: others may lie beside it.
 */
export async function isOneModel(folder: string): Promise<boolean> {
  const names = await readdir(folder);
  if (names.includes(MANIFEST_FILE)) return true;
  if (names.includes('config.json')) return isHuggingFaceConfig(join(folder, 'config.json'));
  const entries = names.filter((name) => !isBeside(name));
  if (entries.length === 0 || !entries.every((name) => VERSION_FOLDER.test(name))) return false;
  const versions = (await findVersions(folder)).filter(({ version }) => version !== undefined);
  const manifests = await Promise.all(versions.map(({ path }) => readManifest(path).catch(() => undefined)));
  // A model may have a number for a name.
  return versions.length > 0 && !manifests.some((manifest, index) => manifest?.name === versions[index]!.version);
}

/** Throws UsageError if models that are written below `folder` would not be served, because it is a model itself. */
export async function checkHoldsModels(folder: string): Promise<void> {
  if ((await isFolder(folder)) && (await isOneModel(folder))) {
    throw new UsageError(`${folder} is a model itself: what lies below it is not served. Name a folder of models.`);
  }
}

/** The name in the manifest of a model or of its first version that has one, or one made of the path. */
async function nameOfFolder(folder: string): Promise<string> {
  for (const { path } of await findVersions(folder)) {
    const manifest = await readManifest(path).catch(() => undefined);
    if (manifest !== undefined) return manifest.name;
  }
  return nameOf(resolve(folder));
}

/** Where a version of a model lies. */
export interface VersionPlace {
  /** The name of its folder; undefined for a model that lies in its folder itself, whose manifest says the version. */
  readonly version: string | undefined;
  readonly path: string;
}

export const VERSION_FOLDER = /^(0|[1-9][0-9]{0,19})$/;

/** Of a model: those with the highest numbers. */
const MAX_VERSIONS = 100;

/**
 * The versions of the model at `path`, rising: the model itself, where it lies there, and its folders with numbers for names that
 * hold a model or what may become one. Empty if there is nothing.
 */
export async function findVersions(path: string): Promise<VersionPlace[]> {
  if (!(await isFolder(path))) return (await isTaken(path)) ? [{ version: undefined, path }] : [];
  const names = await readdir(path);
  const numbers = names.filter((name) => VERSION_FOLDER.test(name)).sort(byNumber);
  const itself = { version: undefined, path };
  const isItself = await isModelItself(path, names);
  const versions: VersionPlace[] = [];
  for (const version of numbers.slice(-MAX_VERSIONS)) {
    const below = join(path, version);
    // What lies in the folder of a model to be imported may belong to it.
    const isVersion = (await isTaken(join(below, MANIFEST_FILE))) || (!isItself && (await mightBeModel(below)));
    if (isVersion && (await isFolder(below))) versions.push({ version, path: below });
  }
  return isItself || versions.length === 0 ? [itself, ...versions] : versions;
}

async function isModelItself(path: string, names: readonly string[]): Promise<boolean> {
  if (names.includes(MANIFEST_FILE) || names.includes('config.json')) return true;
  for (const name of names.slice(0, MAX_LOOKS)) {
    if ((await isFile(join(path, name))) && (await looksLikeModel(join(path, name)))) return true;
  }
  return false;
}

/** The order of versions. They may have more digits than numbers are exact for. No digits come first. */
export function byNumber(one: string, other: string): number {
  const [a, b] = [BigInt(one), BigInt(other)];
  return a === b ? one.length - other.length : a < b ? -1 : 1;
}

/** A valid name of a model for a file's or folder's. */
function asModelName(name: string): string {
  const valid = name.replace(/[^a-z0-9._-]+/gi, '-').replace(/^[^a-z0-9]+/i, '');
  return valid.slice(0, 100) || 'model';
}

/**
 * The path of a model that is named by its path, and its name: one that `others` do not have. Throws UsageError if there is
 * nothing, or if a model folder has the name of another.
 */
export async function findGivenModel(
  path: string,
  others: ReadonlyMap<string, string>,
): Promise<readonly [name: string, path: string]> {
  if (!(await isTaken(path))) throw new UsageError(`--model ${path}: there is no such file or folder`);
  const place = resolve(path);
  const isFree = (name: string): boolean => {
    const other = others.get(name);
    return other === undefined || resolve(other) === place;
  };
  if (!(await isModelFolder(place))) {
    const name = nameOf(place);
    const free = (number: number): string => {
      const numbered = number === 1 ? name : `${name.slice(0, 90)}-${number}`;
      return isFree(numbered) ? numbered : free(number + 1);
    };
    return [free(1), place];
  }
  // A manifest that cannot be read is told when the model is loaded.
  const { name } = await readManifest(place).catch(() => ({ name: basename(place) }));
  if (!isFree(name)) {
    throw new UsageError(`--model ${path}: there is another model called "${name}"`);
  }
  return [name, place];
}

/**
 * The folders of architectures with generated weights, by model name. Throws UsageError for an unknown architecture.
 */
export async function prepareUntrainedFolders(
  cache: string,
  architectures: readonly string[],
): Promise<Map<string, string>> {
  const folders = new Map<string, string>();
  for (const architecture of architectures) {
    folders.set(`${architecture}-untrained`, await prepareUntrained(cache, architecture));
  }
  return folders;
}
