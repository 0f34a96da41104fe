/**
 * Pulls a model of the catalog into a model folder: weights, labels, manifest. The folder is made in `.pulling/NAME`
 * below the folder of models, where no server looks. It is compiled there to prove that it fits, and moved to its place
 * in one step, so there is either a whole model or none. The next pull resumes an interrupted one.
 */
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatorError } from '../../errors.js';
import { flushFolder, isTaken, replaceFolder, restoreFolder } from '../../files.js';
import { GraphError } from '../../graph/graph-error.js';
import type { Catalog, CatalogEntry } from './catalog.js';
import { compileModel, type CompiledModel } from '../compile.js';
import type { Downloaded, DownloadOptions } from './download.js';
import { whileLocked } from '../folder-lock.js';
import { MANIFEST_FILE, manifestSchema, readModelFolder, type Manifest } from '../manifest.js';
import { ModelFileError } from '../files/model-file-error.js';
import { fetchWeights, HUB, type WeightsSource } from './weights-source.js';

export interface PullOptions extends Omit<DownloadOptions, 'authorization'> {
  readonly source: WeightsSource;
  /** The setting FULLCONV_MODELS. */
  readonly models: string;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  /** The model's name. */
  readonly name: string;
  /** Whether to replace an existing model of that name. */
  readonly force: boolean;
}

export interface PulledModel {
  readonly folder: string;
  readonly model: CompiledModel;
  readonly weights: Downloaded;
}

const LABELS_FILE = 'labels.json';

/**
 * Pull an entry of the catalog. Throws OperatorError if a model of that name exists, another process is pulling it, the
 * weights cannot be fetched, or they do not fit. Throws the signal's reason if the signal aborts.
 */
export async function pullModel(
  entry: CatalogEntry,
  { labels }: Pick<Catalog, 'labels'>,
  options: PullOptions,
): Promise<PulledModel> {
  const { models, name, force, source, cache } = options;
  if (!manifestSchema.shape.name.safeParse(name).success) {
    throw new OperatorError(`"${name}" is not a valid model name: use letters, digits, dots, dashes and underscores`);
  }
  const folder = join(models, name);
  const refuseExisting = async (): Promise<void> => {
    if (!force && (await isTaken(folder))) throw new OperatorError(`${folder} already exists; --force replaces it`);
  };
  await refuseExisting();
  const workshop = join(models, '.pulling');
  await mkdir(workshop, { recursive: true }).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError(`FULLCONV_MODELS=${models}: models cannot be written there: ${why}`, { cause });
  });
  return whileLocked(join(workshop, `${name}.lock`), async () => {
    const [draft, old] = [join(workshop, name), join(workshop, `${name}.old`)];
    await restoreFolder(folder, old);
    await rm(join(draft, MANIFEST_FILE), { force: true });
    try {
      const weights = await fetchWeights(source, entry, join(draft, entry.file), options);
      await writeFile(join(draft, LABELS_FILE), JSON.stringify(labels));
      await writeFile(join(draft, MANIFEST_FILE), JSON.stringify(manifestOf(entry, name, weights), null, 2) + '\n');
      const model = await prove(draft, cache);
      await refuseExisting();
      await flushFolder(draft);
      await replaceFolder(draft, folder, old);
      return { folder, model, weights };
    } finally {
      // Fails, as it should, if a part for the next pull is in the folder.
      await rmdir(draft).catch(() => undefined);
    }
  });
}

function manifestOf(entry: CatalogEntry, name: string, weights: Downloaded): Manifest {
  const { description, license, repository, revision, architecture, options, file, input } = entry;
  return {
    name,
    version: '1',
    description,
    license,
    source: `${HUB}/${repository}/tree/${weights.commit ?? revision}`,
    architecture,
    ...(options === undefined ? {} : { options }),
    weights: { file, sha256: weights.sha256 },
    labels: LABELS_FILE,
    input,
  };
}

/** Compile the draft, and remove it if it does not fit. Throws OperatorError with the reason. */
async function prove(draft: string, cache: string): Promise<CompiledModel> {
  try {
    return await compileModel(await readModelFolder(draft), { load: 0, cache });
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (error instanceof ModelFileError) throw new OperatorError(`Refused: ${error.messageWithin(draft)}`);
    if (error instanceof GraphError) throw new OperatorError(`Refused: ${error.message}`, { cause: error });
    throw error;
  }
}
