/**
 * The scheduler's priority of single threads, which Linux has and Node does not show. Others have only that of the
 * process, which is left alone.
 */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * Let the other threads of this process go first, by `nice` steps. Threads that this one starts inherit it. Does nothing
 * where a thread has no priority of its own.
 */
export function yieldToOtherThreads(nice: number): void {
  if (process.platform !== 'linux') return;
  try {
    // Ends in the thread's id, which setpriority(2) takes in place of a process's.
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1);
    setPriority(Number(thread), nice);
  } catch {
    // Some sandboxes forbid it.
  }
}
