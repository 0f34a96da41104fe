import { expect, it } from 'vitest';
import { poissonArrivals } from '../../../load/arrivals.js';
import { fleetLatencies, replicasFor } from '../../../load/fleet.js';
import { queueLatencies } from '../../../load/queue-bound.js';
import { latencyOf, mean } from '../../../load/statistics.js';

const REPLICA = { workers: 2, serviceMs: 10 };

it('is one queue where there is one server', () => {
  const arrivals = poissonArrivals(150, 20, 1);
  for (const choice of ['least', 'random'] as const) {
    expect(fleetLatencies(arrivals, 1, REPLICA, choice)).toEqual(queueLatencies(arrivals, 2, 10));
  }
});

it('chooses the server with the fewest images', () => {
  // Two servers of one worker: at 0 and 1 one each; at 2 behind the first, which is free at 10; at 11 that one has one left, the other none.
  const latencies = fleetLatencies([0, 1, 2, 11.5], 2, { workers: 1, serviceMs: 10 }, 'least');
  expect(latencies.slice(0, 2)).toEqual([10, 10]);
  expect([18, 19]).toContain(latencies[2]);
  expect(latencies[3]).toBe(10);
});

it('by chance has the mean of Pollaczek and Khinchine for each server', () => {
  // Ten servers of one worker, ρ = 0.7 of each, D = 1 ms: D (1 + ρ / 2 (1 − ρ)).
  const latencies = fleetLatencies(poissonArrivals(7000, 40, 1), 10, { workers: 1, serviceMs: 1 }, 'random');
  expect(mean(latencies) / (1 + 0.7 / 0.6)).toBeCloseTo(1, 1);
});

it('by the fewest images is between one queue for all and chance', () => {
  const arrivals = poissonArrivals(1600, 30, 1);
  const p99 = (latencies: readonly number[]): number => latencyOf(latencies).p99Ms;
  const pooled = p99(queueLatencies(arrivals, 20, 10));
  const least = p99(fleetLatencies(arrivals, 10, REPLICA, 'least'));
  const random = p99(fleetLatencies(arrivals, 10, REPLICA, 'random'));
  expect(pooled).toBeLessThanOrEqual(least);
  expect(least).toBeLessThan(0.7 * random);
});

it('finds the fewest replicas, and none where one image takes too long', () => {
  const demand = { perSecond: 1000, p99Ms: 25, mostLoad: 0.99 };
  const found = replicasFor(demand, REPLICA, 'least')!;
  // 1,000 images of 10 ms are the work of ten workers, five replicas.
  expect(found.replicas).toBeGreaterThan(5);
  expect(found.load).toBeCloseTo(5 / found.replicas, 5);
  expect(found.p99Ms).toBeLessThanOrEqual(25);
  const fewer = fleetLatencies(poissonArrivals(1000, 40, 1), found.replicas - 1, REPLICA, 'least').slice(20_000);
  expect(latencyOf(fewer).p99Ms).toBeGreaterThan(25);
  expect(replicasFor({ ...demand, p99Ms: 9 }, REPLICA, 'least')).toBeUndefined();
  expect(replicasFor({ ...demand, mostLoad: 0.5 }, REPLICA, 'least')).toMatchObject({ replicas: 10, load: 0.5 });
});
