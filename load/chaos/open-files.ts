/** How many files and sockets a process has open; 0 where the system does not tell. */
import { readdir } from 'node:fs/promises';

export async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`).catch(() => [])).length;
}
