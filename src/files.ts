/**
 * Files and folders that appear whole or not at all, and questions about paths. A file or folder is made beside its
 * place under a name that ends in `.tmp`, and then renamed. If its process dies, the rest is removed after a day.
 *
 * No step in between is visible, with one exception, because Node has no system call that replaces a folder by another.
 * Between the two renames of `replaceFolder` the path is empty. If the process dies there, `restoreFolder` undoes the
 * first rename.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  access,
  chmod,
  constants,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readBounded } from './regular-files.js';

/** Longer than any write takes. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** Characters of a name that its unfinished file has, too: no name becomes longer than file systems allow. */
const SHOWN_OF_NAME = 50;

/** A block of a disk: a full one has no room for it, but for an empty file. */
const PROBE_BYTES = 4096;

/** Whether the path is a file, or a link to one. */
export function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Whether the path is a folder, or a link to one. */
export function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Whether the path is taken: by a file, a folder, or a link even if its target is missing. */
export function isTaken(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** Whether the name is one that `makeWhole` gives to unfinished files and folders. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.tmp');
}

/** Remove unfinished entries of `folder` that are older than a day. Entries that cannot be read or removed stay. */
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
 * Make a file, which replaces an older one, or a folder, which must not exist yet. `make` is called with a path beside
 * `path` and writes there. Throws the error of `make`, or that of the system if a folder exists already; the unfinished
 * rest is removed first.
 */
export async function makeWhole(path: string, make: (unfinished: string) => Promise<void>): Promise<void> {
  const unfinished = join(dirname(path), `${basename(path).slice(0, SHOWN_OF_NAME)}.${randomUUID()}.tmp`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(unfinished);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Write a file that a person named. An older one is replaced as a whole: at the place where links lead, with its mode, and
 * only if it may be written. What is no regular file, such as a device or a pipe, is written into. Throws the system's error.
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const place = await realpath(path).catch(() => path);
  const there = await stat(place).catch(() => undefined);
  if (there?.isFile() === false) return writeFile(place, content);
  if (there === undefined) return makeWhole(place, (unfinished) => writeFile(unfinished, content));
  await access(place, constants.W_OK);
  const mode = there.mode & 0o777;
  await makeWhole(place, async (unfinished) => {
    await writeFile(unfinished, content, { mode });
    // The process's mask may have taken some of it.
    await chmod(unfinished, mode);
  });
}

/** Open a file that does not exist yet, to write it. */
export function createFile(path: string): Promise<FileHandle> {
  return open(path, 'wx');
}

/** Write the files of a folder to the disk, so that no crash leaves them with holes. */
export async function flushFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = await open(join(folder, name), 'r+');
    await file.sync().finally(() => file.close());
  }
}

/** As flushFolder, with all folders below. */
export async function flushTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await flushTree(path);
    } else {
      const file = await open(path, 'r+');
      await file.sync().finally(() => file.close());
    }
  }
}

/**
 * Move the folder `draft` to `folder`. An old folder is moved to `aside`, and removed at the end. If the draft cannot
 * be moved, the old folder comes back and the draft stays where it is. Only one process may do this at a time.
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

/** Bring back the folder that a dead process's `replaceFolder` moved aside; remove it if the new folder is in place. */
export async function restoreFolder(folder: string, aside: string): Promise<void> {
  if (!(await isTaken(aside))) return;
  if (await isTaken(folder)) await rm(aside, { recursive: true, force: true });
  else await rename(aside, folder);
}

/** Limit in bytes for a kept value. */
const MAX_KEPT_BYTES = 2 ** 24;

interface Kept {
  readonly value: unknown;
  /** sha256 of the value as JSON, hexadecimal. */
  readonly sha256: string;
}

/**
 * The value that `keepJson` kept, through `read`; undefined if there is none, if it is not the one that was kept, or if it
 * cannot be read.
 */
export async function readKept<T>(file: string, read: (json: unknown) => T | undefined): Promise<T | undefined> {
  try {
    const { value, sha256 } = JSON.parse((await readBounded(file, MAX_KEPT_BYTES)).toString()) as Kept;
    return sha256 === digestOf(value) ? read(value) : undefined;
  } catch {
    return undefined;
  }
}

/** Keep a value for later processes. A failed write is ignored: they compute the value again. */
export async function keepJson(file: string, value: unknown): Promise<void> {
  const kept: Kept = { value, sha256: digestOf(value) };
  await makeWhole(file, (unfinished) => writeFile(unfinished, JSON.stringify(kept))).catch(() => undefined);
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/** Why no file can be made in the folder, which is made if it is missing; undefined if one can. Never rejects. */
export async function whyUnwritable(folder: string): Promise<Error | undefined> {
  const file = join(folder, `${randomUUID()}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(file, Buffer.alloc(PROBE_BYTES));
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
  }
}
