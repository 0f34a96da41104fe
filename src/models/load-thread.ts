/**
 * Loads networks whose files hold the architecture itself, on a thread that lives for one load: what a stranger's graph
 * costs to read and to rewrite is known only when it has been done. The thread has limits of time and memory, and the
 * event loop stays free meanwhile. The networks of built-in architectures are loaded by the caller's thread in
 * milliseconds.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { loadNetwork, type NetworkLoader } from './compile.js';
import type { LoadReply, LoadStart } from './load-worker.js';
import { isSelfContained, type ModelFolder } from './manifest.js';
import type { Network } from './networks/network.js';
import { errorOf, explainEnd } from './thread-failure.js';

export interface LoadThreadOptions {
  /** Path of the built load-worker.js. */
  readonly workerFile: string;
  /** Longest time for one load. Default: five minutes, for the largest files on slow disks. */
  readonly limitMs?: number;
  /** Limit for the objects of one load, in mebibytes. Default: 256. */
  readonly heapMb?: number;
}

/** A loader that reads self-contained networks on a thread of their own. Throws as loadNetwork does, and ModelFileError. */
export function createNetworkLoader(options: LoadThreadOptions): NetworkLoader {
  return (content, cache) =>
    isSelfContained(content.manifest) ? loadOnThread(content, cache, options) : loadNetwork(content, cache);
}

async function loadOnThread(
  content: ModelFolder,
  cache: string,
  { workerFile, limitMs = 300_000, heapMb = 256 }: LoadThreadOptions,
): Promise<Network> {
  const file = join(content.folder, content.manifest.weights.file);
  const thread = new Worker(workerFile, {
    workerData: { content, cache } satisfies LoadStart,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  try {
    const signal = AbortSignal.timeout(limitMs);
    const ended = once(thread, 'exit').then(() => Promise.reject(new Error('the thread ended')));
    const [reply] = (await Promise.race([once(thread, 'message', { signal }), ended])) as [LoadReply];
    if (reply.kind === 'loaded') return reply.network;
    throw errorOf(reply);
  } catch (cause) {
    throw explainEnd(cause, file, { limitMs, heapMb });
  } finally {
    await thread.terminate();
  }
}
