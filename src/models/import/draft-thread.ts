/**
 * Finds and drafts models on a thread that lives for one of these (../reader-thread.ts).
 */
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../../errors.js';
import { ModelFileError } from '../files/model-file-error.js';
import { askReader } from '../reader-thread.js';
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

/** The thread's reply. Throws what the work throws, and ModelFileError at a limit, or where a damaged file breaks a reader. */
async function ask(
  start: DraftStart,
  file: string,
  { workerFile = WORKER_FILE, limitMs = 900_000, heapMb = 1024 }: DraftThreadOptions = {},
): Promise<Exclude<DraftReply, { kind: 'failed' }>> {
  try {
    return await askReader<DraftReply>({ workerFile, limitMs, heapMb }, start, file);
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw new ModelFileError(file, 'file', 'is damaged, or has what cannot be read', { cause });
  }
}
