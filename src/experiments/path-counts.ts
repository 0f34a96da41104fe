/**
 * How many paths lead through a residual net, by their length (Veit 2016, §3 and §5.1). A block offers a path its shortcut,
 * which adds nothing to the length, or its branch, a module: n blocks one behind the other have 2ⁿ paths, C(n, k) of them
 * through k modules. Exact, for any number of branches and for blocks around blocks.
 */
import type { ResidualBlock } from '../graph/residual-blocks.js';

/** The number of paths through k modules, for k from 0 on. */
export type PathCounts = readonly bigint[];

/** The paths through blocks that stand one behind the other. */
export function countPaths(blocks: readonly ResidualBlock[]): PathCounts {
  return blocks.map(pathsOf).reduce(inSeries, [1n]);
}

/** The paths of one block: its shortcuts, and its branches with what stands inside of them. */
function pathsOf({ shortcuts, branches, inner }: ResidualBlock): PathCounts {
  const around: PathCounts = [BigInt(shortcuts.length)];
  return branches
    .map(({ nodes }) => inner.filter(({ join }) => nodes.includes(join)))
    .map((inside) => (inside.length === 0 ? [0n, 1n] : countPaths(inside)))
    .reduce(sideBySide, around);
}

function inSeries(a: PathCounts, b: PathCounts): PathCounts {
  const product = Array<bigint>(a.length + b.length - 1).fill(0n);
  a.forEach((x, i) => b.forEach((y, j) => (product[i + j]! += x * y)));
  return product;
}

function sideBySide(a: PathCounts, b: PathCounts): PathCounts {
  const longer = a.length > b.length ? a : b;
  return longer.map((_, length) => (a[length] ?? 0n) + (b[length] ?? 0n));
}

export function totalOf(counts: PathCounts): bigint {
  return counts.reduce((sum, count) => sum + count, 0n);
}

/** Each length's part of all paths: numbers that sum to 1. */
export function sharesOf(counts: PathCounts): readonly number[] {
  return weightedShares(counts, () => 0);
}

/** The same if each path of a length counts as much as the exponential of a number. */
export function weightedShares(counts: PathCounts, logWeight: (length: number) => number): readonly number[] {
  // Counts and weights may exceed what a number holds.
  const logs = counts.map((count, length) => naturalLog(count) + logWeight(length));
  const largest = Math.max(...logs);
  const weights = logs.map((log) => Math.exp(log - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Bits that a number holds exactly, and some more to round. */
const PRECISE_BITS = 60;

/** −∞ for 0. */
function naturalLog(number: bigint): number {
  const surplus = Math.max(0, number.toString(2).length - PRECISE_BITS);
  return Math.log(Number(number >> BigInt(surplus))) + surplus * Math.LN2;
}

/** A range of lengths, both ends included, and its part of the whole. */
export interface LengthRange {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/** The shortest range of lengths with more than this part of the whole; of several the one with most, then the lowest. */
export function shortestRange(shares: readonly number[], least = 0.95): LengthRange {
  const ranges = shares.flatMap((_, from) => {
    const to = shares.findIndex((_share, end) => end >= from && partOf(shares, from, end) > least);
    return to === -1 ? [] : [{ from, to, share: partOf(shares, from, to) }];
  });
  const length = ({ from, to }: LengthRange): number => to - from;
  // Mirrored ranges of a symmetric distribution have one share; what rounding adds must not choose between them.
  const isBetter = (a: LengthRange, b: LengthRange): boolean =>
    length(a) < length(b) || (length(a) === length(b) && a.share > b.share + 1e-12);
  return ranges.reduce((best, range) => (isBetter(range, best) ? range : best));
}

/** The part of the lengths in a range, both ends included. */
export function partOf(shares: readonly number[], from: number, to: number): number {
  return shares.slice(from, to + 1).reduce((sum, share) => sum + share, 0);
}
