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
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flushFolder, isUnfinished, makeWhole, removeAbandoned } from '../files.js';
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
  if (await touch(kept)) {
    const found = await verified(kept);
    if (found !== undefined) return found;
    await forgetOptimized(kept);
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
    return (await touch(kept)) ? verified(kept) : undefined;
  }
  try {
    await removeAbandoned(folder);
    await removeOldest(folder, kept, maxBytes);
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

/** Remove a folder that turned out to be useless. Never rejects. */
export async function forgetOptimized(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
}

/** The errors of `utimes` for a folder that exists, but belongs to another user or lies on a read-only disk. */
const READ_ONLY: readonly (string | undefined)[] = ['EROFS', 'EACCES', 'EPERM'];

/** Whether the folder is there. Marks it as used now if that can be written. */
function touch(folder: string): Promise<boolean> {
  const now = new Date();
  return utimes(folder, now, now).then(
    () => true,
    (error: unknown) => READ_ONLY.includes((error as NodeJS.ErrnoException).code),
  );
}

/** Remove the folders used longest ago until the rest fit. Other processes may add and remove folders meanwhile. */
async function removeOldest(root: string, newest: string, maxBytes: number): Promise<void> {
  const finished = (await readdir(root)).filter((name) => !isUnfinished(name));
  const measured = await Promise.allSettled(finished.map((name) => measure(join(root, name))));
  const folders = measured.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  let total = folders.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { folder, bytes } of folders.sort((a, b) => a.usedAt - b.usedAt)) {
    if (total <= maxBytes) return;
    if (folder === newest) continue;
    await forgetOptimized(folder);
    total -= bytes;
  }
}

async function measure(folder: string): Promise<{ folder: string; usedAt: number; bytes: number }> {
  const { mtimeMs: usedAt } = await stat(folder);
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size));
  return { folder, usedAt, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
