/**
 * One item, from its submission until it is settled once: by a result, a failure, its deadline or its signal, whichever
 * comes first. Later events are ignored. A settled item leaves nothing behind: its timer is cleared, its listener
 * removed.
 */
import { ServiceError } from '../errors.js';
import type { DispatchReason, WaitingItem } from './batch-policy.js';
import type { RunWorker } from './executor.js';
import type { Flow, Share } from './fair-shares.js';

export interface Submission<Work> {
  /** The id of an open session. */
  readonly session: string;
  /** The same text for items that can be one batch: equal names, types and shapes of what goes into the session. */
  readonly shape: string;
  /** Only read, and no longer than until it has left for a worker or the promise has settled, whichever is later. */
  readonly work: Work;
  /** Multiply-adds. */
  readonly cost: number;
  /** Processor time that it takes on the worker before its run, in milliseconds: an estimate. Left out: none. */
  readonly prepareMs?: number;
  /** Memory that it takes while it runs. */
  readonly bytes: number;
  /** Higher goes first. */
  readonly priority: number;
  readonly flow: Flow;
  /** Absolute, in milliseconds of `performance.now()`; Infinity for none. */
  readonly deadline: number;
  readonly signal?: AbortSignal;
  /** Of an item of a traced request. */
  readonly trace?: ItemTrace | undefined;
}

export interface ItemTrace {
  readonly traceId: string;
  /** The item is sent to a worker, at this time of `performance.now()`. Called again when it is tried again. */
  sent(atMs: number): void;
}

export interface ItemResult<Output> {
  /** Of this item; the caller owns it. */
  readonly output: Output;
  /** From submission to the last dispatch, in milliseconds. */
  readonly queueMs: number;
  /** Time of the whole batch in the engine, in milliseconds. */
  readonly inferMs: number;
  readonly batchSize: number;
  /** How it was run. */
  readonly run: ItemRun;
}

/** For whoever wants to know why an item took the time that it took. */
export interface ItemRun {
  readonly reason: DispatchReason | 'retry';
  /** When its batch was sent, in milliseconds of `performance.now()`. */
  readonly sentAtMs: number;
  /** When the engine was done with it, by the machine's clock; undefined if the worker did not say. */
  readonly ranAtMachineMs: number | undefined;
  readonly worker: RunWorker | undefined;
}

export interface Item<Work = unknown, Output = unknown> extends WaitingItem, Share {
  /** It changes while others of its client come and go. */
  turn: number;
  /** Items of equal keys can be one batch. */
  readonly key: string;
  readonly session: string;
  readonly work: Work;
  /** Milliseconds that the worker takes to prepare it, of an item that is slow to prepare; 0 for all others. */
  readonly slowMs: number;
  /** Workers lost while they ran this item. */
  losses: number;
  readonly trace: ItemTrace | undefined;
  readonly settled: boolean;
  readonly resolve: (result: ItemResult<Output>) => void;
  readonly reject: (reason: Error) => void;
}

/**
 * An item that takes longer to prepare is in no batch with items that take less: a batch runs when all of it is prepared.
 */
const SLOW_MS = 100;

export function isSlow(prepareMs: number): boolean {
  return prepareMs > SLOW_MS;
}

/** Who is told what became of an item. */
export interface Listener<Work, Output> {
  readonly resolve: (result: ItemResult<Output>) => void;
  readonly reject: (reason: Error) => void;
  /** Called once, after either of them. */
  readonly onSettled: (item: Item<Work, Output>) => void;
}

/** Longest delay of Node's timers. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** An item that was submitted now, at `arrival`. */
export function createItem<Work, Output>(
  submission: Submission<Work>,
  {
    arrival,
    start,
    rank,
    step,
    charge,
    isAhead,
    isLight,
    expectedMs,
  }: Pick<WaitingItem, 'arrival' | 'expectedMs' | 'isLight'> & Share,
  listener: Listener<Work, Output>,
): Item<Work, Output> {
  const { session, shape, work, flow, cost, prepareMs = 0, bytes, priority, deadline, signal, trace } = submission;
  const slowMs = isSlow(prepareMs) ? prepareMs : 0;
  let settled = false;
  const settle = (deliver: () => void): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    deliver();
    listener.onSettled(item);
  };
  const item: Item<Work, Output> = {
    key: `${session} ${shape}${slowMs > 0 ? ' slow' : ''}`,
    ...{
      session,
      work,
      flow,
      slowMs,
      cost,
      bytes,
      priority,
      deadline,
      arrival,
      start,
      rank,
      step,
      charge,
      isAhead,
      isLight,
      expectedMs,
      trace,
    },
    turn: 0,
    losses: 0,
    get settled() {
      return settled;
    },
    resolve: (result) => settle(() => listener.resolve(result)),
    reject: (reason) => settle(() => listener.reject(reason)),
  };
  const onAbort = (): void => item.reject(signal?.reason as Error);
  const timer = setTimeout(() => item.reject(deadlineExceeded()), Math.min(deadline - arrival, MAX_TIMEOUT_MS));
  signal?.addEventListener('abort', onAbort);
  return item;
}

export function deadlineExceeded(): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the network had run.');
}
