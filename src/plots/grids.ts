/** Maps of numbers as grids of coloured cells, side by side on one scale of colours. */
import * as Plot from '@observablehq/plot';
import { colormap } from '../maps/colormap.js';
import { FONT_SIZE, renderPlot } from './render.js';

export interface Grid {
  readonly title: string;
  /** Rows from the top, all of one length. */
  readonly rows: readonly (readonly number[])[];
}

export interface GridPlot {
  readonly title: string;
  readonly grids: readonly Grid[];
}

const SIDE = 280;
const GAP = 28;
const TOP = 64;

export function drawGrids({ title, grids }: GridPlot): string {
  const values = grids.flatMap(({ rows }) => rows.flat());
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const cells = grids.flatMap(({ rows }, index) =>
    rows.flatMap((row, y) =>
      row.map((value, x) => {
        const [width, height] = [SIDE / row.length, SIDE / rows.length];
        const left = index * (SIDE + GAP) + x * width;
        return { x1: left, x2: left + width, y1: y * height, y2: (y + 1) * height, fill: colorOf(value, least, most) };
      }),
    ),
  );
  const width = grids.length * (SIDE + GAP) - GAP;
  const text = { textAnchor: 'start', fontSize: FONT_SIZE } as const;
  const [low, high] = [least, most].map((value) => value.toPrecision(3));
  return renderPlot({
    ...{ width: width + 2 * GAP, height: SIDE + TOP + GAP },
    ...{ marginTop: TOP, marginLeft: GAP, marginRight: GAP, marginBottom: GAP },
    x: { type: 'linear', label: '', domain: [0, width], ticks: [] },
    y: { type: 'linear', label: '', domain: [SIDE, 0], ticks: [] },
    color: { type: 'identity' },
    marks: [
      Plot.rect(cells, { x1: 'x1', x2: 'x2', y1: 'y1', y2: 'y2', fill: 'fill', inset: 0.5 }),
      Plot.text([`${title}; dark: ${low ?? ''}, bright: ${high ?? ''}`], { ...text, x: 0, y: 0, dy: FONT_SIZE - TOP }),
      ...grids.map((grid, index) =>
        Plot.text([grid.title], { ...text, x: index * (SIDE + GAP), y: 0, dy: -FONT_SIZE }),
      ),
    ],
  }).svg;
}

function colorOf(value: number, least: number, most: number): string {
  const table = colormap('viridis');
  const index = most === least ? 0 : Math.round((255 * (value - least)) / (most - least));
  return `rgb(${table.subarray(3 * index, 3 * index + 3).join(',')})`;
}
