/**
 * Converts Keras files into weights, on a thread that lives for one conversion: the HDF5 library blocks its thread,
 * never returns memory, and may never return from a malicious file.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { convertWeights, type WeightsFile } from '../networks/converted-weights.js';
import type { KerasReply, KerasStart } from './worker.js';
import type { WritableTensor } from '../files/safetensors.js';
import type { FileStamp } from '../../regular-files.js';
import { ModelFileError } from '../files/model-file-error.js';

/** Must change whenever the converted values change: see converted-weights.ts. */
const CONVERSION = 'keras-h5-1';

export interface ThreadOptions {
  /** Path of the built worker.js; default: beside this file. */
  readonly workerFile?: string;
  /** Longest wait for one tensor; after that the conversion fails. */
  readonly patienceMs?: number;
}

const WORKER_FILE = fileURLToPath(new URL('./worker.js', import.meta.url));
const PATIENCE_MS = 120_000;

export interface KerasConversion extends KerasStart {
  readonly stamp: FileStamp;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
}

/** The weights of a Keras file under the builder's names. Throws ModelFileError, or OperatorError as convertWeights. */
export async function convertKerasWeights(
  { file, sources, stamp, cache }: KerasConversion,
  { workerFile = WORKER_FILE, patienceMs = PATIENCE_MS }: ThreadOptions = {},
): Promise<WeightsFile> {
  const threads: Worker[] = [];
  try {
    // The digest covers the sources, because one file may serve several nets: a deeper net's file holds shallower ones.
    const source = createHash('sha256')
      .update(JSON.stringify([stamp.sha256, sources]))
      .digest('hex');
    const tensors = async (): Promise<WritableTensor[]> => {
      // The library's output about broken files is discarded, because the error says the same.
      const options = { execArgv: [], stdout: true, stderr: true };
      const thread = new Worker(workerFile, { workerData: { file, sources } satisfies KerasStart, ...options });
      // Also between two answers, when nobody listens; it ends then, and the next one does not come.
      thread.on('error', () => undefined);
      threads.push(thread);
      await answer(thread, file, patienceMs);
      return sources.map(({ name, dims }, index) => ({
        name,
        dims,
        async values() {
          thread.postMessage(index);
          const reply = await answer(thread, file, patienceMs);
          if (reply.kind !== 'values') throw new Error(`worker.js answered ${reply.kind}, not values`);
          return reply.values;
        },
      }));
    };
    const files = [{ name: basename(file), stamp }];
    return await convertWeights({ cache, name: CONVERSION, digest: source }, { tensors, folder: dirname(file), files });
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** The thread's next reply. Throws ModelFileError if the thread fails, ends or does not answer in time. */
async function answer(
  thread: Worker,
  file: string,
  patienceMs: number,
): Promise<Exclude<KerasReply, { kind: 'failed' }>> {
  const settled = new AbortController();
  const signal = AbortSignal.any([settled.signal, AbortSignal.timeout(patienceMs)]);
  let reply: KerasReply;
  try {
    const ended = once(thread, 'exit', { signal }).then(() => Promise.reject(new Error('the thread ended')));
    const [message] = (await Promise.race([once(thread, 'message', { signal }), ended])) as [KerasReply];
    reply = message;
  } catch (cause) {
    throw new ModelFileError(file, 'file', 'cannot be read as HDF5', { cause });
  } finally {
    settled.abort();
  }
  if (reply.kind === 'failed') throw new ModelFileError(file, reply.field, reply.detail);
  return reply;
}
