/**
 * Folders that can be made again, kept on disk up to a limit of bytes: those used longest ago are removed. Their time of
 * modification says when they were used. Other processes may add and remove folders meanwhile, and files that are mapped
 * stay readable where their folder is removed.
 */
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isUnfinished } from './files.js';

/** The errors of `utimes` for a folder that exists, but belongs to another user or lies on a read-only disk. */
const READ_ONLY: readonly (string | undefined)[] = ['EROFS', 'EACCES', 'EPERM'];

/** Whether the folder is there. Marks it as used now if that can be written. */
export function markUsed(folder: string): Promise<boolean> {
  const now = new Date();
  return utimes(folder, now, now).then(
    () => true,
    (error: unknown) => READ_ONLY.includes((error as NodeJS.ErrnoException).code),
  );
}

/** Remove the folder, with all that is in it. Never rejects. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
}

/**
 * Remove the folders directly below `root` that were used longest ago, until all have at most `maxBytes`. Those that are in use
 * when it is their turn count, and stay. Never rejects: what cannot be read or removed stays.
 */
export async function removeOldest(
  root: string,
  maxBytes: number,
  isInUse: (folder: string) => boolean,
): Promise<void> {
  const names = await readdir(root).catch(() => []);
  const finished = names.filter((name) => !isUnfinished(name));
  const measured = await Promise.allSettled(finished.map((name) => measure(join(root, name))));
  const folders = measured.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  let total = folders.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { folder, bytes } of folders.sort((a, b) => a.usedAt - b.usedAt)) {
    if (total <= maxBytes) return;
    if (isInUse(folder)) continue;
    await removeFolder(folder);
    total -= bytes;
  }
}

async function measure(folder: string): Promise<{ folder: string; usedAt: number; bytes: number }> {
  const { mtimeMs: usedAt } = await stat(folder);
  const inside = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(inside.map(async (name) => (await stat(join(folder, name))).size));
  return { folder, usedAt, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
