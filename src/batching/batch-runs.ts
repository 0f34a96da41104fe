/**
 * Runs batches on workers: stacks the items, runs and measures the batch, cuts its outputs apart and settles the items.
 * The items of a failed batch run again one by one, so that a bad item fails alone. An item that loses two workers is
 * given up, because it may be the cause.
 */
import { ServiceError } from '../errors.js';
import { WorkerLostError } from '../runtime/pool.js';
import type { DispatchReason } from './batch-policy.js';
import { splitItems, stackItems } from './batch-tensors.js';
import type { Executor } from './executor.js';
import type { Item } from './item.js';

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

export interface BatchRuns {
  /** Runs that are not over. */
  readonly count: number;
  /** Items in these runs, including those already settled. */
  readonly items: number;
  /** Run a batch of at least one item. Never rejects: a failure rejects the items or gives them to `retry`. */
  run(batch: readonly Item[], reason: DispatchReport['reason']): Promise<void>;
}

export interface BatchRunsOptions {
  readonly executor: Executor;
  /** Called before the items of the batch are settled. */
  readonly onRun: (report: DispatchReport, batch: readonly Item[]) => void;
  readonly retry: (item: Item) => void;
}

export function createBatchRuns({ executor, onRun, retry }: BatchRunsOptions): BatchRuns {
  let count = 0;
  let items = 0;

  async function tryBatch(batch: readonly Item[], reason: DispatchReport['reason']): Promise<void> {
    const start = performance.now();
    const batchSize = batch.length;
    const { session } = batch[0]!;
    const feeds = stackItems(
      batch.map((item) => item.feeds),
      (byteLength) => executor.acquireBuffer(byteLength),
    );
    const { outputs, runMs: inferMs } = await executor.run(session, feeds);
    const queueMs = batch.map((item) => start - item.arrival);
    onRun({ session, batchSize, reason, queueMs, inferMs }, batch);
    splitItems(outputs, batchSize).forEach((own, index) => {
      batch[index]!.resolve({ outputs: own, queueMs: queueMs[index]!, inferMs, batchSize });
    });
  }

  return {
    get count() {
      return count;
    },
    get items() {
      return items;
    },
    async run(batch, reason) {
      count += 1;
      items += batch.length;
      try {
        await tryBatch(batch, reason);
      } catch (error) {
        if (error instanceof WorkerLostError) afterLoss(batch, error, retry);
        else afterFailure(batch, error, retry);
      } finally {
        count -= 1;
        items -= batch.length;
      }
    },
  };
}

function afterLoss(batch: readonly Item[], error: WorkerLostError, retry: (item: Item) => void): void {
  for (const item of batch) {
    item.losses += 1;
    if (item.losses < 2) retry(item);
    else item.reject(new ServiceError('WORKER_LOST', 'Two workers were lost with this image.', { cause: error }));
  }
}

function afterFailure(batch: readonly Item[], error: unknown, retry: (item: Item) => void): void {
  if (batch.length > 1) batch.forEach(retry);
  else batch[0]!.reject(new ServiceError('INFERENCE_FAILED', 'The network failed on this image.', { cause: error }));
}
