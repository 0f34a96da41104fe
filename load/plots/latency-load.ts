/**
 * Latency against offered load, from the open loop: where the queue begins to grow. A solid line is the median, a dashed
 * one the 99th percentile, both medians over the rounds; a dotted vertical line is what the closed loop reached.
 */
import * as Plot from '@observablehq/plot';
import { isOpen, rowsBySubject, type Report, type Row } from '../report.js';
import { medianOf } from '../tables.js';
import { linePlot } from '../../src/plots/line-plot.js';
import { logAxis } from '../../src/plots/axes.js';

interface Subject {
  readonly name: string;
  /** Images a second of the closed loop. */
  readonly capacity: number;
  readonly points: readonly { readonly offered: number; readonly p50Ms: number; readonly p99Ms: number }[];
}

/** More lines cannot be told apart. */
const SUBJECTS = 6;

/** A plot for every SUBJECTS subjects; none if there was no open loop. */
export function latencyPlots({ rows, machine }: Report): string[] {
  const subjects = [...rowsBySubject(rows)]
    .map(([name, own]) => subjectOf(name, own))
    .filter(({ points }) => points.length > 0);
  const title =
    `${machine.processor}, ${machine.cores} cores, ${machine.date}; ` +
    "solid: p50, dashed: p99, dotted: the closed loop's images a second";
  return Array.from({ length: Math.ceil(subjects.length / SUBJECTS) }, (_, index) =>
    plot(title, subjects.slice(index * SUBJECTS, (index + 1) * SUBJECTS)),
  );
}

function subjectOf(name: string, rows: readonly Row[]): Subject {
  const closed = rows.filter(({ load }) => load.loop === 'closed');
  const points = rows
    .filter(({ load }) => load.loop === 'open')
    .map((row) => ({
      offered: medianOf(row, ({ server }) => (isOpen(server) ? server.offered : NaN)),
      p50Ms: medianOf(row, ({ server }) => server.p50Ms),
      p99Ms: medianOf(row, ({ server }) => server.p99Ms),
    }))
    .filter(({ p99Ms }) => Number.isFinite(p99Ms))
    .sort((a, b) => a.offered - b.offered);
  return {
    name,
    points,
    capacity: Math.max(...closed.map((row) => medianOf(row, ({ server }) => server.imagesPerSecond))),
  };
}

function plot(title: string, subjects: readonly Subject[]): string {
  const points = subjects.flatMap((subject) => subject.points);
  const loads = [...points.map(({ offered }) => offered), ...subjects.map(({ capacity }) => capacity)];
  return linePlot({
    title,
    x: logAxis('offered load (images a second, Poisson arrivals)', loads, 1.1),
    y: logAxis(
      'latency from the intended start (ms)',
      points.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms]),
      1.3,
    ),
    series: subjects.map(({ name, points: own, capacity }) => ({
      name,
      marks: (color) => [
        Plot.ruleX([capacity], { stroke: color, strokeDasharray: '1,3' }),
        Plot.line(own, { x: 'offered', y: 'p50Ms', stroke: color, strokeWidth: 2 }),
        Plot.line(own, { x: 'offered', y: 'p99Ms', stroke: color, strokeWidth: 2, strokeDasharray: '6,4' }),
        Plot.dot(own, { x: 'offered', y: 'p50Ms', fill: color, r: 3.5 }),
        Plot.dot(own, { x: 'offered', y: 'p99Ms', fill: 'white', stroke: color, r: 3.5 }),
      ],
    })),
  });
}
