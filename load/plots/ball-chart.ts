/**
 * The ball chart of Canziani, Paszke and Culurciello (2017), with throughput in the place of accuracy: images a second
 * of the server against the GMAC (10⁹ multiply-adds) of an image, one ball for each model, its area as the parameters.
 */
import * as Plot from '@observablehq/plot';
import type { Report, Row } from '../report.js';
import { medianOf } from '../tables.js';
import { logAxis } from './log-axis.js';
import { placeLabels } from './place-labels.js';
import { COLORS, FONT_SIZE, GREY, renderPlot, type RenderedPlot } from './render.js';

interface Ball {
  readonly name: string;
  readonly family: string;
  readonly int8: boolean;
  readonly gmacs: number;
  readonly imagesPerSecond: number;
  readonly parametersM: number;
}

const WIDTH = 1200;
const HEIGHT = 860;
const MARGINS = { marginTop: 56, marginRight: 24, marginBottom: 52, marginLeft: 68 };
const LARGEST_BALL = 40;
/** Width of a character of the label's font, on average, as a part of its height. */
const CHARACTER = 0.6;
const LABEL_SIZE = 10;

/** Undefined if fewer than two models were measured by classification. */
export function ballChart({ rows, machine }: Report): string | undefined {
  const balls = ballsOf(rows);
  if (balls.length < 2) return undefined;
  const colors = colorsOf(balls);
  const marks = [
    Plot.dot(balls, {
      x: 'gmacs',
      y: 'imagesPerSecond',
      r: 'parametersM',
      fill: (ball: Ball) => colors.get(ball.family),
      fillOpacity: (ball: Ball) => (ball.int8 ? 0 : 0.35),
      stroke: (ball: Ball) => colors.get(ball.family),
    }),
    ...headings(
      `${machine.processor}, ${machine.cores} cores, ${machine.date}; the area of a ball is its parameters, ` +
        `${Math.max(...balls.map(({ parametersM }) => parametersM)).toFixed(0)} M for the largest` +
        (balls.some(({ int8 }) => int8) ? '; hollow: int8' : ''),
      colors,
    ),
  ];
  const options = {
    ...MARGINS,
    width: WIDTH,
    height: HEIGHT,
    // Half as far again at both ends, because balls have a size.
    x: logAxis(
      'GMAC of an image',
      balls.map(({ gmacs }) => gmacs),
      1.5,
    ),
    y: logAxis(
      'images a second',
      balls.map(({ imagesPerSecond }) => imagesPerSecond),
      1.5,
    ),
    r: { range: [0, LARGEST_BALL] as [number, number] },
    color: { type: 'identity' as const },
  };
  // The scales, on which the labels are placed, are known only when the balls have been drawn.
  const scales = renderPlot({ ...options, marks });
  return renderPlot({ ...options, marks: [...marks, ...labels(balls, scales)] }).svg;
}

/** A ball for each model that classified, at the load that got most out of it. */
function ballsOf(rows: readonly Row[]): Ball[] {
  const balls = new Map<string, Ball>();
  for (const row of rows) {
    if (row.view !== 'classify' || row.models.length > 1 || row.load.loop !== 'closed') continue;
    const name = row.models[0]!.replace('-untrained', '') + (row.engine === undefined ? '' : ` on ${row.engine}`);
    const ball: Ball = {
      name,
      family: /^(wide_)?[a-z]+/.exec(name)?.[0] ?? name,
      int8: row.precision === 'int8',
      gmacs: row.gmacs,
      imagesPerSecond: medianOf(row, ({ server }) => server.imagesPerSecond),
      parametersM: row.parametersM,
    };
    if (ball.imagesPerSecond > (balls.get(name)?.imagesPerSecond ?? 0)) balls.set(name, ball);
  }
  return [...balls.values()];
}

/** A colour for each of the families with most members, grey for the rest. */
function colorsOf(balls: readonly Ball[]): Map<string, string> {
  const members = (family: string): number => balls.filter((ball) => ball.family === family).length;
  const families = [...new Set(balls.map(({ family }) => family))].sort((a, b) => members(b) - members(a));
  return new Map(families.map((family, index) => [family, COLORS[index] ?? GREY]));
}

function headings(title: string, colors: ReadonlyMap<string, string>): Plot.Markish[] {
  const anchor = { frameAnchor: 'top-left', textAnchor: 'start', fontSize: FONT_SIZE } as const;
  const named = [...colors].filter(([, color]) => color !== GREY);
  const legend = named.length < colors.size ? [...named, ['others', GREY] as const] : named;
  let dx = 0;
  return [
    Plot.text([title], { ...anchor, dy: -44 }),
    ...legend.map(([family, fill]) => {
      const mark = Plot.text([`● ${family}`], { ...anchor, fill, dx, dy: -22 });
      dx += (family.length + 4) * FONT_SIZE * CHARACTER;
      return mark;
    }),
  ];
}

function labels(balls: readonly Ball[], { scale }: RenderedPlot): Plot.Markish[] {
  const [x, y, r] = [scale('x'), scale('y'), scale('r')];
  const circles = balls.map((ball) => ({
    x: x.apply(ball.gmacs),
    y: y.apply(ball.imagesPerSecond),
    r: r.apply(ball.parametersM),
    width: ball.name.length * LABEL_SIZE * CHARACTER,
    height: LABEL_SIZE,
  }));
  const places = placeLabels(circles, {
    left: MARGINS.marginLeft,
    top: MARGINS.marginTop,
    right: WIDTH - MARGINS.marginRight,
    bottom: HEIGHT - MARGINS.marginBottom,
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
      { x1: 'gmacs', y1: 'imagesPerSecond', x2: 'labelX', y2: 'labelY', stroke: GREY, strokeWidth: 0.5 },
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
