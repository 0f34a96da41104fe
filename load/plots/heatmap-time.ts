/**
 * The time of one heatmap against the pixels of its input, a line for each output stride of each model. Both axes are
 * logarithmic, so that a time proportional to the pixels has the slope of the grey line.
 */
import * as Plot from '@observablehq/plot';
import type { SizeRow, SizesReport } from '../sizes-report.js';
import { linePlot } from '../../src/plots/line-plot.js';
import { logAxis } from '../../src/plots/axes.js';
import { GREY } from '../../src/plots/render.js';

interface Point {
  readonly megapixels: number;
  readonly milliseconds: number;
}

const CHANNELS = { x: 'megapixels', y: 'milliseconds' } as const;

/** Undefined if nothing was measured. */
export function heatmapTimePlot({ machine, rows }: SizesReport): string | undefined {
  const lines = new Map<string, Point[]>();
  for (const row of rows.filter(({ milliseconds }) => milliseconds.length > 0)) {
    lines.set(nameOf(row), [...(lines.get(nameOf(row)) ?? []), pointOf(row)]);
  }
  const points = [...lines.values()].flat();
  if (points.length === 0) return undefined;
  const fastest = points.reduce((a, b) => (b.milliseconds < a.milliseconds ? b : a));
  const megapixels = Math.max(...points.map((point) => point.megapixels));
  const proportional = { megapixels, milliseconds: (fastest.milliseconds * megapixels) / fastest.megapixels };
  return linePlot({
    title: `${machine.processor}, ${machine.cores} cores, ${machine.date}; grey: proportional to the pixels`,
    x: logAxis(
      'input of the network (megapixels)',
      points.map((point) => point.megapixels),
      1.2,
    ),
    y: logAxis(
      'time of one heatmap (ms)',
      points.map(({ milliseconds }) => milliseconds),
      1.5,
    ),
    background: [Plot.line([fastest, proportional], { ...CHANNELS, stroke: GREY, strokeDasharray: '2,3', clip: true })],
    series: [...lines].map(([name, own]) => ({
      name,
      marks: (color) => [
        Plot.line(own, { ...CHANNELS, stroke: color, strokeWidth: 2 }),
        Plot.dot(own, { ...CHANNELS, fill: color, r: 3.5 }),
      ],
    })),
  });
}

const nameOf = ({ model, outputStride }: SizeRow): string => `${model}, output stride ${outputStride}`;

function pointOf({ side, milliseconds }: SizeRow): Point {
  return { megapixels: side ** 2 / 1e6, milliseconds: Math.min(...milliseconds) };
}
