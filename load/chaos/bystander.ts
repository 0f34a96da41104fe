/**
 * How long a light client may wait while others do what they like: a second at the 99th percentile, on a machine of which it
 * had its answers within 30 ms before. A slower machine, or one that does other work, is given as many times as much.
 */
import { median } from '../statistics.js';

const P99_MS = 1000;
const TIMES_ALONE = 30;

/** `aloneMs`: latencies of the same requests when nobody else asked. In milliseconds. */
export function mostP99Ms(aloneMs: readonly number[]): number {
  return Math.max(P99_MS, TIMES_ALONE * median(aloneMs));
}
