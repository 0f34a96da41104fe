/**
 * Runs converters on a thread that lives for one conversion: what a stranger's file costs to read is known only when it
 * has been read. The thread has limits of time and memory, and the event loop stays free meanwhile.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../../errors.js';
import { ModelFileError } from '../files/model-file-error.js';
import { errorOf, explainEnd, type ThreadFailure } from '../thread-failure.js';
import type { Conversion, Converter, Stated } from './conversion.js';

/** The formats that have a converter. */
export type Format = 'keras' | 'pytorch' | 'tfjs-graph';

/** The thread's `workerData`. */
export interface ImportStart {
  readonly format: Format;
  readonly file: string;
  readonly folder: string;
  readonly stated: Stated;
}

export type ImportReply = { readonly kind: 'converted'; readonly conversion: Conversion } | ThreadFailure;

export interface ImportThreadOptions {
  /** Path of the built worker.js. Default: beside this file. */
  readonly workerFile?: string;
  /** Longest time for one conversion. Default: ten minutes, for the largest files on slow disks. */
  readonly limitMs?: number;
  /** Limit for the objects of one conversion, in mebibytes; values of weights do not count. Default: 1024. */
  readonly heapMb?: number;
}

const WORKER_FILE = fileURLToPath(new URL('./worker.js', import.meta.url));

/** A converter that runs on a thread of its own. It throws ModelFileError or OperatorError, whatever happens there. */
export function onThread(
  format: Format,
  { workerFile = WORKER_FILE, limitMs = 600_000, heapMb = 1024 }: ImportThreadOptions = {},
): Converter {
  return async (file, folder, stated) => {
    const thread = new Worker(workerFile, {
      workerData: { format, file, folder, stated } satisfies ImportStart,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
      // What the HDF5 library prints about broken files is discarded, because the error says the same.
      stdout: true,
      stderr: true,
    });
    try {
      const signal = AbortSignal.timeout(limitMs);
      const ended = once(thread, 'exit').then(() => Promise.reject(new Error('the thread ended')));
      const [reply] = (await Promise.race([once(thread, 'message', { signal }), ended])) as [ImportReply];
      if (reply.kind === 'converted') return reply.conversion;
      throw errorOf(reply);
    } catch (cause) {
      const explained = explainEnd(cause, file, { limitMs, heapMb });
      // A damaged file may break a reader where it expects no damage.
      throw explained instanceof OperatorError
        ? explained
        : new ModelFileError(file, 'file', 'is damaged, or has what cannot be read', { cause });
    } finally {
      await thread.terminate();
    }
  };
}
