import { expect, it } from 'vitest';
import { poissonArrivals } from '../../../load/arrivals.js';

const gaps = (arrivals: readonly number[]): number[] => arrivals.map((at, index) => at - (arrivals[index - 1] ?? 0));

it('is the same schedule for the same seed, and another for another', () => {
  expect(poissonArrivals(50, 2, 1)).toEqual(poissonArrivals(50, 2, 1));
  expect(poissonArrivals(50, 2, 1)).not.toEqual(poissonArrivals(50, 2, 2));
});

it('ascends and ends with the time', () => {
  const arrivals = poissonArrivals(200, 3, 7);
  expect(arrivals).toEqual(arrivals.toSorted((a, b) => a - b));
  expect(arrivals[0]).toBeGreaterThan(0);
  expect(arrivals.at(-1)).toBeLessThan(3000);
});

it('has gaps whose mean and deviation are one over the rate', () => {
  const arrivals = poissonArrivals(100, 1000, 3);
  const all = gaps(arrivals);
  const mean = all.reduce((sum, gap) => sum + gap, 0) / all.length;
  const deviation = Math.sqrt(all.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / all.length);
  expect(mean / 10).toBeCloseTo(1, 1);
  expect(deviation / 10).toBeCloseTo(1, 1);
});

it('is empty where the first request would come too late', () => {
  expect(poissonArrivals(1e-9, 1, 1)).toEqual([]);
});
