/**
 * The policy in a queue: Poisson arrivals to two workers, time simulated. A run of n images takes `overhead` + n, so that 1
 * is an image's own time.
 */
import { describe, expect, it } from 'vitest';
import { poissonArrivals } from '../../../load/arrivals.js';
import { percentile } from '../../../load/statistics.js';
import { decide, type BatchLimits, type WaitingItem } from '../../../src/batching/batch-policy.js';

const WORKERS = 2;
const ARRIVALS = 40_000;
const LIMITS: BatchLimits = { maxBatchSize: 8, maxBatchCost: Infinity, lingerMs: 0 };
/** As in dispatcher.ts. */
const UTILIZATION_WEIGHT = 1 / 32;

interface Outcome {
  /** In images' own times. */
  readonly p99: number;
  readonly meanBatch: number;
}

/** `share` of what the workers can do in full batches. */
function simulate(limits: BatchLimits, overhead: number, share: number): Outcome {
  const capacity = WORKERS / (1 + overhead / limits.maxBatchSize);
  // Thousands of images' times are seconds.
  const arrivals = poissonArrivals(share * capacity, ARRIVALS / (share * capacity), 1).map((ms) => ms / 1000);
  const items: WaitingItem[] = [];
  const latencies: number[] = [];
  const busyUntil = new Array<number>(WORKERS).fill(0);
  let utilization = 0;
  let runs = 0;

  function dispatch(now: number): void {
    for (let worker = busyUntil.findIndex((end) => end <= now); worker >= 0 && items.length > 0;) {
      const idle = busyUntil.filter((end) => end <= now).length;
      const queue = { items, arrivalGapMs: Infinity, fixedCostMs: 0 };
      const decision = decide(
        new Map([['net', queue]]),
        { count: WORKERS, idle, utilization, freeBytes: Infinity, lastShort: -Infinity, lightCome: false },
        limits,
        now,
      );
      if (decision.action === 'wait') throw new Error('waited with an idle worker');
      const end = now + overhead + decision.count;
      latencies.push(...items.splice(0, decision.count).map(({ arrival }) => end - arrival));
      busyUntil[worker] = end;
      runs += 1;
      worker = busyUntil.findIndex((until) => until <= now);
    }
  }

  for (const [index, arrival] of arrivals.entries()) {
    const idle = busyUntil.filter((end) => end <= arrival).length;
    utilization += UTILIZATION_WEIGHT * (1 - idle / WORKERS - utilization);
    items.push({
      arrival,
      deadline: Infinity,
      priority: 0,
      cost: 1,
      bytes: 0,
      turn: 0,
      isLight: false,
      flow: { client: 'x', connection: 1 },
      expectedMs: 0,
    });
    dispatch(arrival);
    // What ends before the next arrival makes room for what waits.
    const next = arrivals[index + 1] ?? Infinity;
    for (let end = Math.min(...busyUntil.filter((until) => until > arrival)); end < next && items.length > 0;) {
      dispatch(end);
      const later = busyUntil.filter((until) => until > end);
      end = later.length === 0 ? Infinity : Math.min(...later);
    }
  }
  latencies.sort((a, b) => a - b);
  return { p99: percentile(latencies, 0.99), meanBatch: latencies.length / runs };
}

const ONE_BY_ONE: BatchLimits = { ...LIMITS, maxBatchSize: 1 };
const BY_LOAD: BatchLimits = { ...LIMITS, runOverhead: 0.1 };

describe('at 70 % of what two workers can do', () => {
  it('the 99th percentile of constant services, one by one, is 4.2 images’ times: no order of them gives less', () => {
    const { p99 } = simulate(ONE_BY_ONE, 0, 0.7);
    expect(p99).toBeGreaterThan(4);
    expect(p99).toBeLessThan(4.7);
  });

  it('batches by load are near that, and those of whatever waits are not', () => {
    const byLoad = simulate(BY_LOAD, 0.1, 0.7);
    expect(byLoad.p99).toBeLessThan(6);
    expect(byLoad.p99).toBeLessThan(0.8 * simulate(LIMITS, 0.1, 0.7).p99);
    expect(byLoad.meanBatch).toBeLessThan(1.3);
  });
});

it('beyond what two workers can do batches are full, so that nothing is lost by small ones', () => {
  expect(simulate(BY_LOAD, 0.1, 1.05).meanBatch).toBeGreaterThan(7);
});
