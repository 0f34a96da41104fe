import { describe, expect, it } from 'vitest';
import { ceilingOf, latencyOf, median, percentile, rateOfMix, slope } from '../../../load/statistics.js';

describe('percentile', () => {
  it('is the smallest value that so many do not exceed', () => {
    const sorted = [10, 20, 30, 40, 50];
    expect([0, 0.2, 0.21, 0.5, 0.99, 1].map((part) => percentile(sorted, part))).toEqual([10, 10, 20, 30, 50, 50]);
  });

  it('is not a number where there are no values', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

it('latencies need no order', () => {
  const shuffled = Array.from({ length: 1000 }, (_, index) => ((index * 7) % 1000) + 1);
  expect(latencyOf(shuffled)).toEqual({ p50Ms: 500, p95Ms: 950, p99Ms: 990, p999Ms: 999 });
});

it('the median of an even number of values lies between the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
  expect(median([])).toBeNaN();
});

it('a mix goes at the harmonic mean of its rates', () => {
  expect(rateOfMix([10, 30])).toBeCloseTo(15);
  expect(rateOfMix([7])).toBeCloseTo(7);
});

describe('the ceiling', () => {
  it('adds up the times where engine and decoding share the cores', () => {
    expect(ceilingOf(60, 120, true)).toBeCloseTo(40);
  });

  it('is the slower of the two where they do not', () => {
    expect(ceilingOf(60, 120, false)).toBe(60);
  });
});

describe('the slope', () => {
  it('is that of a line, whatever a few outliers say', () => {
    const line = Array.from({ length: 21 }, (_, x) => [x, 3 * x + 5] as const);
    expect(slope(line)).toBeCloseTo(3);
    expect(slope(line.map(([x, y], index) => [x, index % 7 === 0 ? 1000 : y]))).toBeCloseTo(3);
  });

  it('is not a number for a single point', () => {
    expect(slope([[1, 2]])).toBeNaN();
  });
});
