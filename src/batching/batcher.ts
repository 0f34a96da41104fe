/**
 * From single items to batches on workers. Callers see `submit()`. Behind it each file hides one thing: item.ts what ends
 * an item (result, deadline, a client that left), waiting-items.ts the queues, batch-policy.ts when to send what,
 * dispatcher.ts when that is asked, batch-runs.ts a run and its retries. What an item holds is not known here; how a batch
 * lies in memory is said in batch-tensors.ts, for whoever runs it.
 *
 * An item waits, then runs, and is settled once. Its deadline or its signal may settle it at any time. A waiting item
 * is then removed before it runs. If the item is running, its batch goes on and its part is dropped.
 */
import { ServiceError } from '../errors.js';
import type { Memory } from '../memory.js';
import { isShort, type BatchLimits } from './batch-policy.js';
import { createBatchRuns, type DispatchReport } from './batch-runs.js';
import { createDispatcher } from './dispatcher.js';
import type { Executor } from './executor.js';
import { itemsBefore, type Asker } from './expected-wait.js';
import { createFairShares, type Arrival } from './fair-shares.js';
import { createLightConnections } from './light-connections.js';
import { createItem, deadlineExceeded, isSlow, type ItemResult, type Submission } from './item.js';
import { costOfMs, createRunCosts, predictMs, type RunCost } from './run-cost.js';
import { createWaitingItems } from './waiting-items.js';

export type { DispatchReport } from './batch-runs.js';
export type { Executor } from './executor.js';
export type { ItemResult, ItemRun, ItemTrace, Submission } from './item.js';

export interface BatcherLimits extends BatchLimits {
  /** Items waiting at the same time. */
  readonly maxQueue: number;
  /** Milliseconds that a run may take before its worker is ended. */
  readonly maxRunMs: number;
}

export interface BatcherOptions<Work, Output> {
  readonly executor: Executor<Work, Output>;
  readonly limits: BatcherLimits;
  /** What runs take from. An item that takes more than there is runs alone. */
  readonly memory: Memory;
  readonly onDispatch?: (report: DispatchReport) => void;
}

export interface Batcher<Work, Output> {
  /** Items that wait for a worker. */
  readonly queued: number;
  /** Items in a run. */
  readonly running: number;
  /** How long a request that came now would wait, judged by recent runs; 0 before the first run. Left out: behind all that waits. */
  expectedWaitMs(asker?: Asker): number;
  /** The cost of a run, for each session that has run; see run-cost.ts. */
  runCosts(): ReadonlyMap<string, RunCost>;
  /** Record that a run outside of the batcher, with `cost` multiply-adds, took `ms`. */
  learn(session: string, cost: number, ms: number): void;
  /** Forget the costs of a session that is closed. */
  forget(session: string): void;
  /**
   * Run one item in some batch. Rejects with QUEUE_FULL or DRAINING at once, DEADLINE_EXCEEDED at the deadline,
   * WORKER_LOST, INFERENCE_FAILED, the item's own failure, or the signal's reason as soon as it is aborted.
   */
  submit(submission: Submission<Work>): Promise<ItemResult<Output>>;
  /** Refuse new items with DRAINING; resolves when every item is settled and every run is over. */
  drain(): Promise<void>;
}

export function createBatcher<Work, Output>({
  executor,
  limits,
  memory,
  onDispatch,
}: BatcherOptions<Work, Output>): Batcher<Work, Output> {
  const costs = createRunCosts();
  const shares = createFairShares();
  const light = createLightConnections();
  const waiting = createWaitingItems<Work, Output>();
  const runs = createBatchRuns<Work, Output>({
    executor,
    memory,
    maxRunMs: limits.maxRunMs,
    expectedMs,
    onRun: observeRun,
    retry: (item) => waiting.retry(item),
  });
  const dispatcher = createDispatcher({
    executor,
    limits,
    memory,
    waiting,
    runs,
    shares,
    light,
    onRunOver: finishDrain,
  });
  const lingers = limits.lingerMs > 0;
  let drained: { promise: Promise<void>; resolve: () => void } | undefined;

  function observeRun(report: DispatchReport, batch: readonly { key: string; cost: number }[]): void {
    const { session, batchSize, inferMs } = report;
    const cost = batch.reduce((sum, item) => sum + item.cost, 0);
    costs.ran(session, cost, inferMs, lingers ? `${batch[0]!.key} × ${batchSize}` : undefined);
    onDispatch?.(report);
  }

  function expectedMs(session: string, cost: number): number | undefined {
    const line = costs.of(session);
    return line === undefined ? undefined : predictMs(line, 1, cost);
  }

  function expectedWaitMs(asker?: Asker): number {
    const counts = asker === undefined ? undefined : new Set(itemsBefore(waiting.all(), asker));
    let ms = 0;
    for (const { items } of waiting.queues.values()) {
      const before = counts === undefined ? items : items.filter((item) => counts.has(item));
      const line = costs.of(items[0]!.session);
      const cost = before.reduce((sum, item) => sum + item.cost, 0);
      if (line !== undefined) ms += predictMs(line, Math.ceil(before.length / limits.maxBatchSize), cost);
    }
    return ms / Math.max(1, runs.count + executor.idle);
  }

  /** Refuse at once what cannot be served. */
  function admit({ signal, deadline, ...asker }: Submission<Work>, now: number): void {
    signal?.throwIfAborted();
    if (drained !== undefined) throw new ServiceError('DRAINING', 'The server is shutting down.');
    if (deadline <= now) throw deadlineExceeded();
    if (waiting.count >= limits.maxQueue) {
      throw new ServiceError('QUEUE_FULL', `The limit of ${limits.maxQueue} waiting images is reached.`, {
        retryAfterS: Math.max(1, Math.ceil(expectedWaitMs(asker) / 1000)),
        limit: { name: 'waiting_images', value: limits.maxQueue, needed: waiting.count + 1 },
      });
    }
  }

  function finishDrain(): void {
    if (waiting.count === 0 && runs.items === 0) drained?.resolve();
  }

  return {
    get queued() {
      return waiting.count;
    },
    get running() {
      return runs.items;
    },
    expectedWaitMs,
    runCosts: () => costs.all(),
    learn: (session, cost, ms) => costs.ran(session, cost, ms),
    forget: (session) => costs.forget(session),
    async submit(submission) {
      const now = performance.now();
      admit(submission, now);
      return new Promise((resolve, reject) => {
        const { session, flow, cost, prepareMs = 0 } = submission;
        const line = costs.of(session);
        // An item that takes more than there is runs alone.
        const bytes = Math.min(submission.bytes, memory.bytes);
        const expectedMs = prepareMs + (line === undefined ? 0 : predictMs(line, 1, cost));
        const seen = light.arrived(flow, waiting.count, now);
        const isLight = seen.isLight && isShort({ expectedMs });
        const item = createItem<Work, Output>(
          { ...submission, bytes },
          {
            arrival: now,
            isLight,
            ...shares.shareOf(
              flow,
              { ...costsOf(submission, line), isLight, isSingle: seen.isSingle },
              waiting.of(flow.client),
            ),
            expectedMs,
          },
          {
            resolve,
            reject,
            onSettled(settled) {
              light.answered(flow, now, performance.now());
              waiting.remove(settled);
              finishDrain();
            },
          },
        );
        waiting.add(item, line !== undefined && isShort(item), lingers ? (line?.fixedMs ?? 0) : 0);
        dispatcher.arrived();
      });
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

/** What is prepared within the time of a run or two counts between addresses, but not between the connections of one. */
function costsOf(
  { cost, prepareMs = 0 }: Submission<unknown>,
  line: RunCost | undefined,
): Pick<Arrival, 'cost' | 'costAmongOwn'> {
  const preparing = line === undefined ? 0 : costOfMs(line, prepareMs);
  return { cost: cost + preparing, costAmongOwn: cost + (isSlow(prepareMs) ? preparing : 0) };
}
