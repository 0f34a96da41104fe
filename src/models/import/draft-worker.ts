/** Entry of the thread that finds or drafts one model. It sends one reply, and ends. Errors are sent as data. */
import { parentPort, workerData } from 'node:worker_threads';
import { OperatorError } from '../../errors.js';
import { failureOf, type ThreadFailure } from '../thread-failure.js';
import { draftModel, importInto, type Draft, type DraftOptions } from './draft-model.js';
import { sourceAt } from './recognize.js';
import type { Source } from './source.js';

/** The thread's `workerData`. */
export type DraftStart =
  | { readonly work: 'find'; readonly path: string }
  | { readonly work: 'draft'; readonly source: Source; readonly folder: string; readonly options: DraftOptions }
  | { readonly work: 'import'; readonly path: string; readonly folder: string; readonly options: DraftOptions };

export type DraftReply =
  | { readonly kind: 'found'; readonly source: Source }
  | { readonly kind: 'drafted'; readonly draft: Draft }
  | ThreadFailure;

if (parentPort === null) throw new Error('draft-worker.js is the entry of a thread');
parentPort.postMessage(await work(workerData as DraftStart));

async function work(start: DraftStart): Promise<DraftReply> {
  try {
    switch (start.work) {
      case 'find':
        return { kind: 'found', source: await sourceAt(start.path) };
      case 'draft':
        return { kind: 'drafted', draft: await draftModel(start.source, start.folder, start.options) };
      case 'import':
        return { kind: 'drafted', draft: await importInto(start.path, start.folder, start.options) };
    }
  } catch (thrown) {
    const isSystem = start.work !== 'find' && thrown instanceof Error && 'syscall' in thrown;
    return failureOf(isSystem ? new OperatorError(`${start.folder}: cannot be written: ${thrown.message}`) : thrown);
  }
}
