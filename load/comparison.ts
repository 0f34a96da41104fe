/**
 * Finds what changed between two reports beyond the noise. A figure has changed if no round of one report reached any
 * round of the other, and the medians are further apart than a threshold. The spread of the rounds is the noise of that
 * machine at that time. Pure.
 */
import { subjectName, type Report, type Row, type Sample } from './report.js';
import { median } from './statistics.js';

export interface Change {
  readonly row: string;
  readonly figure: string;
  readonly before: number;
  readonly after: number;
  /** after / before of the medians. */
  readonly ratio: number;
  readonly verdict: 'slower' | 'faster' | 'same';
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** Rows that only one of the reports has. */
  readonly unmatched: readonly string[];
}

/** How a figure is read from a sample, and whether more of it is better. */
interface Figure {
  readonly name: string;
  readonly moreIsBetter: boolean;
  readonly of: (sample: Sample) => number;
}

const THROUGHPUT: readonly Figure[] = [
  { name: 'engine /s', moreIsBetter: true, of: ({ engine }) => engine },
  { name: 'decode /s', moreIsBetter: true, of: ({ decode }) => decode },
  { name: 'server /s', moreIsBetter: true, of: ({ server }) => server.imagesPerSecond },
];
const LATENCY: readonly Figure[] = [
  { name: 'p50 ms', moreIsBetter: false, of: ({ server }) => server.p50Ms },
  { name: 'p99 ms', moreIsBetter: false, of: ({ server }) => server.p99Ms },
];

/**
 * Compare row by row. In a closed loop the throughput counts, because its latency is clients over throughput. In an
 * open loop the latency counts, because its throughput is what was offered. `threshold` is a part, e.g. 0.05.
 */
export function compareReports(before: Report, after: Report, threshold: number): Comparison {
  const earlier = new Map(before.rows.map((row) => [nameOf(row), row]));
  const later = new Map(after.rows.map((row) => [nameOf(row), row]));
  const changes = [...later].flatMap(([name, row]) => {
    const other = earlier.get(name);
    return other === undefined ? [] : compareRows(name, other, row, threshold);
  });
  const unmatched = [...new Set([...earlier.keys(), ...later.keys()])].filter(
    (name) => !earlier.has(name) || !later.has(name),
  );
  return { changes, unmatched };
}

function nameOf(row: Row): string {
  const { load } = row;
  return `${subjectName(row)}, ${load.loop === 'closed' ? `${load.clients} clients` : `open loop at ${load.share}`}`;
}

function compareRows(name: string, before: Row, after: Row, threshold: number): Change[] {
  const figures = after.load.loop === 'closed' ? THROUGHPUT : LATENCY;
  return figures.flatMap(({ name: figure, moreIsBetter, of }) => {
    const [old, now] = [before.samples.map(of).filter(Number.isFinite), after.samples.map(of).filter(Number.isFinite)];
    if (old.length === 0 || now.length === 0) return [];
    const ratio = median(now) / median(old);
    const rose = Math.min(...now) > Math.max(...old) && ratio > 1 + threshold;
    const fell = Math.max(...now) < Math.min(...old) && ratio < 1 - threshold;
    const verdict = !rose && !fell ? 'same' : rose === moreIsBetter ? 'faster' : 'slower';
    return [{ row: name, figure, before: median(old), after: median(now), ratio, verdict } satisfies Change];
  });
}
