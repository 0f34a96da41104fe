/** Which values of a map the scale of colours spans. Pure; the server's pictures and the page both use it. */
import type { ClassMap } from './row-sampler.js';

/** `absolute` is for probabilities, `minmax` for values that have no scale of their own. */
export const RANGES = {
  absolute: '0–1',
  minmax: "the map's own extremes",
} as const;

export type ValueRange = keyof typeof RANGES;

/** The values that have the first and the last colour. */
export function rangeOf({ values }: ClassMap, range: ValueRange): { low: number; high: number } {
  if (range === 'absolute') return { low: 0, high: 1 };
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
