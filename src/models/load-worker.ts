/** Entry of the thread that loads one network. It sends one reply, and ends. Errors are sent as data. */
import { parentPort, workerData } from 'node:worker_threads';
import { OperatorError } from '../errors.js';
import { loadNetwork } from './compile.js';
import { ModelFileError } from './files/model-file-error.js';
import type { ModelFolder } from './manifest.js';
import type { Network } from './networks/network.js';

/** The thread's `workerData`. */
export interface LoadStart {
  readonly content: ModelFolder;
  readonly cache: string;
}

export type LoadReply =
  | { readonly kind: 'loaded'; readonly network: Network }
  | {
      readonly kind: 'failed';
      readonly error: { readonly message: string; readonly stack: string | undefined; readonly isForOperator: boolean };
      /** Of a ModelFileError. */
      readonly file?: string;
      readonly field?: string;
      readonly detail?: string;
    };

if (parentPort === null) throw new Error('load-worker.js is the entry of a thread');
parentPort.postMessage(await load(workerData as LoadStart));

async function load({ content, cache }: LoadStart): Promise<LoadReply> {
  try {
    return { kind: 'loaded', network: await loadNetwork(content, cache) };
  } catch (thrown) {
    const { message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
    const failed = {
      kind: 'failed',
      error: { message, stack, isForOperator: thrown instanceof OperatorError },
    } as const;
    if (!(thrown instanceof ModelFileError)) return failed;
    return { ...failed, file: thrown.file, field: thrown.field, detail: thrown.detail };
  }
}
