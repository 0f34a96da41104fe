/**
 * Files and folders that appear whole or not at all, and what is asked of a path. What is unfinished lies beside its place
 * under a name that ends in `.tmp`, and is renamed; what a process left there that died is removed after a day.
 *
 * No step is visible in between, with one exception: no system call of Node's puts a folder in the place of another. Between
 * the two renames of `replaceFolder` there is neither; `restoreFolder` undoes the first when the process died there.
 */
import { randomUUID } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Nobody writes for so long. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** Whether a path is that of a file, or of a link to one. */
export function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Whether a name is taken: by a file, a folder, or a link to nowhere. */
export function isTaken(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** Whether a name is that of something unfinished. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.tmp');
}

/** Remove what has been unfinished in `folder` for a day. What cannot be looked at or removed stays. */
export async function removeAbandoned(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const removals = names.filter(isUnfinished).map(async (name) => {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  });
  await Promise.allSettled(removals);
}

/**
 * Make a file, or a folder that is not there yet. `make` gets a path beside `path` to make it at. A file takes the place of
 * another. Throws what `make` throws, or the system where a folder is there already; nothing is left then.
 */
export async function makeWhole(path: string, make: (unfinished: string) => Promise<void>): Promise<void> {
  const unfinished = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(unfinished);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Write the files of a folder to the disk, so that no crash leaves them with holes. */
export async function flushFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = await open(join(folder, name), 'r+');
    await file.sync().finally(() => file.close());
  }
}

/**
 * Move the folder `draft` to `folder`. One that is there is moved aside to `aside`, and removed at the end. When the draft
 * cannot take its place, the old folder comes back, and the draft stays where it is. One process at a time.
 */
export async function replaceFolder(draft: string, folder: string, aside: string): Promise<void> {
  await restoreFolder(folder, aside);
  const replaces = await isTaken(folder);
  if (replaces) await rename(folder, aside);
  try {
    await rename(draft, folder);
  } catch (error) {
    if (replaces) await rename(aside, folder);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** Bring back what `replaceFolder` moved aside before its process died; or remove it, where the new folder is in place. */
export async function restoreFolder(folder: string, aside: string): Promise<void> {
  if (!(await isTaken(aside))) return;
  if (await isTaken(folder)) await rm(aside, { recursive: true, force: true });
  else await rename(aside, folder);
}

/** What `keepJson` has kept in a file; undefined where there is nothing, where it is broken, or where `read` finds nothing. */
export async function readKept<T>(file: string, read: (json: unknown) => T | undefined): Promise<T | undefined> {
  try {
    return read(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

/** Keep a value for later processes. Where that cannot be done they make it again, and nobody is told. */
export async function keepJson(file: string, value: unknown): Promise<void> {
  await makeWhole(file, (unfinished) => writeFile(unfinished, JSON.stringify(value))).catch(() => undefined);
}
