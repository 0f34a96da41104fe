/** Reads the server's /metrics, and says how much each series grew between two readings. */

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What the server did between two readings. */
export interface ServerActivity {
  /** Batches by their size, where the histogram's bounds tell sizes apart: `1`, `2`, `5–6`, … */
  readonly batchSizes: Readonly<Record<string, number>>;
  readonly meanBatch: number;
  /** Batches by the reason for their dispatch. */
  readonly dispatches: Readonly<Record<string, number>>;
  /** Processor seconds a second, all cores together. */
  readonly cores: number;
  /** The same of the process alone that speaks HTTP. */
  readonly ownCores: number;
  /** How late the server's event loop was, beyond the interval of the clock that measures it. */
  readonly eventLoopP99Ms: number;
}

/**
 * Interval of the clock that measures the event loop: prom-client's default. The reported lag includes this interval.
 */
const LOOP_CLOCK_MS = 10;

export async function readMetrics(url: string): Promise<Series[]> {
  return parseMetrics(await (await fetch(`${url}/metrics`)).text());
}

/** The Prometheus text format, as far as a server without timestamps and escaped labels needs it. */
export function parseMetrics(text: string): Series[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key!, text!] as const);
      return { name, labels: Object.fromEntries(pairs), value: Number(value) };
    });
}

export function activityBetween(
  before: readonly Series[],
  after: readonly Series[],
  elapsedSeconds: number,
): ServerActivity {
  const grown = (name: string): number => sumOf(after, name) - sumOf(before, name);
  const grownBy = (name: string, label: string): Map<string, number> => {
    const earlier = sumBy(before, name, label);
    return new Map([...sumBy(after, name, label)].map(([key, value]) => [key, value - (earlier.get(key) ?? 0)]));
  };
  return {
    batchSizes: sizesOf(grownBy('fullconv_batch_size_bucket', 'le')),
    meanBatch: grown('fullconv_batch_size_sum') / grown('fullconv_batch_size_count'),
    dispatches: withoutZeros([...grownBy('fullconv_dispatches_total', 'reason')]),
    cores: grown('process_cpu_seconds_total') / elapsedSeconds,
    ownCores: grown('process_cpu_seconds_total') / elapsedSeconds,
    // The server's histogram starts anew whenever it is read.
    eventLoopP99Ms: sumOf(after, 'nodejs_eventloop_lag_p99_seconds') * 1000 - LOOP_CLOCK_MS,
  };
}

/** Turns a histogram's counts up to each bound into counts between one bound and the next. */
function sizesOf(upTo: ReadonlyMap<string, number>): Record<string, number> {
  const bounds = [...upTo].map(([bound, count]) => ({ bound: Number(bound.replace('+Inf', 'Infinity')), count }));
  bounds.sort((a, b) => a.bound - b.bound);
  return withoutZeros(
    bounds.map(({ bound, count }, index) => {
      const { bound: below, count: before } = bounds[index - 1] ?? { bound: 0, count: 0 };
      const label = bound === below + 1 ? String(bound) : bound === Infinity ? `>${below}` : `${below + 1}–${bound}`;
      return [label, count - before];
    }),
  );
}

function withoutZeros(entries: readonly (readonly [string, number])[]): Record<string, number> {
  return Object.fromEntries(entries.filter(([, count]) => count > 0));
}

function sumOf(series: readonly Series[], name: string): number {
  return series.filter((each) => each.name === name).reduce((sum, { value }) => sum + value, 0);
}

function sumBy(series: readonly Series[], name: string, label: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, value } of series.filter((each) => each.name === name)) {
    const key = labels[label] ?? '';
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}
