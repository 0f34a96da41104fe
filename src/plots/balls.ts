/** Draws labelled balls of several families over two axes: the form of Canziani, Paszke and Culurciello (2016). */
import * as Plot from '@observablehq/plot';
import type { Axis } from './axes.js';
import { placeLabels } from './place-labels.js';
import { COLORS, FONT_SIZE, GREY, renderPlot, type RenderedPlot } from './render.js';

export interface Ball {
  readonly name: string;
  /** Members of a family have one colour. */
  readonly family: string;
  readonly hollow: boolean;
  readonly x: number;
  readonly y: number;
  /** Millions; the area of the ball. */
  readonly parametersM: number;
}

export interface BallChart {
  /** Lines above the families' colours. */
  readonly titles: readonly string[];
  readonly x: Axis;
  readonly y: Axis;
  readonly balls: readonly Ball[];
}

const WIDTH = 1200;
const HEIGHT = 800;
const MARGINS = { marginRight: 24, marginBottom: 52, marginLeft: 68 };
const LINE = 20;
const LARGEST_BALL = 40;
/** Width of a character of the label's font, on average, as a part of its height. */
const CHARACTER = 0.6;
const LABEL_SIZE = 10;

/** The chart says itself what the area of a ball is. */
export function drawBalls({ titles, x, y, balls }: BallChart): string {
  const colors = colorsOf(balls);
  const largest = Math.max(...balls.map(({ parametersM }) => parametersM));
  const area = `the area of a ball is its parameters, ${largest.toFixed(0)} M for the largest`;
  const lines = [...titles, area];
  const marginTop = LINE * (lines.length + 2);
  // Small balls are drawn over large ones.
  const byArea = balls.toSorted((a, b) => b.parametersM - a.parametersM);
  const marks = [
    Plot.dot(byArea, {
      x: 'x',
      y: 'y',
      r: 'parametersM',
      fill: (ball: Ball) => colors.get(ball.family),
      fillOpacity: (ball: Ball) => (ball.hollow ? 0 : 0.35),
      stroke: (ball: Ball) => colors.get(ball.family),
    }),
    ...lines.map((line, index) => Plot.text([line], { ...ANCHOR, dy: LINE * (index + 0.5) - marginTop })),
    ...legend(colors),
  ];
  const options = {
    ...MARGINS,
    ...{ marginTop, width: WIDTH, height: HEIGHT + marginTop, x, y },
    r: { range: [0, LARGEST_BALL] as [number, number] },
    color: { type: 'identity' as const },
  };
  // The scales, on which the labels are placed, are known only when the balls have been drawn.
  const scales = renderPlot({ ...options, marks });
  return renderPlot({ ...options, marks: [...marks, ...labels(byArea, scales, marginTop)] }).svg;
}

const ANCHOR = { frameAnchor: 'top-left', textAnchor: 'start', fontSize: FONT_SIZE } as const;

/** A colour for each of the families with most members, grey for the rest. */
function colorsOf(balls: readonly Ball[]): Map<string, string> {
  const members = (family: string): number => balls.filter((ball) => ball.family === family).length;
  const families = [...new Set(balls.map(({ family }) => family))].sort((a, b) => members(b) - members(a));
  return new Map(families.map((family, index) => [family, COLORS[index] ?? GREY]));
}

function legend(colors: ReadonlyMap<string, string>): Plot.Markish[] {
  const named = [...colors].filter(([, color]) => color !== GREY);
  const entries = named.length < colors.size ? [...named, ['others', GREY] as const] : named;
  let dx = 0;
  return entries.map(([family, fill]) => {
    const mark = Plot.text([`● ${family}`], { ...ANCHOR, fill, dx, dy: -LINE });
    dx += (family.length + 4) * FONT_SIZE * CHARACTER;
    return mark;
  });
}

function labels(balls: readonly Ball[], { scale }: RenderedPlot, top: number): Plot.Markish[] {
  const [x, y, r] = [scale('x'), scale('y'), scale('r')];
  const circles = balls.map((ball) => ({
    x: x.apply(ball.x),
    y: y.apply(ball.y),
    r: r.apply(ball.parametersM),
    width: ball.name.length * LABEL_SIZE * CHARACTER,
    height: LABEL_SIZE,
  }));
  const places = placeLabels(circles, {
    left: MARGINS.marginLeft,
    top,
    right: WIDTH - MARGINS.marginRight,
    bottom: top + HEIGHT - MARGINS.marginBottom,
  });
  const placed = balls.map((ball, index) => ({
    ...ball,
    apart: places[index]!.apart,
    labelX: x.invert(places[index]!.x),
    labelY: y.invert(places[index]!.y),
  }));
  return [
    Plot.link(
      placed.filter(({ apart }) => apart),
      { x1: 'x', y1: 'y', x2: 'labelX', y2: 'labelY', stroke: GREY, strokeWidth: 0.5 },
    ),
    Plot.text(placed, {
      x: 'labelX',
      y: 'labelY',
      text: 'name',
      fontSize: LABEL_SIZE,
      fill: 'black',
      stroke: 'white',
      strokeWidth: 3,
    }),
  ];
}
