/**
 * Batches on workers: run, measured, and their items settled. A batch that fails as a whole is tried again item by item,
 * each alone, so that one bad item fails alone. An item whose worker is lost twice is given up: it may be what kills them.
 */
import { ServiceError, WorkerLostError } from '../errors.js';
import type { Memory } from '../memory.js';
import type { DispatchReason } from './batch-policy.js';
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
  /** Of a request whose item is in the batch and that is traced. */
  readonly traceId: string | undefined;
}

export interface BatchRuns<Work, Output> {
  /** Runs that are not over. */
  readonly count: number;
  /** Items in these runs, including those already settled. */
  readonly items: number;
  /** Run a batch of at least one item. Never rejects: whatever goes wrong rejects its items or gives them to `retry`. */
  run(batch: readonly Item<Work, Output>[], reason: DispatchReport['reason']): Promise<void>;
}

export interface BatchRunsOptions<Work, Output> {
  readonly executor: Pick<Executor<Work, Output>, 'run'>;
  readonly memory: Pick<Memory, 'takeForRun'>;
  /** A run takes no longer; its worker is ended. Not that of an item without a deadline. */
  readonly maxRunMs: number;
  /** How long a run of a session is expected to take; undefined if unknown. */
  readonly expectedMs: (session: string, cost: number) => number | undefined;
  /** Told before the items of the batch are settled. */
  readonly onRun: (report: DispatchReport, batch: readonly Item<Work, Output>[]) => void;
  readonly retry: (item: Item<Work, Output>) => void;
}

/** Bytes that the output of each item may have beside the memory of its run, which holds maps. */
const OUTPUT_BYTES = 2 ** 20;

export function createBatchRuns<Work, Output>({
  executor,
  memory,
  maxRunMs,
  expectedMs,
  onRun,
  retry,
}: BatchRunsOptions<Work, Output>): BatchRuns<Work, Output> {
  let count = 0;
  let items = 0;

  async function tryBatch(batch: readonly Item<Work, Output>[], reason: DispatchReport['reason']): Promise<void> {
    const start = performance.now();
    const { session } = batch[0]!;
    const works = batch.map(({ work }) => work);
    const isBounded = batch.every(({ deadline }) => Number.isFinite(deadline));
    const cost = batch.reduce((sum, item) => sum + item.cost, 0);
    const taken = bytesOf(batch);
    for (const { trace } of batch) trace?.sent(start);
    const ran = await executor.run(session, works, {
      limitMs: isBounded ? maxRunMs : undefined,
      maxAnswerBytes: isBounded ? taken + OUTPUT_BYTES * batch.length : undefined,
      expectedMs: busyMs(expectedMs(session, cost), batch),
      bytes: taken,
    });
    const { outcomes, runMs: inferMs, ranAtMachineMs, worker } = ran;
    const how = { reason, sentAtMs: start, ranAtMachineMs, worker };
    const queueMs = batch.map((item) => start - item.arrival);
    const hasRun = batch.filter((_, index) => 'output' in outcomes[index]!);
    if (hasRun.length > 0) {
      const traceId = hasRun.find(({ trace }) => trace !== undefined)?.trace?.traceId;
      onRun({ session, batchSize: hasRun.length, reason, queueMs, inferMs, traceId }, hasRun);
    }
    outcomes.forEach((outcome, index) => {
      const item = batch[index]!;
      if ('error' in outcome) item.reject(outcome.error);
      else {
        const { output } = outcome;
        item.resolve({ output, queueMs: queueMs[index]!, inferMs, batchSize: hasRun.length, run: how });
      }
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
      const giveBack = memory.takeForRun(bytesOf(batch));
      try {
        await tryBatch(batch, reason);
      } catch (error) {
        if (error instanceof WorkerLostError) afterLoss(batch, error, retry);
        else afterFailure(batch, error, retry);
      } finally {
        count -= 1;
        items -= batch.length;
        giveBack();
      }
    },
  };
}

/** The next batch is prepared while this one runs, but not beside items that are slow to prepare. */
function busyMs(runMs: number | undefined, batch: readonly { readonly slowMs: number }[]): number | undefined {
  return runMs === undefined ? undefined : batch.reduce((sum, { slowMs }) => sum + slowMs, runMs);
}

function bytesOf(batch: readonly { readonly bytes: number }[]): number {
  return batch.reduce((sum, item) => sum + item.bytes, 0);
}

function afterLoss<Work, Output>(
  batch: readonly Item<Work, Output>[],
  error: WorkerLostError,
  retry: (item: Item<Work, Output>) => void,
): void {
  for (const item of batch) {
    item.losses += 1;
    if (item.losses < 2) retry(item);
    else item.reject(new ServiceError('WORKER_LOST', 'Two workers were lost with this image.', { cause: error }));
  }
}

function afterFailure<Work, Output>(
  batch: readonly Item<Work, Output>[],
  error: unknown,
  retry: (item: Item<Work, Output>) => void,
): void {
  if (batch.length > 1) batch.forEach(retry);
  else batch[0]!.reject(new ServiceError('INFERENCE_FAILED', 'The network failed on this image.', { cause: error }));
}
