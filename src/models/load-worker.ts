/** Entry of the thread that loads one network. It sends one reply, and ends. Errors are sent as data. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadNetwork } from './compile.js';
import type { ModelFolder } from './manifest.js';
import type { Network } from './networks/network.js';
import { failureOf, type ThreadFailure } from './thread-failure.js';

/** The thread's `workerData`. */
export interface LoadStart {
  readonly content: ModelFolder;
  readonly cache: string;
}

export type LoadReply = { readonly kind: 'loaded'; readonly network: Network } | ThreadFailure;

if (parentPort === null) throw new Error('load-worker.js is the entry of a thread');
parentPort.postMessage(await load(workerData as LoadStart));

async function load({ content, cache }: LoadStart): Promise<LoadReply> {
  try {
    return { kind: 'loaded', network: await loadNetwork(content, cache) };
  } catch (thrown) {
    return failureOf(thrown);
  }
}
