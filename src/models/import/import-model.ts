/**
 * Imports a model into a folder of models: whole or not at all. It is drafted in `.importing` below that folder, where no
 * server looks, proved there by a load, and moved to its place.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isArchitecture } from '../../architectures/index.js';
import { OperatorError, UsageError } from '../../errors.js';
import { flushTree, isTaken, removeAbandoned, replaceFolder, restoreFolder } from '../../files.js';
import { whileLocked } from '../folder-lock.js';
import { manifestSchema } from '../manifest.js';
import type { Draft, DraftOptions } from './draft-model.js';
import { draftOnThread, findOnThread } from './draft-thread.js';

export interface ImportOptions extends Omit<DraftOptions, 'name'> {
  /** The model's name. Default: that of the file or folder. */
  readonly name?: string | undefined;
  /** The folder of models. */
  readonly models: string;
  /** Whether to replace an existing model of that name. */
  readonly force: boolean;
}

export interface ImportedModel<T> {
  readonly folder: string;
  readonly draft: Draft;
  /** What the proof gave. */
  readonly proof: T;
}

/** Loads the model NAME of the folder of models `models`, and throws OperatorError if it cannot be served. */
export type Proof<T> = (models: string, name: string) => Promise<T>;

/** Import what lies at a path. Throws OperatorError or ModelFileError with what is wrong; nothing is left then. */
export async function importModel<T>(path: string, options: ImportOptions, prove: Proof<T>): Promise<ImportedModel<T>> {
  const { models, force, ...stated } = options;
  const { name: given } = stated;
  if (given !== undefined && !manifestSchema.shape.name.safeParse(given).success) {
    throw new UsageError(`--name ${given}: must be letters, digits, dots, dashes and underscores`);
  }
  const { architecture } = stated;
  if (architecture !== undefined && !isArchitecture(architecture)) {
    throw new UsageError(
      `--architecture ${architecture}: there is no such architecture; fullconv architectures lists them`,
    );
  }
  if (!(await isTaken(path))) throw new UsageError(`${path}: there is no such file or folder`);
  const source = await findOnThread(path);
  const name = given ?? source.name;
  const folder = join(models, name);
  const refuseExisting = async (): Promise<void> => {
    if (force || !(await isTaken(folder))) return;
    throw new UsageError(`${folder} already exists; --force replaces it, --name gives the new model another name`);
  };
  await refuseExisting();
  const workshop = join(models, '.importing');
  await mkdir(workshop, { recursive: true }).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError(`${models}: models cannot be written there: ${why}; --to names another folder`, { cause });
  });
  await removeAbandoned(workshop);
  return whileLocked(join(workshop, `${name}.lock`), async () => {
    const old = join(workshop, `${name}.old`);
    await restoreFolder(folder, old);
    const bench = join(workshop, `${randomUUID()}.tmp`);
    const place = join(bench, name);
    try {
      await mkdir(place, { recursive: true });
      const draft = await draftOnThread(source, place, { ...stated, name });
      const proof = await prove(bench, name);
      await refuseExisting();
      await flushTree(place);
      await replaceFolder(place, folder, old);
      return { folder, draft, proof };
    } finally {
      await rm(bench, { recursive: true, force: true });
    }
  });
}
