/** Finds the folders of models: those that hold a manifest, and those of architectures that are served untrained. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../errors.js';
import { isTaken } from '../files.js';
import { MANIFEST_FILE } from './manifest.js';
import { prepareUntrained } from './networks/untrained.js';

/**
 * The folders directly below `root`, and links to folders, that hold a manifest. Keys are the folders' names, which are
 * the models' names. Whatever is called as the manifest counts: what cannot be read is told when the model is loaded. Other
 * and unreadable entries are skipped. Throws UsageError if `root` cannot be read.
 */
export async function findModelFolders(root: string): Promise<Map<string, string>> {
  const names = await readdir(root).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`FULLCONV_MODELS=${root}: the folder of models cannot be read: ${why}`, { cause });
  });
  const folders = names.sort((a, b) => a.localeCompare(b)).map((name) => [name, join(root, name)] as const);
  const areModels = await Promise.all(folders.map(([, folder]) => isTaken(join(folder, MANIFEST_FILE))));
  return new Map(folders.filter((_, position) => areModels[position]));
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
