/**
 * Weights of formats that the engine cannot map in place (other containers, quantized shards) are rewritten once as
 * safetensors in the cache. Files there are named by the digest of the source and the name of the conversion. They are
 * checked like any other file; a file that cannot be read is made anew.
 */
import { join } from 'node:path';
import { OperatorError } from '../../errors.js';
import { removeAbandoned } from '../../files.js';
import type { WeightSource } from '../../graph/passes/bind-weights.js';
import { ModelFileError } from '../files/model-file-error.js';
import { readSafetensors, writeSafetensors, type Safetensors, type WritableTensor } from '../files/safetensors.js';

/** Identifies the result of a conversion. */
export interface Conversion {
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Format and version of the conversion, e.g. `keras-h5-1`: a new version never reads the files of an old one. */
  readonly name: string;
  /** sha256 over all that the result depends on, hexadecimal: the source files, and the choice of tensors in them. */
  readonly digest: string;
}

/** A file of weights, and the folder that its name is relative to. */
export interface WeightsFile extends WeightSource {
  readonly folder: string;
}

/**
 * The converted weights; `tensors` is called only if they are not in the cache. Throws the errors of `tensors`, and
 * OperatorError if the cache cannot be written.
 */
export async function convertWeights(
  { cache, name, digest }: Conversion,
  tensors: () => Iterable<WritableTensor> | Promise<Iterable<WritableTensor>>,
): Promise<WeightsFile> {
  const folder = join(cache, 'weights');
  const file = `${digest}.${name}.safetensors`;
  const path = join(folder, file);
  const kept = await readKept(path);
  if (kept !== undefined) return { folder, file, tensors: kept.tensors };
  const source = await tensors();
  try {
    await removeAbandoned(folder);
    await writeSafetensors(path, source, { source: digest, conversion: name });
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new OperatorError(`FULLCONV_CACHE=${cache}: the converted weights cannot be written: ${cause.message}`, {
      cause,
    });
  }
  return { folder, file, tensors: (await readSafetensors(path)).tensors };
}

/** Undefined if the file is missing or broken. */
function readKept(path: string): Promise<Safetensors | undefined> {
  return readSafetensors(path).catch((error: unknown) => {
    if (error instanceof ModelFileError) return undefined;
    throw error;
  });
}
