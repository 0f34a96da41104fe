/** The comparison as Markdown. */
import { mean } from '../statistics.js';
import { figure, markdownTable, type Column } from '../tables.js';
import type { Server } from './servers.js';

/** One turn of one server. */
export interface Measurement {
  readonly imagesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all processes of the server, as it was under load. */
  readonly memoryMiB: number;
  /** Processor milliseconds an image, of all processes of the server. */
  readonly processorMs: number;
  readonly failures: number;
  readonly precision: string;
  /** Photographs for which the best class is that of the server that was measured first. */
  readonly same: number;
}

export interface Compared {
  readonly server: Pick<Server, 'name' | 'ours'>;
  /** One for each turn; none if the server could not be measured. */
  readonly turns: readonly Measurement[];
  /** Why it could not be measured in some turn. */
  readonly failure?: string;
}

/** `photos`: how many were sent. */
export function peersTable(compared: readonly Compared[], photos: number): string {
  const measured = compared.filter(({ turns }) => turns.length > 0);
  const meanOf = ({ turns }: Compared, value: (turn: Measurement) => number): number => mean(turns.map(value));
  const rate = (each: Compared): number => meanOf(each, ({ imagesPerSecond }) => imagesPerSecond);
  const ours = ({ server }: Compared): number =>
    mean(measured.filter(({ server: { name } }) => name === server.ours).map(rate));
  const rounded = (value: (turn: Measurement) => number) => (each: Compared) => meanOf(each, value).toFixed(0);
  const columns: Column<Compared>[] = [
    ['server', ({ server }) => server.name],
    ['precision', ({ turns }) => turns[0]!.precision],
    ['images/s', ({ turns }) => turns.map(({ imagesPerSecond }) => imagesPerSecond.toFixed(1)).join(', ')],
    ['fullconv is faster by', (each) => (Number.isNaN(ours(each)) ? '–' : (ours(each) / rate(each)).toFixed(2))],
    ['p50 ms', rounded(({ p50Ms }) => p50Ms)],
    ['p99 ms', rounded(({ p99Ms }) => p99Ms)],
    ['processor ms an image', (each) => figure(meanOf(each, ({ processorMs }) => processorMs))],
    ['memory MiB', rounded(({ memoryMiB }) => memoryMiB)],
    ['same best class', ({ turns }) => `${Math.min(...turns.map(({ same }) => same))} of ${photos}`],
    ['failures', ({ turns }) => String(turns.reduce((sum, { failures }) => sum + failures, 0))],
  ];
  const failures = compared.flatMap(({ server, failure }) =>
    failure === undefined ? [] : [`- ${server.name} was not measured: ${failure}\n`],
  );
  return markdownTable(columns, measured) + (failures.length === 0 ? '' : `\n${failures.join('')}`);
}
