/**
 * From single images to batches on workers. Callers see `submit()`; inside are the queues, what ends an item early
 * (deadline, a client that left), the retries and the drain. When to send what is decided by batch-policy.ts, how a
 * batch lies in memory by batch-tensors.ts.
 *
 * An item is waiting, then running, and settled once. It may be settled at any time by its deadline or its signal:
 * while waiting it leaves its queue and costs no run, while running its batch goes on and its part is dropped. A batch
 * that fails is tried again item by item, each alone, so that one bad item fails alone; an item whose worker is lost
 * twice is given up, as it may be what kills them.
 */
import { ServiceError } from '../errors.js';
import { WorkerLostError, type RunResult } from '../runtime/pool.js';
import type { TensorMap } from '../tensor.js';
import { decide, goesBefore, type BatchLimits, type DispatchReason, type WaitingItem } from './batch-policy.js';
import { shapeKey, splitItems, stackItems } from './batch-tensors.js';
import { createRunCosts, predictMs, type RunCost } from './run-cost.js';

/** What the batcher needs of the worker pool. */
export interface Executor {
  /** How many `run`s there can be at the same time. */
  readonly size: number;
  /** How many more `run`s may be started now. */
  readonly idle: number;
  /** Why nothing can run any more; undefined while it can. */
  readonly failure: Error | undefined;
  /** Called only while `idle` > 0, which it lowers at once. The feeds' buffers are given up. */
  run(sessionId: string, feeds: TensorMap): Promise<RunResult>;
  /** Be told when `idle` rises or `failure` is set. */
  onIdle(callback: () => void): void;
  /** A buffer for feeds of at least `byteLength` bytes. */
  acquireBuffer(byteLength: number): ArrayBuffer;
}

export interface BatcherLimits extends BatchLimits {
  /** Items waiting at the same time. */
  readonly maxQueue: number;
}

/** One batch that has run, for metrics. */
export interface DispatchReport {
  readonly session: string;
  readonly batchSize: number;
  /** `retry`: an item of a failed batch, alone. */
  readonly reason: DispatchReason | 'retry';
  /** Time each item waited, in milliseconds. */
  readonly queueMs: readonly number[];
  /** Time in the engine, in milliseconds. */
  readonly inferMs: number;
}

export interface BatcherOptions {
  readonly executor: Executor;
  readonly limits: BatcherLimits;
  readonly onDispatch?: (report: DispatchReport) => void;
}

export interface Submission {
  /** The id of an open session. */
  readonly session: string;
  /** Of one item, without the batch axis, e.g. image `[h, w, 3]`. Only read, until the promise settles. */
  readonly feeds: TensorMap;
  /** Multiply-adds. */
  readonly cost: number;
  /** Higher goes first. */
  readonly priority: number;
  /** Absolute, in milliseconds of `performance.now()`; Infinity for none. */
  readonly deadline: number;
  readonly signal?: AbortSignal;
}

export interface ItemResult {
  /** Of this item, without the batch axis; the caller owns them. */
  readonly outputs: TensorMap;
  /** From submission to the last dispatch, in milliseconds. */
  readonly queueMs: number;
  /** Time of the whole batch in the engine, in milliseconds. */
  readonly inferMs: number;
  readonly batchSize: number;
}

export interface Batcher {
  /** Items that wait for a worker. */
  readonly queued: number;
  /** Items in a run. */
  readonly running: number;
  /** How long an item that came now would wait, judged by recent runs; 0 before the first. */
  expectedWaitMs(): number;
  /** What a run of each session costs, of those that have run; see run-cost.ts. */
  runCosts(): ReadonlyMap<string, RunCost>;
  /** A run of a session outside of the batcher, with that many multiply-adds, took `ms`. */
  learn(session: string, cost: number, ms: number): void;
  /** The session is closed. */
  forget(session: string): void;
  /**
   * Run one item in some batch. Rejects with QUEUE_FULL or DRAINING at once, DEADLINE_EXCEEDED at the deadline,
   * WORKER_LOST, INFERENCE_FAILED, or the signal's reason as soon as it is aborted.
   */
  submit(submission: Submission): Promise<ItemResult>;
  /** Refuse new items with DRAINING; resolves when every item is settled and every run is over. */
  drain(): Promise<void>;
}

interface Item extends WaitingItem {
  readonly key: string;
  readonly session: string;
  readonly feeds: TensorMap;
  /** Workers lost while they ran this item. */
  losses: number;
  settled: boolean;
  readonly resolve: (result: ItemResult) => void;
  readonly reject: (reason: Error) => void;
}

interface Queue {
  readonly items: Item[];
  readonly arrivalGapMs: number;
  readonly fixedCostMs: number;
}

/** Longest delay of Node's timers. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Weight of the newest arrival in the running mean of how many workers it finds busy. */
const UTILIZATION_WEIGHT = 1 / 32;

export function createBatcher({ executor, limits, onDispatch }: BatcherOptions): Batcher {
  const queues = new Map<string, Queue>();
  /** Items of failed batches, before everything else. */
  const retries: Item[] = [];
  const gaps = createArrivalGaps();
  const costs = createRunCosts();
  const lingers = limits.lingerMs > 0;
  let queued = 0;
  let running = 0;
  let runs = 0;
  /** Arrivals that come at random see what holds on average over time. */
  let utilization = 0;
  let lingerTimer: NodeJS.Timeout | undefined;
  let pumpScheduled = false;
  let drained: { promise: Promise<void>; resolve: () => void } | undefined;

  executor.onIdle(pump);

  function enqueue(item: Item): void {
    const { items } = queues.get(item.key) ?? { items: [] };
    const after = items.findLastIndex((other) => !goesBefore(item, other));
    items.splice(after + 1, 0, item);
    const fixedCostMs = lingers ? (costs.of(item.session)?.fixedMs ?? 0) : 0;
    queues.set(item.key, { items, arrivalGapMs: gaps.arrived(item.key, item.arrival), fixedCostMs });
    utilization += UTILIZATION_WEIGHT * (1 - executor.idle / executor.size - utilization);
    queued += 1;
  }

  function enqueueRetry(item: Item): void {
    if (item.settled) return;
    retries.push(item);
    queued += 1;
  }

  /** Take an item out of where it waits, if it waits. */
  function withdraw(item: Item): void {
    const items = queues.get(item.key)?.items;
    const list = items?.includes(item) === true ? items : retries;
    const index = list.indexOf(item);
    if (index < 0) return;
    list.splice(index, 1);
    if (items?.length === 0) queues.delete(item.key);
    queued -= 1;
  }

  /** Start whatever the policy sends now. */
  function pump(): void {
    clearTimeout(lingerTimer);
    lingerTimer = undefined;
    if (executor.failure !== undefined) failAll(executor.failure);
    while (executor.idle > 0) {
      const retry = retries[0];
      if (retry !== undefined) {
        dispatch([retry], 'retry');
        continue;
      }
      const now = performance.now();
      const decision = decide(queues, { count: executor.size, idle: executor.idle, utilization }, limits, now);
      if (decision.action === 'wait') {
        if (decision.until !== undefined) lingerTimer = setTimeout(pump, Math.ceil(decision.until - now));
        return;
      }
      dispatch(queues.get(decision.key)!.items.slice(0, decision.count), decision.reason);
    }
  }

  /** Take waiting items to a worker, but none whose deadline's timer is only late. */
  function dispatch(items: readonly Item[], reason: DispatchReport['reason']): void {
    const now = performance.now();
    items.forEach(withdraw);
    items.filter((item) => item.deadline <= now).forEach((item) => item.reject(deadlineExceeded()));
    const batch = items.filter((item) => !item.settled);
    if (batch.length > 0) void runBatch(batch, reason);
  }

  /** Items that come in one turn of the event loop are shared among the idle workers together. */
  function schedulePump(): void {
    if (pumpScheduled) return;
    pumpScheduled = true;
    queueMicrotask(() => {
      pumpScheduled = false;
      pump();
    });
  }

  /** Never rejects: whatever goes wrong settles the items or queues them again. */
  async function runBatch(batch: readonly Item[], reason: DispatchReport['reason']): Promise<void> {
    const start = performance.now();
    const batchSize = batch.length;
    const { session } = batch[0]!;
    running += batchSize;
    runs += 1;
    try {
      const feeds = stackItems(
        batch.map((item) => item.feeds),
        (byteLength) => executor.acquireBuffer(byteLength),
      );
      const { outputs, runMs: inferMs } = await executor.run(session, feeds);
      const queueMs = batch.map((item) => start - item.arrival);
      const cost = batch.reduce((sum, item) => sum + item.cost, 0);
      costs.ran(session, cost, inferMs, lingers ? `${batch[0]!.key} × ${batchSize}` : undefined);
      onDispatch?.({ session, batchSize, reason, queueMs, inferMs });
      splitItems(outputs, batchSize).forEach((own, index) => {
        batch[index]!.resolve({ outputs: own, queueMs: queueMs[index]!, inferMs, batchSize });
      });
    } catch (error) {
      if (error instanceof WorkerLostError) afterLoss(batch, error);
      else afterFailure(batch, error);
    } finally {
      running -= batchSize;
      runs -= 1;
    }
    if (retries.length > 0) pump();
    finishDrain();
  }

  function afterLoss(batch: readonly Item[], error: WorkerLostError): void {
    for (const item of batch) {
      item.losses += 1;
      if (item.losses < 2) enqueueRetry(item);
      else item.reject(new ServiceError('WORKER_LOST', 'Two workers were lost with this image.', { cause: error }));
    }
  }

  function afterFailure(batch: readonly Item[], error: unknown): void {
    if (batch.length > 1) batch.forEach(enqueueRetry);
    else batch[0]!.reject(new ServiceError('INFERENCE_FAILED', 'The network failed on this image.', { cause: error }));
  }

  function failAll(cause: Error): void {
    for (const item of [...retries, ...[...queues.values()].flatMap(({ items }) => items)]) {
      item.reject(new ServiceError('WORKER_LOST', 'No inference worker can be started.', { cause }));
    }
  }

  function expectedWaitMs(): number {
    let ms = 0;
    for (const { items } of queues.values()) {
      const line = costs.of(items[0]!.session);
      const cost = items.reduce((sum, item) => sum + item.cost, 0);
      if (line !== undefined) ms += predictMs(line, Math.ceil(items.length / limits.maxBatchSize), cost);
    }
    return ms / Math.max(1, runs + executor.idle);
  }

  function finishDrain(): void {
    if (queued === 0 && running === 0) drained?.resolve();
  }

  /** Refuse at once what cannot be served. */
  function admit({ signal, deadline }: Submission, now: number): void {
    signal?.throwIfAborted();
    if (drained !== undefined) throw new ServiceError('DRAINING', 'The server is shutting down.');
    if (deadline <= now) throw deadlineExceeded();
    if (queued >= limits.maxQueue) {
      throw new ServiceError('QUEUE_FULL', `The limit of ${limits.maxQueue} waiting images is reached.`, {
        retryAfterS: Math.max(1, Math.ceil(expectedWaitMs() / 1000)),
      });
    }
  }

  function wait(
    { session, feeds, cost, priority, deadline, signal }: Submission,
    arrival: number,
  ): Promise<ItemResult> {
    return new Promise((resolve, reject) => {
      /** The only way to settle an item: once, and nothing of it is left behind. */
      const settle = (deliver: () => void): void => {
        if (item.settled) return;
        item.settled = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        withdraw(item);
        deliver();
        finishDrain();
      };
      const item: Item = {
        key: `${session} ${shapeKey(feeds)}`,
        ...{ session, feeds, cost, priority, deadline, arrival },
        losses: 0,
        settled: false,
        resolve: (result) => settle(() => resolve(result)),
        reject: (reason) => settle(() => reject(reason)),
      };
      const onAbort = (): void => item.reject(signal?.reason as Error);
      const timer = setTimeout(() => item.reject(deadlineExceeded()), Math.min(deadline - arrival, MAX_TIMEOUT_MS));
      signal?.addEventListener('abort', onAbort);
      enqueue(item);
      schedulePump();
    });
  }

  return {
    get queued() {
      return queued;
    },
    get running() {
      return running;
    },
    expectedWaitMs,
    runCosts: () => costs.all(),
    learn: (session, cost, ms) => costs.ran(session, cost, ms),
    forget: (session) => costs.forget(session),
    async submit(submission) {
      const now = performance.now();
      admit(submission, now);
      return wait(submission, now);
    },
    drain() {
      if (drained === undefined) {
        let resolve: () => void = () => undefined;
        drained = { promise: new Promise((done) => (resolve = done)), resolve: () => resolve() };
        finishDrain();
      }
      return drained.promise;
    },
  };
}

function deadlineExceeded(): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the network had run.');
}

/** Running means of the time between arrivals, for the keys seen last. */
function createArrivalGaps(): { arrived(key: string, now: number): number } {
  const KEYS = 64;
  const WEIGHT = 0.25;
  /** The key seen longest ago first. */
  const seen = new Map<string, { last: number; gapMs: number }>();
  return {
    arrived(key, now) {
      const before = seen.get(key);
      const gap = before === undefined ? Infinity : now - before.last;
      const gapMs =
        before === undefined || before.gapMs === Infinity ? gap : (1 - WEIGHT) * before.gapMs + WEIGHT * gap;
      seen.delete(key);
      seen.set(key, { last: now, gapMs });
      if (seen.size > KEYS) seen.delete(seen.keys().next().value!);
      return gapMs;
    },
  };
}
