/**
 * When to send which batch: a pure function of the queues, the idle workers and the time.
 *
 * Queues are keyed by session and input shape, because only equal shapes can be one batch. The policy is
 * work-conserving: while a worker is idle, what waits is sent; while all are busy, it gathers. On a CPU nothing is gained
 * by waiting with an idle core (`lingerMs` 0), and with several idle workers the waiting items are shared among them:
 * two batches of one on two cores are done sooner than one batch of two on one.
 *
 * Nor is everything that waits taken at once. A batch is done when all of it is: where a run costs little beside its items
 * (`runOverhead`, f, as part of an item's own cost), n items one by one are done at 1, 2, …, n, as a batch all at n. For q
 * items waiting for a worker, batches of b make the mean time to be done q·f/2b + b/2 longer, which is least for
 * b = √(q·f). What a run costs is also paid by those who are still to come, 1/(1 − u) times as many where workers are busy
 * the part u of the time: b = √(q·f/(1 − u)). So a busy server works through full batches, and one with room to spare
 * answers as soon as it can.
 *
 * On a GPU a larger batch saves the fixed cost of a run, and batches have few counts (`batchSizes`): what is sent is the
 * largest of them that waits, and the rest goes next. There the last idle worker may wait for as many items as the next count
 * takes, but only while that pays: judged by the recent gap between arrivals they come sooner than the fixed cost they
 * save, and the oldest has waited less than `lingerMs`. An item that fails to come in its time ends the wait.
 * While several are idle their time costs nothing, and what waits is shared among them at once.
 *
 * The key is that of the highest priority, and among these the one whose head has waited longest. Equal priorities
 * cannot starve each other: an item is only passed by those that came before it and those that share its batch's key.
 * A lower priority waits as long as a higher one keeps all workers busy; its deadline is what bounds that.
 *
 * Batches are capped by count and by cost (multiply-adds), so that one large image does not hold up many; one item always
 * goes. After: Triton `dynamic_batch_scheduler.cc`, GetDynamicBatch; TF-Serving's shared batch scheduler.
 */

/** Times are in milliseconds of one clock. */
export interface WaitingItem {
  readonly arrival: number;
  /** When its caller stops waiting. */
  readonly deadline: number;
  /** Higher goes first. */
  readonly priority: number;
  /** Multiply-adds. */
  readonly cost: number;
}

export interface WaitingQueue {
  /** In the order in which they are to be served: by priority, then by arrival. */
  readonly items: readonly WaitingItem[];
  /** Recent mean time between two arrivals; Infinity when there is no telling. */
  readonly arrivalGapMs: number;
  /** What one run of the session costs beside its items: what is saved by joining a batch. */
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
   * What one run costs beside its items, as part of what one item costs; absent: unknown, and as much as waits and fits is
   * taken at once.
   */
  readonly runOverhead?: number;
}

export interface WorkersNow {
  readonly count: number;
  readonly idle: number;
  /** The part of recent time that they were busy, 0 to 1. */
  readonly utilization: number;
}

/** `idle`: a worker had nothing to do. `full`, `cost`: the batch is at that cap. `linger`: waiting longer does not pay. */
export type DispatchReason = 'idle' | 'full' | 'cost' | 'linger';

export type Decision =
  | { readonly action: 'dispatch'; readonly key: string; readonly count: number; readonly reason: DispatchReason }
  /** Until something arrives or a worker becomes idle, or until that time if it is given. */
  | { readonly action: 'wait'; readonly until?: number };

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
  for (const [key, queue] of queues) {
    const head = queue.items[0];
    if (head === undefined) continue;
    const until = workers.idle === 1 ? lingerUntil(queue, limits) : -Infinity;
    if (until > now) wakeUp = Math.min(wakeUp, until);
    else if (best === undefined || goesBefore(head, best.head)) best = { key, queue, head };
  }
  if (best !== undefined) return { action: 'dispatch', key: best.key, ...batchOf(best.queue, workers, limits) };
  return wakeUp === Infinity ? { action: 'wait' } : { action: 'wait', until: wakeUp };
}

/** The order of service: higher priority, then earlier arrival. */
export function goesBefore(a: WaitingItem, b: WaitingItem): boolean {
  return a.priority !== b.priority ? a.priority > b.priority : a.arrival < b.arrival;
}

/** How many of a queue's first items fit under the caps, and which cap it was that ended them. */
function fitting(
  items: readonly WaitingItem[],
  limits: BatchLimits,
): { count: number; reason: 'full' | 'cost' | undefined } {
  let cost = 0;
  let count = 0;
  for (const item of items) {
    if (count === limits.maxBatchSize) return { count, reason: 'full' };
    cost += item.cost;
    if (count > 0 && cost > limits.maxBatchCost) return { count, reason: 'cost' };
    count += 1;
  }
  return { count, reason: count === limits.maxBatchSize ? 'full' : undefined };
}

/** The time up to which a queue's head is better off waiting for company; in the past when it is not. */
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
  // A wait that leaves no time for the run is no gain; how long the run takes is not known, so any such item goes now.
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

function batchOf(
  queue: WaitingQueue,
  workers: WorkersNow,
  limits: BatchLimits,
): { count: number; reason: DispatchReason } {
  const { items } = queue;
  const fits = fitting(items, limits);
  const share = shareOf(items.length, workers, limits);
  if (share < fits.count) return { count: allowedSize(share, limits), reason: 'idle' };
  const lingered = limits.lingerMs > 0 && workers.idle === 1;
  return { count: allowedSize(fits.count, limits), reason: fits.reason ?? (lingered ? 'linger' : 'idle') };
}

/** With a busier server than this batches would grow beyond any cap. */
const MAX_UTILIZATION = 0.98;

/** How many of the waiting items one idle worker is to take. */
function shareOf(waiting: number, { count, idle, utilization }: WorkersNow, { runOverhead }: BatchLimits): number {
  const share = Math.ceil(waiting / idle);
  if (runOverhead === undefined) return share;
  const best = Math.sqrt(((waiting / count) * runOverhead) / (1 - Math.min(utilization, MAX_UTILIZATION)));
  return Math.min(share, Math.max(1, Math.round(best)));
}
