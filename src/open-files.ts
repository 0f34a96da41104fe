/** How many files the system lets this process have open. Each connection is one. */
import { readdirSync, readFileSync } from 'node:fs';

/** Node opens about a hundred at once when it loads the modules of a command. */
export const LEAST_OPEN_FILES = 256;

/** For models that are loaded, files of the playground that are read, and processes that are started again. */
const SPARE_FILES = 24;

/** Infinity where the system does not say. */
export function openFileLimit(): number {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return Number(limit ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Connections that fit beside the files that are open now and those of `children` more processes. */
export function connectionLimit(children: number): number {
  const limit = openFileLimit();
  if (limit === Number.POSITIVE_INFINITY) return limit;
  return Math.max(1, limit - readdirSync('/proc/self/fd').length - children - SPARE_FILES);
}
