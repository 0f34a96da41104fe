/** A report as Markdown: medians over the rounds. README.md says what the columns are. */
import { isOpen, machineLine, type LeftOut, type Report, type Row, type Sample } from './report.js';
import { median } from './statistics.js';

/** A heading, and the cell of a row. */
export type Column<T> = readonly [heading: string, cell: (row: T) => string];

/** Columns that hold words, by their heading: they are aligned to the left. */
const WORDS = new Set([
  'image',
  'decoded as',
  'server',
  'model',
  'engine',
  'precision',
  'view',
  'sizes',
  'input',
  'batches',
  'dispatched because',
  'figure',
  'direction',
  'reason',
  'over',
  // Of the GPU kit.
  'part',
  'holds',
  'state',
  'what',
  'is',
  'device',
  'works',
  'numbers',
  'against',
  'verdict',
  'to the input of',
  'binds',
  'form',
  'step',
  'left out, or not possible',
]);

export function markdownTable<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const rule = columns.map(([heading]) => (WORDS.has(heading) ? '---' : '---:'));
  const body = rows.map((row) => columns.map(([, cell]) => cell(row)));
  return [columns.map(([heading]) => heading), rule, ...body].map(line).join('');
}

/** The median over a row's rounds. */
export function medianOf({ samples }: Row, value: (sample: Sample) => number): number {
  return median(samples.map(value));
}

/** GMAC/s: 10⁹ multiply-adds a second, of the images answered. The unit of `peak`, too. */
export function gmacsPerSecond({ gmacs }: Row, { server }: Sample): number {
  return gmacs * server.imagesPerSecond;
}

/** A number in about three figures: no decimals from 100 on, one from 10 on, otherwise two. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** What a row and a subject without a row have in common. */
type Labelled = Omit<LeftOut, 'reason'>;

const percent = (part: number): string => (Number.isFinite(part) ? `${(100 * part).toFixed(0)} %` : '–');

const LABELS: readonly Column<Labelled>[] = [
  ['model', ({ models, engine }) => models.join(' + ') + (engine === undefined ? '' : ` on ${engine}`)],
  ['precision', ({ precision }) => precision],
  ['view', ({ view }) => view],
  ['sizes', ({ sizes }) => sizes],
];
const LOAD: Column<Row> = [
  'load',
  ({ load }) => (load.loop === 'closed' ? `${load.clients} clients` : `${percent(load.share)} of closed`),
];
const LATENCIES: readonly Column<Row>[] = [
  ['p50 ms', (row) => figure(medianOf(row, ({ server }) => server.p50Ms))],
  ['p95 ms', (row) => figure(medianOf(row, ({ server }) => server.p95Ms))],
  ['p99 ms', (row) => figure(medianOf(row, ({ server }) => server.p99Ms))],
  ['p99.9 ms', (row) => figure(medianOf(row, ({ server }) => server.p999Ms))],
  ['errors', ({ samples }) => String(samples.reduce((sum, { server }) => sum + server.errors, 0))],
];

const CLOSED: readonly Column<Row>[] = [
  ...LABELS,
  ['clients', ({ load }) => ('clients' in load ? String(load.clients) : '')],
  ['engine /s (batch)', (row) => `${figure(medianOf(row, ({ engine }) => engine))} (${row.engineBatch.join(', ')})`],
  ['decode /s', (row) => figure(medianOf(row, ({ decode }) => decode))],
  ['ceiling /s', (row) => figure(medianOf(row, ({ ceiling }) => ceiling))],
  ['server /s', (row) => figure(medianOf(row, ({ server }) => server.imagesPerSecond))],
  // The ratio is taken within each round, in which the machine was the same.
  ['server / ceiling', (row) => medianOf(row, ({ server, ceiling }) => server.imagesPerSecond / ceiling).toFixed(2)],
  ['MP/s', (row) => figure(medianOf(row, ({ server }) => server.imagesPerSecond * row.megapixels))],
  ['GMAC/s', (row) => figure(medianOf(row, (sample) => gmacsPerSecond(row, sample)))],
  ['of peak', (row) => percent(medianOf(row, (sample) => gmacsPerSecond(row, sample) / sample.peak))],
  ...LATENCIES,
];

const OPEN: readonly Column<Row>[] = [
  ...LABELS,
  ['share', ({ load }) => ('share' in load ? load.share.toFixed(2) : '')],
  ['offered /s', (row) => figure(medianOf(row, ({ server }) => (isOpen(server) ? server.offered : NaN)))],
  ['answered /s', (row) => figure(medianOf(row, ({ server }) => server.imagesPerSecond))],
  ...LATENCIES,
  [
    'p99 / bound',
    (row) => figure(medianOf(row, ({ server }) => (isOpen(server) ? server.p99Ms / (server.boundP99Ms ?? NaN) : NaN))),
  ],
  ['sent late', (row) => percent(medianOf(row, ({ server }) => (isOpen(server) ? server.late : NaN)))],
];

const MIXED: readonly Column<Row>[] = [
  ...LABELS,
  ['clients', ({ load }) => ('clients' in load ? String(load.clients) : '')],
  ['one by one /s', (row) => figure(medianOf(row, ({ single = NaN }) => single))],
  ['at once /s', (row) => figure(medianOf(row, ({ server }) => server.imagesPerSecond))],
  [
    'at once / one by one',
    (row) => medianOf(row, ({ server, single = NaN }) => server.imagesPerSecond / single).toFixed(2),
  ],
];

const SERVER: readonly Column<Row>[] = [
  ...LABELS,
  LOAD,
  ['mean batch', (row) => figure(medianOf(row, ({ server }) => server.meanBatch))],
  ['batches', ({ samples }) => parts(samples.map(({ server }) => server.batchSizes))],
  ['dispatched because', ({ samples }) => parts(samples.map(({ server }) => server.dispatches))],
  ['cores', (row) => medianOf(row, ({ server }) => server.cores).toFixed(2)],
  ['peak MiB', ({ samples }) => figure(Math.max(...samples.map(({ server }) => server.peakMiB ?? NaN)))],
  ['event loop p99 ms', (row) => figure(medianOf(row, ({ server }) => server.eventLoopP99Ms))],
];

const LONGEST_REASON = 200;

const LEFT_OUT: readonly Column<LeftOut>[] = [...LABELS, ['reason', ({ reason }) => cellOf(reason)]];

/** A text of any kind in one cell: the JSON file has all of it. */
function cellOf(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  const cut = line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON)} …` : line;
  return cut.replaceAll('|', '\\|');
}

const TOP1: Column<Row> = ['top-1 %', ({ top1 }) => top1?.percent.toFixed(1) ?? ''];

/** Counts of all rounds as parts of the whole, the largest first. Parts below 1 % are left out. */
function parts(rounds: readonly Readonly<Record<string, number>>[]): string {
  const sums = new Map<string, number>();
  for (const [key, count] of rounds.flatMap((round) => Object.entries(round))) {
    sums.set(key, (sums.get(key) ?? 0) + count);
  }
  const total = [...sums.values()].reduce((sum, count) => sum + count, 0);
  return [...sums]
    .filter(([, count]) => count >= total / 100)
    .sort(([, a], [, b]) => b - a)
    .map(([key, count]) => `${key}: ${percent(count / total)}`)
    .join(', ');
}

export function toMarkdown(report: Report): string {
  const { machine, settings, rows, leftOut = [], notes } = report;
  const closed = rows.filter(({ load }) => load.loop === 'closed');
  const open = rows.filter(({ load }) => load.loop === 'open');
  const mixed = closed.filter(({ samples }) => samples.some(({ single }) => single !== undefined));
  const peak = median(rows.flatMap(({ samples }) => samples.map((sample) => sample.peak)));
  const section = <T>(title: string, columns: readonly Column<T>[], own: readonly T[]): string[] =>
    own.length === 0 ? [] : [`**${title}**\n`, markdownTable(columns, own)];
  const throughput = closed.some(({ top1 }) => top1 !== undefined) ? [...CLOSED, TOP1] : CLOSED;
  return [
    `${machineLine(machine)}; ${settings.devices.join(', ')}, ` +
      `${settings.workers} workers × ${settings.threads} threads, ${settings.decoders} decoders; ` +
      `photographs of ${settings.photos}; ${settings.durationS} s a row in ${settings.rounds} interleaved rounds, ` +
      `medians; peak of matrix products ${figure(peak)} GMAC/s.\n`,
    ...section('Throughput, closed loop', throughput, closed),
    ...section('Several at once, beside each by itself', MIXED, mixed),
    ...section('Latency, open loop', OPEN, open),
    ...section('The server meanwhile', SERVER, rows),
    ...section('Not measured, or not in every round', LEFT_OUT, leftOut),
    ...(notes.length === 0 ? [] : [`Notes:\n\n${notes.map((note) => `- ${note}\n`).join('')}`]),
  ].join('\n');
}
