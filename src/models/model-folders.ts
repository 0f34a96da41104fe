/** Where models are found: the folders that hold a manifest, and architectures that are served untrained. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { isFile } from '../files.js';
import { MANIFEST_FILE } from './manifest.js';
import { prepareUntrained } from './networks/untrained.js';

/**
 * The folders below `root`, links to folders too, that hold a manifest, by their name there, which is the model's name.
 * Whatever else lies there, or cannot be read, is no model. Throws UsageError when `root` cannot be read.
 */
export async function findModelFolders(root: string): Promise<Map<string, string>> {
  const names = await readdir(root).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`FULLCONV_MODELS=${root}: the folder of models cannot be read: ${why}`, { cause });
  });
  const folders = names.sort((a, b) => a.localeCompare(b)).map((name) => [name, join(root, name)] as const);
  const areModels = await Promise.all(folders.map(([, folder]) => isFile(join(folder, MANIFEST_FILE))));
  return new Map(folders.filter((_, position) => areModels[position]));
}

/** The folders of architectures with generated weights, by the models' names. Throws UsageError for one that there is not. */
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
