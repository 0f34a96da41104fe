/**
 * Weights of formats that the engine cannot map in place (other containers, quantized shards) are rewritten once as
 * safetensors in the cache. Files there are named by the digest of the source and the name of the conversion. Beside each
 * is the digest of its own bytes: a file that does not have it, or cannot be read, is made anew.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatorError } from '../../errors.js';
import { makeWhole, removeAbandoned } from '../../files.js';
import type { WeightSource } from '../../graph/passes/bind-weights.js';
import type { FileStamp, StampedFile } from '../../regular-files.js';
import { DigestedFiles, readModelFile, stampModelFile } from '../files/file-access.js';
import { ModelFileError } from '../files/model-file-error.js';
import { readSafetensors, writeSafetensors, type WritableTensor } from '../files/safetensors.js';

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
  readonly stamp: FileStamp;
}

/** What is converted. */
export interface ConvertedSource {
  /** Called only if the converted weights are not in the cache. */
  readonly tensors: () => Iterable<WritableTensor> | Promise<Iterable<WritableTensor>>;
  /** The files that the tensors are read from, which must not change meanwhile. */
  readonly folder: string;
  readonly files: readonly StampedFile[];
}

/**
 * The converted weights. Throws the errors of `tensors`, ModelFileError if a file of the source changes meanwhile, and
 * OperatorError if the cache cannot be written.
 */
export async function convertWeights(
  { cache, name, digest }: Conversion,
  { tensors, folder: from, files }: ConvertedSource,
): Promise<WeightsFile> {
  const folder = join(cache, 'weights');
  const file = `${digest}.${name}.safetensors`;
  const path = join(folder, file);
  const kept = await readConverted(path);
  if (kept !== undefined) return { folder, file, ...kept };
  const source = await tensors();
  try {
    await removeAbandoned(folder);
    // Without its digest a file is not used. So the old one goes first, and the new one comes last.
    await rm(digestFileOf(path), { force: true });
    await writeSafetensors(path, source, { source: digest, conversion: name });
    const changed = await new DigestedFiles(from, files).findChanged();
    if (changed !== undefined) throw changed;
    const stamp = await stampModelFile(path);
    await makeWhole(digestFileOf(path), (unfinished) => writeFile(unfinished, stamp.sha256));
    return { folder, file, stamp, tensors: (await readSafetensors(path)).tensors };
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new OperatorError(`FULLCONV_CACHE=${cache}: the converted weights cannot be written: ${cause.message}`, {
      cause,
    });
  }
}

function digestFileOf(path: string): string {
  return `${path}.sha256`;
}

const DIGEST_LENGTH = 64;

/** Undefined if the file is missing or broken, or is not the one that was written. */
async function readConverted(path: string): Promise<Pick<WeightsFile, 'tensors' | 'stamp'> | undefined> {
  try {
    const digest = (await readModelFile(digestFileOf(path), DIGEST_LENGTH)).toString('latin1');
    const stamp = await stampModelFile(path);
    if (stamp.sha256 !== digest) return undefined;
    return { stamp, tensors: (await readSafetensors(path)).tensors };
  } catch (error) {
    if (error instanceof ModelFileError) return undefined;
    throw error;
  }
}
