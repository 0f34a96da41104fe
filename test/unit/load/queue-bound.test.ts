import { expect, it } from 'vitest';
import { poissonArrivals } from '../../../load/arrivals.js';
import { queueLatencies } from '../../../load/queue-bound.js';

it('is the service alone where nothing waits', () => {
  expect(queueLatencies([0, 10, 20, 30], 1, 10)).toEqual([10, 10, 10, 10]);
});

it('is served by the first free worker, in order', () => {
  // At 0 and 1 on two workers; at 2 and 3 behind them, which are free at 10 and 11.
  expect(queueLatencies([0, 1, 2, 3, 40], 2, 10)).toEqual([10, 10, 18, 18, 10]);
});

it('has the mean of Pollaczek and Khinchine for one worker', () => {
  // ρ = 0.7, D = 1 ms: D (1 + ρ / 2 (1 − ρ)).
  const latencies = queueLatencies(poissonArrivals(700, 400, 1), 1, 1);
  const mean = latencies.reduce((sum, each) => sum + each, 0) / latencies.length;
  expect(mean / (1 + 0.7 / 0.6)).toBeCloseTo(1, 1);
});
