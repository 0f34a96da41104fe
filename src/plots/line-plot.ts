/** Lines over two axes, named above them in their own colours. */
import * as Plot from '@observablehq/plot';
import type { Axis } from './axes.js';
import { COLORS, FONT_SIZE, renderPlot } from './render.js';

export interface Series {
  readonly name: string;
  /** Drawn in the colour of the series. */
  readonly marks: (color: string) => Plot.Markish[];
}

export interface LinePlot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Behind the series. */
  readonly background?: Plot.Markish[];
}

const WIDTH = 860;
const HEIGHT = 460;
const LINE = 18;

export function linePlot({ title, x, y, series, background = [] }: LinePlot): string {
  const marginTop = LINE * (series.length + 2);
  const anchor = { frameAnchor: 'top-left', textAnchor: 'start', fontSize: FONT_SIZE } as const;
  const colored = series.map((each, index) => ({ ...each, color: COLORS[index % COLORS.length]! }));
  return renderPlot({
    ...{ width: WIDTH, height: HEIGHT + marginTop, marginTop, marginLeft: 68, marginRight: 28, marginBottom: 52 },
    ...{ x, y },
    marks: [
      ...background,
      ...colored.flatMap(({ marks, color }) => marks(color)),
      Plot.text([title], { ...anchor, dy: LINE / 2 - marginTop }),
      ...colored.map(({ name, color }, index) =>
        Plot.text([`● ${name}`], { ...anchor, fill: color, dy: LINE * (index + 1.5) - marginTop }),
      ),
    ],
  }).svg;
}
