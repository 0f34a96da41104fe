/** What is known of a version of a model before it is loaded: from its manifest, and from the sizes of its files. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isFile } from '../files.js';
import { isSelfContained, MANIFEST_FILE, readManifest, type Manifest } from './manifest.js';

export interface Outline {
  /** Undefined if its manifest does not say it, or cannot be read. */
  readonly version: string | undefined;
  readonly versionLabels: readonly string[];
  /** Whether its manifest wants it to answer requests that name no model. */
  readonly isDefault: boolean;
  /** Of its weights, as they are stored. 0 if its manifest is broken: nobody makes room for a load that must fail. */
  readonly weightsBytes: number;
}

/** Of what has no manifest, but becomes a model (import/draft-model.ts). */
const IMPORTED_VERSION = '1';

/** Files of a model whose sizes are asked for. */
const MAX_FILES = 1000;

/** `version` is the name of its folder, which wins. What cannot be read is told when the model is loaded: never rejects. */
export async function outlineOf({ version, path }: { version: string | undefined; path: string }): Promise<Outline> {
  const isImported = !(await isFile(join(path, MANIFEST_FILE)));
  const manifest = isImported ? undefined : await readManifest(path).catch(() => undefined);
  return {
    version: version ?? (isImported ? IMPORTED_VERSION : manifest?.version),
    versionLabels: manifest?.versionLabels ?? [],
    isDefault: manifest?.default === true,
    weightsBytes: isImported ? await bytesIn(path) : manifest === undefined ? 0 : await weightsBytes(path, manifest),
  };
}

/** A graph may have weights in files beside its own. */
async function weightsBytes(folder: string, manifest: Manifest): Promise<number> {
  const file = join(folder, manifest.weights.file);
  return isSelfContained(manifest) ? bytesIn(join(file, '..')) : sizeOf(file);
}

/** Of the files directly in a folder, or of the file. */
async function bytesIn(path: string): Promise<number> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) return sizeOf(path);
  let bytes = 0;
  for (const name of names.slice(0, MAX_FILES)) bytes += await sizeOf(join(path, name));
  return bytes;
}

function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : 0),
    () => 0,
  );
}
