/** The names that complete.ts offers, by kind. They come from the disk and from the program; no model is loaded. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isFile } from '../../files.js';
import type { NamesOf } from './complete.js';

/** `models` is the folder of models. A kind that cannot be read has no names. */
export function completionNames(models: string): NamesOf {
  const kinds: Readonly<Record<string, () => Promise<readonly string[]>>> = {
    model: () => modelFolders(models),
    architecture: architectures,
    weights: catalogNames,
    'model or architecture': async () => [...(await modelFolders(models)), ...(await architectures())],
  };
  return async (kind) => (await kinds[kind]?.().catch(() => [])) ?? [];
}

async function modelFolders(models: string): Promise<readonly string[]> {
  const { MANIFEST_FILE } = await import('../../models/manifest.js');
  const names = (await readdir(models)).sort();
  const areModels = await Promise.all(names.map((name) => isFile(join(models, name, MANIFEST_FILE))));
  return names.filter((_, position) => areModels[position]);
}

async function architectures(): Promise<readonly string[]> {
  const { ARCHITECTURE_NAMES } = await import('../../architectures/index.js');
  return ARCHITECTURE_NAMES;
}

async function catalogNames(): Promise<readonly string[]> {
  const { readCatalog } = await import('../../models/pull/catalog.js');
  return (await readCatalog()).models.map(({ name }) => name);
}
