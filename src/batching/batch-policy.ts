/**
 * When to send which batch: a pure function of the queues, the idle workers and the time.
 *
 * Queues are keyed by session and input shape, because only equal shapes can be one batch. The policy is
 * work-conserving: it sends waiting items while a worker is idle, and gathers them while all are busy. On a CPU an idle
 * core gains nothing by waiting (`lingerMs` 0). Several idle workers share the waiting items: two batches of one on two
 * cores are done sooner than one batch of two on one.
 *
 * A worker does not take all waiting items at once. The items of a batch are done together. If a run costs little
 * beside its items (`runOverhead`, f, as a fraction of an item's own cost), n items one by one are done at 1, 2, …, n,
 * but as a batch all at n. If q items wait for a worker, batches of b add q·f/2b + b/2 to the mean time to be done,
 * which is least for b = √(q·f). Items still to come also pay for a run: 1/(1 − u) times as many, if workers are busy
 * for the fraction u of the time. So b = √(q·f/(1 − u)): a busy server works through full batches, and a server with
 * room to spare answers as soon as it can.
 *
 * On a GPU a larger batch saves the fixed cost of a run, and batches have few counts (`batchSizes`): the policy sends
 * the largest count that the waiting items fill, and the rest goes next. The last idle worker may wait for the items
 * that the next count lacks, but only while that pays: judged by the recent gap between arrivals they come sooner than
 * the fixed cost they save, and the oldest item has waited less than `lingerMs`. The wait ends if an item does not come
 * in time. While several workers are idle their time costs nothing, so they share the waiting items at once.
 *
 * The queue of the highest priority goes first; among equals, the one whose head has the lowest turn. Turns share the
 * workers fairly between clients (fair-shares.ts); clients that use less than their share are served in the order of
 * arrival. A lower priority waits as long as a higher one keeps all workers busy, at most until its deadline.
 *
 * Where a run costs little beside its items, items of light clients (light-connections.ts) are in no batch
 * with those of the others: their answer is there when they have run, and not when a whole batch of the others has. Nor do
 * they wait behind one: the others run one by one while light clients come. Many light clients share batches.
 *
 * A run cannot be interrupted. Of several workers the last idle one is kept from long runs while short ones come, so that
 * a client that asks for a few milliseconds does not wait for seconds. Long runs alone get every worker.
 *
 * Batches are capped by count and by cost (multiply-adds), so that one large image does not hold up many. A single item
 * always goes if its memory fits beside the runs that are under way. An item that does not fit may be passed by others for
 * two seconds; then runs end until it fits. After: Triton `dynamic_batch_scheduler.cc`, GetDynamicBatch; TF-Serving's shared batch scheduler.
 */

import type { Flow } from './fair-shares.js';

/** Times are in milliseconds of one clock. */
export interface WaitingItem {
  readonly arrival: number;
  /** When its caller stops waiting. */
  readonly deadline: number;
  /** Higher goes first. */
  readonly priority: number;
  /** Multiply-adds. */
  readonly cost: number;
  /** Memory that it takes while it runs. */
  readonly bytes: number;
  /** Among equal priorities lower goes first: see fair-shares.ts. */
  readonly turn: number;
  readonly flow: Flow;
  /** Its connection asks little: see light-connections.ts. */
  readonly isLight: boolean;
  /** How long this item alone is expected to take, prepared and run; 0 if unknown. */
  readonly expectedMs: number;
}

export interface WaitingQueue {
  /** In the order of service: by priority, then by turn, then by arrival. */
  readonly items: readonly WaitingItem[];
  /** Recent mean time between two arrivals; Infinity if unknown. */
  readonly arrivalGapMs: number;
  /** What one run of the session costs beside its items. An item that joins a batch saves this. */
  readonly fixedCostMs: number;
}

export interface BatchLimits {
  readonly maxBatchSize: number;
  /** Multiply-adds. */
  readonly maxBatchCost: number;
  /** Longest wait of an item while a worker is idle; 0 for a CPU. */
  readonly lingerMs: number;
  /** Counts that a batch may have, rising from 1 to `maxBatchSize`; absent: any. */
  readonly batchSizes?: readonly number[];
  /**
   * What one run costs beside its items, as a fraction of one item's cost. Absent: unknown, and a worker takes its
   * whole share of the waiting items, as far as it fits.
   */
  readonly runOverhead?: number;
}

export interface WorkersNow {
  readonly count: number;
  readonly idle: number;
  /** Those of the idle ones that run nothing. Default: all. */
  readonly free?: number;
  /** The fraction of recent time that they were busy, 0 to 1. */
  readonly utilization: number;
  /** Memory that runs may still take. */
  readonly freeBytes: number;
  /** Memory that the next worker has already for runs of a queue; absent: none. */
  readonly keptFor?: ((key: string) => number) | undefined;
  /** When an item arrived last whose run is short. */
  readonly lastShort: number;
  /** Light clients keep coming. */
  readonly lightCome: boolean;
}

/** A run of this many milliseconds holds up those that take a few. */
const LONG_RUN_MS = 300;
/** A worker is kept for short runs this long after the last one came. */
const SHORT_TRAFFIC_MS = 10_000;

export function isShort({ expectedMs }: Pick<WaitingItem, 'expectedMs'>): boolean {
  return expectedMs < LONG_RUN_MS;
}

/**
 * `idle`: a worker had nothing to do. `full`, `cost`, `memory`: the batch is at that cap. `linger`: waiting longer does not
 * pay.
 */
export type DispatchReason = 'idle' | 'full' | 'cost' | 'memory' | 'linger';

export type Decision =
  | { readonly action: 'dispatch'; readonly key: string; readonly count: number; readonly reason: DispatchReason }
  /** Until an item arrives or a worker becomes idle, or until `until` if given. `lacksMemory`: or until memory is free. */
  | { readonly action: 'wait'; readonly until?: number; readonly lacksMemory?: true };

/** The next step: the first `count` items of the queue `key` to one idle worker, or wait. */
export function decide(
  queues: ReadonlyMap<string, WaitingQueue>,
  workers: WorkersNow,
  limits: BatchLimits,
  now: number,
): Decision {
  if (workers.idle === 0) return { action: 'wait' };
  let best: { key: string; queue: WaitingQueue; head: WaitingItem } | undefined;
  let wakeUp = Infinity;
  /** The first of those that lack memory. */
  let lacking: WaitingItem | undefined;
  for (const [key, queue] of queues) {
    const head = queue.items[0];
    if (head === undefined) continue;
    const until = Math.max(workers.idle === 1 ? lingerUntil(queue, limits) : -Infinity, keptUntil(head, workers));
    if (until > now) wakeUp = Math.min(wakeUp, until);
    else if (head.bytes > workers.freeBytes && head.bytes > freeFor(key, workers))
      lacking = lacking === undefined || goesBefore(head, lacking) ? head : lacking;
    else if (best === undefined || goesBefore(head, best.head)) best = { key, queue, head };
  }
  if (lacking !== undefined && best !== undefined && !mayPass(best.head, lacking, now)) best = undefined;
  if (best !== undefined) {
    const freeBytes = freeFor(best.key, workers);
    return { action: 'dispatch', key: best.key, ...batchOf(best.queue, { ...workers, freeBytes }, limits) };
  }
  return {
    action: 'wait',
    ...(wakeUp !== Infinity && { until: wakeUp }),
    ...(lacking !== undefined && { lacksMemory: true }),
  };
}

function freeFor(key: string, { freeBytes, keptFor }: WorkersNow): number {
  return freeBytes + (keptFor?.(key) ?? 0);
}

/** The order of service: higher priority, then lower turn, then earlier arrival. */
export function inOrderOfService(a: WaitingItem, b: WaitingItem): number {
  return b.priority - a.priority || a.turn - b.turn || a.arrival - b.arrival;
}

function goesBefore(a: WaitingItem, b: WaitingItem): boolean {
  return inOrderOfService(a, b) < 0;
}

/** How long others may pass an item that lacks memory. After that runs must end until it fits. */
const PASSED_MS = 2000;

function mayPass(item: WaitingItem, lacking: WaitingItem, now: number): boolean {
  return goesBefore(item, lacking) || now - lacking.arrival < PASSED_MS;
}

/**
 * Until when the last free worker of several is kept from an item whose run is long. One whose run should be over is not free: how long
 * runs of a kind take is known only after the first.
 */
function keptUntil(head: WaitingItem, { count, idle, free = idle, lastShort }: WorkersNow): number {
  return count > 1 && free <= 1 && !isShort(head) ? lastShort + SHORT_TRAFFIC_MS : -Infinity;
}

/** How many of a queue's first items fit under the caps, and the cap that stopped them. */
function fitting(
  items: readonly WaitingItem[],
  limits: BatchLimits,
  freeBytes = Infinity,
): { count: number; reason: 'full' | 'cost' | 'memory' | undefined } {
  let cost = 0;
  let bytes = 0;
  let count = 0;
  for (const item of items) {
    if (count === limits.maxBatchSize) return { count, reason: 'full' };
    cost += item.cost;
    if (count > 0 && cost > limits.maxBatchCost) return { count, reason: 'cost' };
    bytes += item.bytes;
    if (count > 0 && bytes > freeBytes) return { count, reason: 'memory' };
    count += 1;
  }
  return { count, reason: count === limits.maxBatchSize ? 'full' : undefined };
}

/** Until when a queue's head should wait for more items; a time in the past if it should not. */
function lingerUntil(queue: WaitingQueue, limits: BatchLimits): number {
  const { items, arrivalGapMs, fixedCostMs } = queue;
  const { lingerMs } = limits;
  if (lingerMs === 0 || fixedCostMs === 0) return -Infinity;
  if (fitting(items, limits).reason !== undefined) return -Infinity;
  const missing = nextSize(items.length, limits) - items.length;
  if (missing * arrivalGapMs >= fixedCostMs) return -Infinity;
  const oldest = Math.min(...items.map((item) => item.arrival));
  const newest = Math.max(...items.map((item) => item.arrival));
  const until = Math.min(oldest + lingerMs, newest + fixedCostMs / missing);
  // A wait must leave time for the run. The run's length is unknown, so an item whose deadline is within the wait goes
  // now.
  return items.some((item) => item.deadline <= until) ? -Infinity : until;
}

/** The smallest allowed count above `count`, which is below the largest. */
function nextSize(count: number, { batchSizes }: BatchLimits): number {
  return batchSizes?.find((size) => size > count) ?? count + 1;
}

/** The largest allowed count up to `count`. */
function allowedSize(count: number, { batchSizes }: BatchLimits): number {
  return batchSizes?.findLast((size) => size <= count) ?? count;
}

/** The first items, as far as they are of light clients, or as far as they are of others. */
function ofItsKind(items: readonly WaitingItem[]): readonly WaitingItem[] {
  const end = items.findIndex(({ isLight }) => isLight !== items[0]?.isLight);
  return end < 0 ? items : items.slice(0, end);
}

/** An item of a busy client, while light ones come that would wait for its batch. */
function runsAlone(head: WaitingItem, { lightCome }: WorkersNow, { runOverhead }: BatchLimits): boolean {
  return runOverhead !== undefined && lightCome && !head.isLight;
}

function batchOf(
  queue: WaitingQueue,
  workers: WorkersNow,
  limits: BatchLimits,
): { count: number; reason: DispatchReason } {
  if (runsAlone(queue.items[0]!, workers, limits)) return { count: 1, reason: 'idle' };
  const items = limits.runOverhead === undefined ? queue.items : ofItsKind(queue.items);
  const fits = fitting(items, limits, workers.freeBytes);
  const share = shareOf(items.length, workers, limits);
  if (share < fits.count) return { count: allowedSize(share, limits), reason: 'idle' };
  const lingered = limits.lingerMs > 0 && workers.idle === 1;
  return { count: allowedSize(fits.count, limits), reason: fits.reason ?? (lingered ? 'linger' : 'idle') };
}

/**
 * A higher utilization counts as this: otherwise the best batch size would grow beyond any cap. Smaller batches at full load
 * cost a ResNet up to a seventh of its images a second, because each run reads the weights from memory (load/results/README.md).
 */
const MAX_UTILIZATION = 0.98;

/** How many of the waiting items one idle worker takes. */
function shareOf(waiting: number, { count, idle, utilization }: WorkersNow, { runOverhead }: BatchLimits): number {
  const share = Math.ceil(waiting / idle);
  if (runOverhead === undefined) return share;
  const best = Math.sqrt(((waiting / count) * runOverhead) / (1 - Math.min(utilization, MAX_UTILIZATION)));
  return Math.min(share, Math.max(1, Math.round(best)));
}
