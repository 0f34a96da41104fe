/**
 * Where items wait: one queue for each session and shape, in the order of service, and the items of failed batches,
 * which go before all queues. Measures the recent gap between a queue's arrivals. batch-policy.ts decides when a queue
 * is served.
 */
import type { FairShares } from './fair-shares.js';
import { inOrderOfService, type WaitingItem, type WaitingQueue } from './batch-policy.js';
import type { Item } from './item.js';

interface Queue<QueuedItem extends WaitingItem> extends WaitingQueue {
  readonly items: QueuedItem[];
}

export interface WaitingItems<Work, Output> {
  /** How many wait. */
  readonly count: number;
  /** By key, none of them empty, in the order of the last `sort`. Items of failed batches are not in here. */
  readonly queues: ReadonlyMap<string, Queue<Item<Work, Output>>>;
  /** When an item arrived last whose run is known to be short; −Infinity before the first. */
  readonly lastShort: number;
  /** How many wait of a client. */
  of(client: string): number;
  /** The item of a failed batch that is next. */
  readonly nextRetry: Item<Work, Output> | undefined;
  /**
   * An item has arrived. `isShort`: its run is known to be. `fixedCostMs`: what a run of its session costs beside its items; 0 where
   * that is not known.
   */
  add(item: Item<Work, Output>, isShort: boolean, fixedCostMs: number): void;
  /** Bring the queues into the order of service: after items have come or gone, and before the order is used. */
  sort(turnsOf: FairShares['turnsOf']): void;
  /** An item of a failed batch is to run again, unless it is settled. */
  retry(item: Item<Work, Output>): void;
  /** Take an item out of where it waits, if it waits. */
  remove(item: Item<Work, Output>): void;
  all(): Item<Work, Output>[];
}

export function createWaitingItems<Work, Output>(): WaitingItems<Work, Output> {
  const queues = new Map<string, Queue<Item<Work, Output>>>();
  const retries: Item<Work, Output>[] = [];
  const gaps = createArrivalGaps();
  const ofClients = new Map<string, number>();
  const countFor = ({ flow: { client } }: Item<Work, Output>, change: 1 | -1): void => {
    const left = (ofClients.get(client) ?? 0) + change;
    if (left === 0) ofClients.delete(client);
    else ofClients.set(client, left);
  };
  let count = 0;
  let lastShort = -Infinity;
  return {
    get count() {
      return count;
    },
    queues,
    get lastShort() {
      return lastShort;
    },
    of: (client) => ofClients.get(client) ?? 0,
    get nextRetry() {
      return retries[0];
    },
    add(item, isShort, fixedCostMs) {
      if (isShort) lastShort = item.arrival;
      const { items } = queues.get(item.key) ?? { items: [] as Item<Work, Output>[] };
      items.push(item);
      queues.set(item.key, { items, arrivalGapMs: gaps.arrived(item.key, item.arrival), fixedCostMs });
      countFor(item, 1);
      count += 1;
    },
    sort(turnsOf) {
      const items = [...queues.values()].flatMap((queue) => queue.items);
      if (items.length < 2) return;
      items.sort((a, b) => b.priority - a.priority || a.rank - b.rank || a.arrival - b.arrival);
      turnsOf(items).forEach((turn, index) => (items[index]!.turn = turn));
      for (const queue of queues.values()) queue.items.sort(inOrderOfService);
    },
    retry(item) {
      if (item.settled) return;
      retries.push(item);
      count += 1;
    },
    remove(item) {
      const items = queues.get(item.key)?.items;
      const list = items?.includes(item) === true ? items : retries;
      const index = list.indexOf(item);
      if (index < 0) return;
      list.splice(index, 1);
      if (list === items) countFor(item, -1);
      if (items?.length === 0) queues.delete(item.key);
      count -= 1;
    },
    all: () => [...retries, ...[...queues.values()].flatMap(({ items }) => items)],
  };
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
