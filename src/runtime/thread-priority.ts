/**
 * The scheduling priority of a single thread, which Linux has and Node does not expose. Other systems have only a
 * priority of the whole process, which is left alone.
 */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * Give this thread the nice value `nice`, so that the other threads of the process go first. Threads that this one
 * starts inherit it. Does nothing on systems where a thread has no priority of its own.
 */
export function yieldToOtherThreads(nice: number): void {
  if (process.platform !== 'linux') return;
  try {
    // The link ends in the thread's id, which setpriority(2) takes in place of a process id.
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1);
    setPriority(Number(thread), nice);
  } catch {
    // Some sandboxes forbid it.
  }
}
