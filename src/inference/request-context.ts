/**
 * How long a request lives, and how its parts run side by side. If a part fails, the other parts are aborted, and the
 * whole settles only when every part has ended. Admission and unloading rely on that.
 */
import { setMaxListeners } from 'node:events';
import type { Flow } from '../batching/fair-shares.js';
import { ServiceError, toServiceError } from '../errors.js';
import type { Failure, RequestTrace } from '../tracing/request-trace.js';

export interface RequestContext {
  /** Whose share of the workers it takes. */
  readonly flow: Flow;
  /** Higher goes first. */
  readonly priority: number;
  /** Absolute, in milliseconds of `performance.now()`; Infinity for none. */
  readonly deadline: number;
  /** Aborted when the client is gone or a sibling has failed; its reason says which. */
  readonly signal: AbortSignal;
  /** Pays for what the request computes; absent: nobody counts. */
  readonly budget?: Budget | undefined;
  /** Of a request to the server. */
  readonly notes?: RequestNotes | undefined;
}

/** What a client may still have computed, in multiply-adds. */
export interface Budget {
  /** Take what is planned. Throws RATE_LIMITED if it is more than is left; nothing is taken then. */
  spend(multiplyAdds: number): void;
  /** Take what is computed beside the plan, whether it is left or not. */
  owe(multiplyAdds: number): void;
}

/** What is learned of a request while it is answered, for its line in the log and its trace. Whoever learns it notes it. */
export interface RequestNotes {
  model: string | undefined;
  images: number | undefined;
  /** Multiply-adds of the passes that have run. */
  macs: number;
  /** Undefined: it is not traced. */
  readonly trace: RequestTrace | undefined;
}

/** Why something failed, for a trace. `signal`: of whoever waited for it. */
export function failureOf(error: unknown, signal: AbortSignal | undefined): Failure {
  return signal?.aborted === true && error === signal.reason ? 'CANCELLED' : toServiceError(error).code;
}

/** A local command has no deadline, and is not cancelled. */
export const localContext: RequestContext = {
  flow: { client: 'command', connection: 0 },
  priority: 0,
  deadline: Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
};

const TOO_LATE = 'The deadline passed before the answer.';

/** Throws DEADLINE_EXCEEDED after the deadline, and the signal's reason when it is aborted. */
export function checkAlive({ deadline, signal }: RequestContext, tooLate = TOO_LATE): void {
  signal.throwIfAborted();
  if (performance.now() >= deadline) throw deadlineExceeded(tooLate);
}

/**
 * Do all tasks side by side, each with a context that is aborted as soon as one of them fails. Resolves to their
 * results in order; rejects with the first failure, when every task has ended.
 */
export async function allTogether<T>(
  context: RequestContext,
  tasks: readonly ((context: RequestContext) => Promise<T>)[],
): Promise<T[]> {
  const siblings = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, siblings.signal]) };
  // Each task listens.
  setMaxListeners(0, shared.signal);
  let failure: { error: unknown } | undefined;
  const results = await Promise.allSettled(
    tasks.map((task) =>
      task(shared).catch((error: unknown) => {
        failure ??= { error };
        siblings.abort(error);
        throw error;
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

/**
 * Wait for a promise that nobody can cancel, such as a session that others wait for too, but no longer than the context
 * lives. Throws like checkAlive; `tooLate` is what DEADLINE_EXCEEDED says.
 */
export async function waitWithin<T>(context: RequestContext, promise: Promise<T>, tooLate = TOO_LATE): Promise<T> {
  // Whatever becomes of it when nobody waits any more.
  promise.catch(() => undefined);
  checkAlive(context, tooLate);
  const { deadline, signal } = context;
  let giveUp: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp);
    if (Number.isFinite(deadline))
      timer = setTimeout(() => reject(deadlineExceeded(tooLate)), deadline - performance.now());
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}

function deadlineExceeded(detail: string): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', detail);
}
