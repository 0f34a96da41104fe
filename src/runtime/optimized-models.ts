/**
 * Models as an engine has optimized them for this machine, kept on disk. An engine that rearranges weights for its
 * kernels would make a private copy of them for every session. Instead, every session of every worker maps the same
 * file from here: the weights are in memory once, and opening takes a fraction of the time.
 *
 * A folder appears whole or not at all; its name is a hash of everything that its content depends on. In it are the digests
 * of its files: if one is damaged, the folder is made anew. The folders used longest ago are removed if there are too many
 * bytes; a session keeps the files it has mapped. If anything goes wrong here, the caller uses the original model.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flushFolder, makeWhole, removeAbandoned } from '../files.js';
import { markUsed, removeFolder, removeOldest } from '../kept-folders.js';
import { digestFileSync, readBounded, type StampedFile } from '../regular-files.js';
import { describeProcessor } from './processor.js';

export interface OptimizedModelsOptions {
  /** Where folders are kept. */
  readonly folder: string;
  /** Limit of all folders together; 0 keeps nothing. */
  readonly maxBytes: number;
  /** Name and version of the optimizer. */
  readonly optimizer: string;
}

/** A folder whose files are as they were made. */
export interface OptimizedModel {
  readonly folder: string;
  readonly files: readonly StampedFile[];
}

/** Holds the digests of the other files, by name. */
const DIGESTS_FILE = 'digests.json';
const MAX_DIGESTS_BYTES = 2 ** 16;

/**
 * The optimized model `digest` (of graph and weights), made by `optimize` if it is not there yet or is damaged. Blocks its
 * thread while it digests the files. Undefined if the model cannot be kept: the disk is full or read-only, or `optimize`
 * failed.
 */
export async function findOptimized(
  { folder, maxBytes, optimizer }: OptimizedModelsOptions,
  digest: string,
  optimize: (folder: string) => Promise<void>,
): Promise<OptimizedModel | undefined> {
  if (maxBytes === 0) return undefined;
  const key = createHash('sha256')
    .update([digest, optimizer, await describeProcessor()].join('\n'))
    .digest('hex');
  const kept = join(folder, key);
  if (await markUsed(kept)) {
    const found = await verified(kept);
    if (found !== undefined) return found;
    await removeFolder(kept);
  }
  try {
    await makeWhole(kept, async (unfinished) => {
      await mkdir(unfinished);
      await optimize(unfinished);
      await writeDigests(unfinished);
      await flushFolder(unfinished);
    });
  } catch {
    // Another worker may have been faster.
    return (await markUsed(kept)) ? verified(kept) : undefined;
  }
  try {
    await removeAbandoned(folder);
    await removeOldest(folder, maxBytes, (each) => each === kept);
    return await verified(kept);
  } catch {
    return undefined;
  }
}

async function writeDigests(folder: string): Promise<void> {
  const digests = (await readdir(folder)).map((name) => [name, digestFileSync(join(folder, name), Infinity).sha256]);
  await writeFile(join(folder, DIGESTS_FILE), JSON.stringify(Object.fromEntries(digests)));
}

/** The folder with its files, if they are those that were written; undefined otherwise. */
async function verified(folder: string): Promise<OptimizedModel | undefined> {
  try {
    const text = (await readBounded(join(folder, DIGESTS_FILE), MAX_DIGESTS_BYTES)).toString();
    const files = Object.entries(JSON.parse(text) as Record<string, string>).map(([name, digest]) => {
      const stamp = digestFileSync(join(folder, name), Infinity);
      if (stamp.sha256 !== digest) throw new Error(`${name} is damaged`);
      return { name, stamp };
    });
    return { folder, files };
  } catch {
    return undefined;
  }
}
