/** How many connections the system lets this process have. Each is an open file, and a process may have so many of them. */
import { readdirSync, readFileSync } from 'node:fs';

/** For models that are loaded, files of the playground that are read, and processes that are started again. */
const SPARE_FILES = 24;

/** Connections that fit beside what is open now and `children` more processes; Infinity where the system does not say. */
export function connectionLimit(children: number): number {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(1, Number(limit) - readdirSync('/proc/self/fd').length - children - SPARE_FILES);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
