/**
 * Loads networks whose files hold the architecture itself, on a thread of their own (reader-thread.ts). The networks of
 * built-in architectures are loaded by the caller's thread in milliseconds.
 */
import { join } from 'node:path';
import { loadNetwork, type NetworkLoader } from './compile.js';
import type { LoadReply, LoadStart } from './load-worker.js';
import { isSelfContained, type ModelFolder } from './manifest.js';
import type { Network } from './networks/network.js';
import { askReader } from './reader-thread.js';

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
  const start: LoadStart = { content, cache };
  return (await askReader<LoadReply>({ workerFile, limitMs, heapMb }, start, file)).network;
}
