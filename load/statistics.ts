/** Statistics of a handful of measurements: percentiles by nearest rank, medians, means of rates. Pure. */
import type { DeviceKind } from '../src/device.js';

/** Percentiles of the answers' latency, in milliseconds. */
export interface Latency {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

/** The smallest value that at least `part` (0 to 1) of the values do not exceed. NaN if there are none. */
export function percentile(sorted: ArrayLike<number>, part: number): number {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? NaN;
}

export function latencyOf(milliseconds: readonly number[]): Latency {
  const sorted = Float64Array.from(milliseconds).sort();
  return {
    p50Ms: percentile(sorted, 0.5),
    p95Ms: percentile(sorted, 0.95),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
  };
}

/** NaN if there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * How much y rises by for each unit of x: the median over all pairs of points, which a few outliers do not move (Theil and Sen).
 * NaN for fewer than two points.
 */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  return median(points.flatMap(([x, y], index) => points.slice(index + 1).map(([x2, y2]) => (y2 - y) / (x2 - x))));
}

/** The rate of a mix in which all kinds of work are equally frequent: the harmonic mean of their own rates. */
export function rateOfMix(rates: readonly number[]): number {
  return 1 / mean(rates.map((rate) => 1 / rate));
}

/** Kinds of device that compute on the cores that decode. */
const ON_CORES: ReadonlySet<string> = new Set(['cpu', 'wasm']);

export function computesOnCores(kind: DeviceKind): boolean {
  return ON_CORES.has(kind);
}

/**
 * The most images a second that the machine can do, given the rates of the engine and of decoding alone. On a CPU both
 * share the cores, and an image costs 1/engine + 1/decode seconds of all of them. With an engine on another device, the
 * slower of the two sets the rate.
 */
export function ceilingOf(engine: number, decode: number, shareCores: boolean): number {
  return shareCores ? 1 / (1 / engine + 1 / decode) : Math.min(engine, decode);
}
