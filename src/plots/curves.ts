/** Curves through points, over two axes. */
import * as Plot from '@observablehq/plot';
import type { Axis } from './axes.js';
import { linePlot } from './line-plot.js';

export interface Curve {
  readonly name: string;
  readonly points: readonly CurvePoint[];
  readonly dashed?: boolean;
  /** Draw a dot at each point, or nothing else; hollow ones where the point says so. */
  readonly dots?: boolean | 'only';
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  readonly hollow?: boolean;
}

export interface CurvePlot {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly curves: readonly Curve[];
}

const CHANNELS = { x: 'x', y: 'y' } as const;

export function drawCurves({ curves, ...plot }: CurvePlot): string {
  return linePlot({
    ...plot,
    series: curves.map(({ name, points, dashed = false, dots = false }) => ({
      name,
      marks: (stroke) => [
        ...(dots === 'only'
          ? []
          : [Plot.line(points, { ...CHANNELS, stroke, strokeWidth: 2, ...(dashed && { strokeDasharray: '6,4' }) })]),
        ...(dots !== false
          ? [
              Plot.dot(points, {
                ...CHANNELS,
                stroke,
                r: 4,
                fill: ({ hollow }: CurvePoint) => (hollow ? 'white' : stroke),
              }),
            ]
          : []),
      ],
    })),
  });
}
