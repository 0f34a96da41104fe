/**
 * Imports what lies in a folder of models, or is named on the command line, into the cache, from where it is served like
 * any model folder. The same files are imported once: a folder in the cache has a name made of their sizes and times. What
 * was served longest ago is removed when there are too many bytes, but for what this process serves.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { isFile, makeWhole, removeAbandoned } from '../../files.js';
import { markUsed, removeOldest } from '../../kept-folders.js';
import { kindOfFile } from '../files/file-kind.js';
import { MANIFEST_FILE } from '../manifest.js';
import { importOnThread, type DraftThreadOptions } from './draft-thread.js';
import { looksLikeModel } from './recognize.js';

/** Increment it whenever the same files would become another model. */
const VERSION = 1;

/** Files of a source that are looked at for changes, and folders inside of it. */
const MAX_FILES = 1000;
const MAX_DEPTH = 2;

export interface CacheImportOptions extends DraftThreadOptions {
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  /** The setting FULLCONV_MODELS. What lies beside a file there belongs to other models. */
  readonly models: string;
  /** Limit of all imports together. */
  readonly maxBytes: number;
}

/** The folder that the model NAME at `path` is served from. Throws OperatorError or ModelFileError if it cannot be imported. */
export type FolderFinder = (name: string, path: string) => Promise<string>;

/** A finder that imports what is no model folder. */
export function createFolderFinder({ cache, models, maxBytes, ...thread }: CacheImportOptions): FolderFinder {
  const imports = join(cache, 'imports');
  /** What this process serves, by name and path: versions of a model share its name. */
  const served = new Map<string, string>();
  /** What it will serve in a moment; one for each caller. */
  const coming: string[] = [];

  async function find(name: string, path: string, folder: string, isAlone: boolean): Promise<void> {
    const isThere = (): Promise<boolean> => isFile(join(folder, MANIFEST_FILE));
    if (!(await isThere())) {
      await removeAbandoned(imports);
      try {
        await makeWhole(folder, async (unfinished) => {
          await mkdir(unfinished);
          await importOnThread(path, unfinished, { name, input: {}, isAlone }, thread);
        });
      } catch (error) {
        // Another process may have been faster.
        if (!(await isThere())) throw error;
      }
    }
    await markUsed(folder);
    served.set(`${name} ${path}`, folder);
    const isInUse = (each: string): boolean => coming.includes(each) || [...served.values()].includes(each);
    await removeOldest(imports, maxBytes, isInUse);
  }

  return async (name, path) => {
    if (await isModelFolder(path)) return path;
    const isAlone = resolve(dirname(path)) === resolve(models) && (await isFile(path));
    const folder = join(imports, await keyOf(name, path, isAlone));
    // Before it is looked for: another import may be making room.
    coming.push(folder);
    try {
      await find(name, path, folder, isAlone);
    } finally {
      coming.splice(coming.indexOf(folder), 1);
    }
    return folder;
  };
}

/** Whether a folder has a manifest, which is none if it is the topology of a TensorFlow.js model. */
export async function isModelFolder(path: string): Promise<boolean> {
  const manifest = join(path, MANIFEST_FILE);
  const there = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!there || !(await readdir(path)).includes(MANIFEST_FILE)) return false;
  const kind = await kindOfFile(manifest).catch(() => undefined);
  return kind?.name !== 'tfjs-json';
}

/** Files that are looked at in an entry of a folder of models. */
const MAX_LOOKS = 200;

/**
 * Whether something in a folder of models might be a model: a file that looks like one, or a folder with such a file, or
 * with a configuration of one. What it really is turns out when it is loaded.
 */
export async function mightBeModel(path: string): Promise<boolean> {
  let looks = 0;
  const look = async (place: string, depth: number): Promise<boolean> => {
    if (await isFile(place)) return looksLikeModel(place);
    const names = depth > MAX_DEPTH ? [] : await readdir(place).catch(() => []);
    if (names.some((name) => name === 'config.json' || name === MANIFEST_FILE)) return true;
    for (const name of names.filter((each) => !each.startsWith('.')).sort()) {
      looks += 1;
      if (looks > MAX_LOOKS) return false;
      if (await look(join(place, name), depth + 1)) return true;
    }
    return false;
  };
  return look(path, 0);
}

async function keyOf(name: string, path: string, isAlone: boolean): Promise<string> {
  const files = (await isFile(path)) ? await filesOf(path, isAlone) : await filesBelow(path, 0);
  const stamps = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
      return [file, String(size), String(mtimeNs), String(ctimeNs)];
    }),
  );
  return createHash('sha256')
    .update(JSON.stringify([VERSION, name, await realpath(path), stamps]))
    .digest('hex');
}

/** The files that a model of one file may be made of: with `isAlone` those alone that are named after it. */
async function filesOf(file: string, isAlone: boolean): Promise<string[]> {
  const below = await filesBelow(dirname(file), MAX_DEPTH);
  const stem = basename(file, extname(file));
  return [file, ...below.filter((path) => path !== file && (!isAlone || basename(path).startsWith(`${stem}.`)))];
}

async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const files: string[] = [];
  for (const name of (await readdir(folder)).sort().slice(0, MAX_FILES)) {
    const path = join(folder, name);
    const isFolder = await stat(path).then(
      (found) => found.isDirectory(),
      () => undefined,
    );
    if (isFolder === false) files.push(path);
    else if (isFolder === true && depth < MAX_DEPTH) files.push(...(await filesBelow(path, depth + 1)));
  }
  return files.slice(0, MAX_FILES);
}
