/**
 * Locks that let one process at a time do a piece of work. A lock is a file that names its holder: process and machine.
 * The lock of a dead process of this machine is taken over. The lock of another machine that shares the folder is not,
 * because its processes cannot be seen from here.
 */
import { rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { OperatorError } from '../errors.js';
import { readBounded } from '../regular-files.js';

interface Holder {
  readonly pid: number;
  readonly host: string;
}

const MAX_LOCK_BYTES = 4096;

/** The locks that this process holds. */
const held = new Set<string>();

/** Do the work while holding the lock. Throws OperatorError naming the holder if the lock is taken. */
export async function whileLocked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const own: Holder = { pid: process.pid, host: hostname() };
  if (held.has(file)) throw taken(file, own);
  held.add(file);
  try {
    await take(file, own);
    try {
      return await work();
    } finally {
      await rm(file, { force: true });
    }
  } finally {
    held.delete(file);
  }
}

/** The errors of a file that was made and could not be written. After others it may be somebody else's. */
const NOT_WRITTEN: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** Throws EEXIST if the file is there. One that cannot be written, on a full disk, is removed: it would be a lock that nobody holds. */
async function makeLock(file: string, own: Holder): Promise<void> {
  try {
    await writeFile(file, JSON.stringify(own), { flag: 'wx' });
  } catch (error) {
    const isOwn = NOT_WRITTEN.includes((error as NodeJS.ErrnoException).code);
    if (isOwn) await rm(file, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function take(file: string, own: Holder): Promise<void> {
  try {
    await makeLock(file, own);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const other = await readHolder(file);
    if (other !== undefined && isAlive(other, own)) throw taken(file, other);
    await removeStale(file, own);
    await take(file, own);
  }
}

/**
 * Remove the lock of a dead process. Only one process at a time may check and remove it; otherwise another process that
 * saw the old lock would remove the new one.
 */
async function removeStale(file: string, own: Holder): Promise<void> {
  const turn = `${file}.stale`;
  try {
    await makeLock(turn, own);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw taken(turn, (await readHolder(turn)) ?? own);
  }
  try {
    const holder = await readHolder(file);
    if (holder !== undefined && !isAlive(holder, own)) await rm(file, { force: true });
  } finally {
    await rm(turn, { force: true });
  }
}

function taken(file: string, { pid, host }: Holder): OperatorError {
  return new OperatorError(`Process ${pid} on ${host} holds the lock; if that process is gone, remove ${file}`);
}

/**
 * The lock's holder; undefined if the lock is gone by now. A lock that cannot be parsed is just being written by an
 * unknown process, which counts as alive.
 */
async function readHolder(file: string): Promise<Holder | undefined> {
  const text = await readBounded(file, MAX_LOCK_BYTES).catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text.toString()) as Holder;
  } catch {
    return { pid: 0, host: 'another machine' };
  }
}

function isAlive({ pid, host }: Holder, own: Holder): boolean {
  if (host !== own.host) return true;
  // This process does not hold the lock, so a dead process had the same id; in containers that happens.
  if (pid === own.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
