/** Chooses the range that 256 integers cover: a wider one rounds more, a narrower one clips more. */
import { activationScale, type ValueRange } from '../../graph/quantization.js';
import type { Histogram } from './histogram.js';

export type Clipping = 'none' | 'percentile' | 'error';

/** Fraction of the numbers that `percentile` clips at each end. */
const TAIL = 1e-5;

/** `error` tries ranges whose ends are these fractions of the extremes. */
const PARTS = Array.from({ length: 40 }, (_, index) => 1 - index / 50);

/** The range of a histogram's numbers by one of the methods. It always contains 0. */
export function clipRange(histogram: Histogram, method: Clipping): ValueRange {
  const extremes = { low: Math.min(0, histogram.least), high: Math.max(0, histogram.most) };
  switch (method) {
    case 'none':
      return extremes;
    case 'percentile':
      return withoutTails(histogram, extremes);
    case 'error':
      return leastError(histogram, extremes);
  }
}

function withoutTails(histogram: Histogram, { low, high }: ValueRange): ValueRange {
  const { counts } = histogram;
  const tail = TAIL * counts.reduce((sum, count) => sum + count, 0);
  const bound = (bins: Iterable<number>): number => {
    let passed = 0;
    for (const bin of bins) {
      passed += counts[bin]!;
      if (passed > tail) return histogram.centre(bin);
    }
    return 0;
  };
  const bins = [...counts.keys()];
  return { low: Math.min(0, Math.max(low, bound(bins))), high: Math.max(0, Math.min(high, bound(bins.reverse()))) };
}

/** Moves in one end after the other, because the best place of one hardly depends on the other. */
function leastError(histogram: Histogram, extremes: ValueRange): ValueRange {
  const bins = [...histogram.counts.keys()].filter((bin) => histogram.counts[bin]! > 0);
  const numbers = {
    values: bins.map((bin) => histogram.centre(bin)),
    counts: bins.map((bin) => histogram.counts[bin]!),
  };
  const best = (ranges: readonly ValueRange[]): ValueRange => {
    const errors = ranges.map((range) => squaredError(numbers, range));
    return ranges[errors.indexOf(Math.min(...errors))]!;
  };
  let range = extremes;
  for (let round = 0; round < 2; round += 1) {
    range = best(PARTS.map((part) => ({ ...range, high: part * extremes.high })));
    if (extremes.low < 0) range = best(PARTS.map((part) => ({ ...range, low: part * extremes.low })));
  }
  return range;
}

/** Sum of squared errors from rounding the numbers to the integers of a range and clipping them to it. */
function squaredError(
  { values, counts }: { readonly values: readonly number[]; readonly counts: readonly number[] },
  range: ValueRange,
): number {
  const { scale, zeroPoint } = activationScale(range);
  let sum = 0;
  for (const [index, value] of values.entries()) {
    const integer = Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint));
    sum += counts[index]! * (value - scale * (integer - zeroPoint)) ** 2;
  }
  return sum;
}
