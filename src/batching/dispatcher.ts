/**
 * Sends waiting items to idle workers, as batch-policy.ts decides. Asks the policy whenever something changes: an item
 * arrives, a worker becomes idle, a run fails, or a wait that the policy asked for is over.
 */
import { ServiceError } from '../errors.js';
import type { Memory } from '../memory.js';
import { decide, type BatchLimits } from './batch-policy.js';
import type { BatchRuns, DispatchReport } from './batch-runs.js';
import type { Executor } from './executor.js';
import type { FairShares } from './fair-shares.js';
import { deadlineExceeded, type Item } from './item.js';
import type { LightConnections } from './light-connections.js';
import type { WaitingItems } from './waiting-items.js';

/** Weight of the newest arrival in the running mean of the fraction of workers found busy. */
const UTILIZATION_WEIGHT = 1 / 32;

export interface DispatcherOptions<Work, Output> {
  readonly executor: Pick<Executor<Work, Output>, 'size' | 'idle' | 'free' | 'failure' | 'keptForNext' | 'onIdle'>;
  readonly limits: BatchLimits;
  readonly memory: Pick<Memory, 'freeForRuns' | 'wanted' | 'onFreed'>;
  readonly waiting: WaitingItems<Work, Output>;
  readonly runs: BatchRuns<Work, Output>;
  readonly shares: Pick<FairShares, 'served' | 'turnsOf'>;
  readonly light: Pick<LightConnections, 'come'>;
  readonly onRunOver: () => void;
}

export interface Dispatcher {
  /**
   * Report that a new item waits. It is sent at the end of this turn of the event loop, so that the idle workers share
   * the items of one turn.
   */
  arrived(): void;
}

export function createDispatcher<Work, Output>({
  executor,
  limits,
  memory,
  waiting,
  runs,
  shares,
  light,
  onRunOver,
}: DispatcherOptions<Work, Output>): Dispatcher {
  /** Arrivals that come at random see what holds on average over time. */
  let utilization = 0;
  let wakeUp: NodeJS.Timeout | undefined;
  let scheduled = false;

  executor.onIdle(dispatchAll);
  memory.onFreed(soon);

  /** Start every batch that the policy sends now. */
  function dispatchAll(): void {
    clearTimeout(wakeUp);
    wakeUp = undefined;
    if (executor.failure !== undefined) rejectAll(executor.failure);
    while (executor.idle > 0) {
      const { nextRetry } = waiting;
      if (nextRetry !== undefined) {
        dispatch([nextRetry], 'retry');
        continue;
      }
      waiting.sort((items) => shares.turnsOf(items));
      const now = performance.now();
      const { lastShort } = waiting;
      const freeBytes = memory.freeForRuns;
      const lightCome = light.come(now);
      const { size: count, idle, free } = executor;
      const keptFor = (key: string): number => executor.keptForNext?.(waiting.queues.get(key)!.items[0]!.session) ?? 0;
      const workers = { count, idle, free, utilization, freeBytes, keptFor, lastShort, lightCome };
      const decision = decide(waiting.queues, workers, limits, now);
      if (decision.action === 'wait') {
        if (decision.lacksMemory) memory.wanted();
        if (decision.until !== undefined) wakeUp = setTimeout(dispatchAll, Math.ceil(decision.until - now));
        return;
      }
      dispatch(waiting.queues.get(decision.key)!.items.slice(0, decision.count), decision.reason);
    }
  }

  /** Take waiting items to a worker, but none whose deadline's timer is only late. */
  function dispatch(items: readonly Item<Work, Output>[], reason: DispatchReport['reason']): void {
    const now = performance.now();
    for (const item of items) {
      shares.served(item, waiting.of(item.flow.client));
      waiting.remove(item);
    }
    items.filter((item) => item.deadline <= now).forEach((item) => item.reject(deadlineExceeded()));
    const batch = items.filter((item) => !item.settled);
    if (batch.length > 0) void run(batch, reason);
  }

  async function run(batch: readonly Item<Work, Output>[], reason: DispatchReport['reason']): Promise<void> {
    await runs.run(batch, reason);
    // Items may have waited for the memory of this run, or for their retry.
    if (waiting.count > 0) dispatchAll();
    onRunOver();
  }

  function rejectAll(cause: Error): void {
    for (const item of waiting.all()) {
      item.reject(new ServiceError('WORKER_LOST', 'No inference worker can be started.', { cause }));
    }
  }

  /** At the end of this turn of the event loop. */
  function soon(): void {
    if (scheduled || waiting.count === 0) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      dispatchAll();
    });
  }

  return {
    arrived() {
      utilization += UTILIZATION_WEIGHT * (1 - executor.idle / executor.size - utilization);
      soon();
    },
  };
}
