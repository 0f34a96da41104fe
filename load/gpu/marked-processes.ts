/**
 * Ends all that a step has started, also what a dead parent left behind: a server that lived on would keep the card's memory. A
 * variable that every process inherits says which they are.
 */
import { readdir, readFile } from 'node:fs/promises';

export const MARK = 'LOAD_GPU_STEP';

/** End every process with this mark but this one. Linux only; elsewhere none is found. */
export async function endMarked(mark: string): Promise<void> {
  // Twice: one may have started another meanwhile.
  for (const _ of [1, 2]) {
    for (const name of await readdir('/proc').catch(() => [])) {
      const pid = Number(name);
      if (!Number.isInteger(pid) || pid === process.pid) continue;
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
      if (environment.includes(`${MARK}=${mark}`)) killProcess(pid);
    }
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
