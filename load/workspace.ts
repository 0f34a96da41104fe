/**
 * Folders for one group of models: links to the models that are asked for, so that a server loads no others; int8 forms
 * that had to be made; and a cache of their own for generated weights. `remove` deletes them when the group has been
 * measured.
 */
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../src/config.js';
import { OperatorError } from '../src/errors.js';
import type { ImageInput } from '../src/inference/infer.js';
import { quantizeMissing } from './quantize-missing.js';
import { architectureOf, type Group } from './scenario.js';

export interface Workspace {
  /** The setting FULLCONV_MODELS. */
  readonly models: string;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  remove(): Promise<void>;
}

/**
 * Throws OperatorError that names the first missing model. A missing int8 form is accepted if its model is there to
 * make it from.
 */
export async function checkModels({ models: folder }: Config, groups: readonly Pick<Group, 'models'>[]): Promise<void> {
  const present = new Set(await readdir(folder));
  const isThere = (name: string): boolean => present.has(name) || architectureOf(name) !== undefined;
  const missing = groups
    .flatMap(({ models }) => models)
    .find((name) => !isThere(name) && !isThere(name.replace(/-int8$/, '')));
  if (missing === undefined) return;
  throw new OperatorError(
    `there is no model ${missing} in ${folder}, nor an architecture of that name (fullconv architectures lists them)`,
  );
}

/**
 * Create the folders. A model that is missing has no link. `note` gets a text for each int8 form that could not be made, which is then
 * missing, too.
 */
export async function createWorkspace(
  config: Config,
  { architectures, models }: Pick<Group, 'architectures' | 'models'>,
  photos: readonly ImageInput[],
  note: (text: string) => void,
): Promise<Workspace> {
  await mkdir(config.cache, { recursive: true });
  const root = await mkdtemp(join(config.cache, 'load-'));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  const links = join(root, 'models');
  const cache = architectures.length === 0 ? config.cache : join(root, 'cache');
  try {
    await mkdir(links);
    const present = new Set(await readdir(config.models));
    for (const name of models) {
      if (present.has(name)) await symlink(resolve(config.models, name), join(links, name), 'junction');
      else if (name.endsWith('-int8')) {
        const options = { from: config.models, to: links, cache, photos, scratch: join(root, 'crops') };
        await quantizeMissing(name, options).catch((error: unknown) => note(`${name}: ${String(error)}`));
      }
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { models: links, cache, remove };
}
