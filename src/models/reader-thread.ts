/**
 * A thread that lives for one reading of a stranger's file: what that costs is known only when it has been done. The thread has
 * limits of time and memory, and the event loop stays free meanwhile.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { errorOf, explainEnd, type ThreadFailure, type ThreadLimits } from './thread-failure.js';

export interface ReaderThread extends ThreadLimits {
  /** Path of the thread's built entry. It sends one reply. */
  readonly workerFile: string;
}

/**
 * The thread's reply to `start`, its `workerData`. Throws what it says has failed, and ModelFileError naming `file` where a limit
 * was reached.
 */
export async function askReader<Reply extends { readonly kind: string }>(
  { workerFile, limitMs, heapMb }: ReaderThread,
  start: unknown,
  file: string,
): Promise<Exclude<Reply, ThreadFailure>> {
  const thread = new Worker(workerFile, {
    workerData: start,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
    // What libraries print about broken files is discarded, because the error says the same.
    stdout: true,
    stderr: true,
  });
  // Otherwise the lines wait in memory.
  thread.stdout.resume();
  thread.stderr.resume();
  try {
    const signal = AbortSignal.timeout(limitMs);
    const ended = once(thread, 'exit').then(() => Promise.reject(new Error('the thread ended')));
    const [reply] = (await Promise.race([once(thread, 'message', { signal }), ended])) as [Reply | ThreadFailure];
    if (isFailure(reply)) throw errorOf(reply);
    return reply as Exclude<Reply, ThreadFailure>;
  } catch (cause) {
    throw explainEnd(cause, file, { limitMs, heapMb });
  } finally {
    await thread.terminate();
  }
}

function isFailure(reply: { readonly kind: string }): reply is ThreadFailure {
  return reply.kind === 'failed';
}
