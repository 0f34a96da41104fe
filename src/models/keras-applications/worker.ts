/**
 * Entry of the thread that reads one Keras file. It sends one reply unasked once the file is open and checked. Then it
 * answers each index with the values of that source. Errors are sent as data.
 */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import type { KerasSource } from './sources.js';
import { openKerasWeights } from './weights.js';
import { ModelFileError } from '../files/model-file-error.js';

/** The thread's `workerData`. */
export interface KerasStart {
  readonly file: string;
  readonly sources: readonly KerasSource[];
}

export type KerasReply =
  | { readonly kind: 'open' }
  | { readonly kind: 'values'; readonly values: Float32Array<ArrayBuffer> }
  | { readonly kind: 'failed'; readonly field: string; readonly detail: string };

if (parentPort === null) throw new Error('keras-applications/worker.js is the entry of a thread');
await serve(parentPort, workerData as KerasStart);

async function serve(port: MessagePort, { file, sources }: KerasStart): Promise<void> {
  const send = (reply: KerasReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer);
  try {
    const weights = await openKerasWeights(file, sources);
    port.on('message', (index: number) => {
      try {
        const values = weights.values(sources[index]!);
        send({ kind: 'values', values }, [values.buffer]);
      } catch (error) {
        send(asFailure(error));
      }
    });
    send({ kind: 'open' });
  } catch (error) {
    send(asFailure(error));
  }
}

function asFailure(error: unknown): KerasReply {
  if (error instanceof ModelFileError) return { kind: 'failed', field: error.field, detail: error.detail };
  throw error;
}
