/**
 * One process at a time: a lock is a file that says which process of which machine holds it. The lock of a process that
 * is gone is taken over; that of another machine, which shares the folder, is not, since nobody here can tell.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { OperatorError } from '../errors.js';

interface Holder {
  readonly pid: number;
  readonly host: string;
}

/** The locks that this process holds. */
const held = new Set<string>();

/** Do the work while holding the lock. Throws OperatorError, which says who holds it, when it is taken. */
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

async function take(file: string, own: Holder): Promise<void> {
  try {
    await writeFile(file, JSON.stringify(own), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const other = await readHolder(file);
    if (other !== undefined && isAlive(other, own)) throw taken(file, other);
    await removeStale(file, own);
    await take(file, own);
  }
}

/**
 * Remove the lock of a process that is gone. One process at a time looks and removes: another, which has seen the old lock
 * too, would otherwise remove the new one.
 */
async function removeStale(file: string, own: Holder): Promise<void> {
  const turn = `${file}.stale`;
  try {
    await writeFile(turn, JSON.stringify(own), { flag: 'wx' });
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
  return new OperatorError(`Process ${pid} on ${host} is at work there; if it is not, remove ${file}`);
}

/** Undefined where the lock is gone by now. One that cannot be read is being written, by nobody knows whom. */
async function readHolder(file: string): Promise<Holder | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return { pid: 0, host: 'another machine' };
  }
}

function isAlive({ pid, host }: Holder, own: Holder): boolean {
  if (host !== own.host) return true;
  // Not held here, so that the process that died had our number, as in containers it may.
  if (pid === own.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
