/**
 * Finds and drafts models on a thread that lives for one of these: what a stranger's file costs to read is known only when
 * it has been read. The thread has limits of time and memory, and the event loop stays free meanwhile.
 */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { errorOf, explainEnd } from '../thread-failure.js';
import type { Draft, DraftOptions } from './draft-model.js';
import type { DraftReply, DraftStart } from './draft-worker.js';
import type { Source } from './source.js';

export interface DraftThreadOptions {
  /** Path of the built draft-worker.js. Default: beside this file. */
  readonly workerFile?: string;
  /** Longest time for one model. Default: fifteen minutes, for the largest files on slow disks. */
  readonly limitMs?: number;
  /** Limit for the objects of one model, in mebibytes; values of weights do not count. Default: 1024. */
  readonly heapMb?: number;
}

const WORKER_FILE = fileURLToPath(new URL('./draft-worker.js', import.meta.url));

/** As sourceAt. */
export async function findOnThread(path: string, options?: DraftThreadOptions): Promise<Source> {
  const reply = await ask({ work: 'find', path }, path, options);
  if (reply.kind !== 'found') throw new Error(`draft-worker.js answered ${reply.kind}`);
  return reply.source;
}

/** As draftModel. */
export function draftOnThread(
  source: Source,
  folder: string,
  draft: DraftOptions,
  options?: DraftThreadOptions,
): Promise<Draft> {
  return askForDraft({ work: 'draft', source, folder, options: draft }, source.file, options);
}

/** As importInto. */
export function importOnThread(
  path: string,
  folder: string,
  draft: DraftOptions,
  options?: DraftThreadOptions,
): Promise<Draft> {
  return askForDraft({ work: 'import', path, folder, options: draft }, path, options);
}

async function askForDraft(start: DraftStart, file: string, options?: DraftThreadOptions): Promise<Draft> {
  const reply = await ask(start, file, options);
  if (reply.kind !== 'drafted') throw new Error(`draft-worker.js answered ${reply.kind}`);
  return reply.draft;
}

/** The thread's reply. Throws what the work throws, and ModelFileError at a limit. */
async function ask(
  start: DraftStart,
  file: string,
  { workerFile = WORKER_FILE, limitMs = 900_000, heapMb = 1024 }: DraftThreadOptions = {},
): Promise<Exclude<DraftReply, { kind: 'failed' }>> {
  const thread = new Worker(workerFile, {
    workerData: start,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  });
  try {
    const signal = AbortSignal.timeout(limitMs);
    const ended = once(thread, 'exit').then(() => Promise.reject(new Error('the thread ended')));
    const [reply] = (await Promise.race([once(thread, 'message', { signal }), ended])) as [DraftReply];
    if (reply.kind === 'failed') throw errorOf(reply);
    return reply;
  } catch (cause) {
    throw explainEnd(cause, file, { limitMs, heapMb });
  } finally {
    await thread.terminate();
  }
}
