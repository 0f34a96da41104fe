/**
 * Folders for one group of models: links to those that are asked for, so that a server loads no others, and for
 * generated weights a cache of their own, which goes when the group has been measured.
 */
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '../src/config.js';
import { OperatorError } from '../src/errors.js';
import type { Group } from './scenario.js';

export interface Workspace {
  /** The setting FULLCONV_MODELS. */
  readonly models: string;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  remove(): Promise<void>;
}

/** Throws OperatorError naming the first model that is not there. */
export async function checkModels({ models: folder }: Config, groups: readonly Group[]): Promise<void> {
  const present = await readdir(folder);
  const missing = groups.flatMap(({ models }) => models).find((name) => !present.includes(name));
  if (missing === undefined) return;
  const base = /^(.+)-int8$/.exec(missing)?.[1];
  throw new OperatorError(
    base === undefined
      ? `there is no model ${missing} in ${folder}, nor an architecture of that name (fullconv architectures lists them)`
      : `${base} has no int8 form: there is no model ${missing} in ${folder}`,
  );
}

export async function createWorkspace(config: Config, { architectures, models }: Group): Promise<Workspace> {
  await mkdir(config.cache, { recursive: true });
  const root = await mkdtemp(join(config.cache, 'load-'));
  const links = join(root, 'models');
  await mkdir(links);
  for (const name of models) await symlink(resolve(config.models, name), join(links, name), 'junction');
  return {
    models: links,
    cache: architectures.length === 0 ? config.cache : join(root, 'cache'),
    remove: () => rm(root, { recursive: true, force: true }),
  };
}
