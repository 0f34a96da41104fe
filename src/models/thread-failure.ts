/**
 * Errors of a thread that reads a stranger's file, as data on the way to the thread that started it, and what the end of
 * such a thread means for the file.
 */
import { OperatorError } from '../errors.js';
import { ModelFileError } from './files/model-file-error.js';

export interface ThreadFailure {
  readonly kind: 'failed';
  readonly error: { readonly message: string; readonly stack: string | undefined; readonly isForOperator: boolean };
  /** Of a ModelFileError. */
  readonly file?: string;
  readonly field?: string;
  readonly detail?: string;
}

/** Limits of a thread, for messages. */
export interface ThreadLimits {
  readonly limitMs: number;
  /** Limit for its objects, in mebibytes. */
  readonly heapMb: number;
}

/** Anything thrown, as data. */
export function failureOf(thrown: unknown): ThreadFailure {
  const { message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
  const failed = {
    kind: 'failed',
    error: { message, stack, isForOperator: thrown instanceof OperatorError },
  } as const;
  if (!(thrown instanceof ModelFileError)) return failed;
  return { ...failed, file: thrown.file, field: thrown.field, detail: thrown.detail };
}

/** The error that became data. */
export function errorOf({ error, file, field, detail }: ThreadFailure): Error {
  const cause = Object.assign(new Error(error.message), { stack: error.stack });
  if (file !== undefined) return new ModelFileError(file, field ?? '', detail ?? '', { cause });
  return error.isForOperator ? new OperatorError(error.message, { cause }) : cause;
}

/** What ended the thread, as a fault of the file where a limit was reached; all else stays as it is. */
export function explainEnd(cause: unknown, file: string, { limitMs, heapMb }: ThreadLimits): unknown {
  const { name, code } = cause as { readonly name?: unknown; readonly code?: unknown };
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new ModelFileError(file, 'file', `needs more than ${heapMb} MiB to be read`, { cause });
  }
  if (name === 'AbortError' || name === 'TimeoutError') {
    return new ModelFileError(file, 'file', `was not read in ${limitMs / 1000} s`, { cause });
  }
  return cause;
}
