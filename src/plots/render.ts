/** A plot as an SVG document that stands by itself: on white, with its fonts named, without a browser. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Axis } from './axes.js';

/** Okabe and Ito's colours, which the colour-blind can tell apart too. Yellow is left out: it is lost on white. */
export const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000'];
/** The colour of all that has none of its own. */
export const GREY = '#888888';

export const FONT_SIZE = 12;

const SVG = 'http://www.w3.org/2000/svg';

/** The DOM types that are needed here: Node's types lack them. */
interface Element {
  readonly outerHTML: string;
  readonly firstChild: unknown;
  setAttribute(name: string, value: string): void;
  insertBefore(child: unknown, before: unknown): void;
}

interface Document {
  createElementNS(namespace: string, name: string): Element;
}

export interface RenderedPlot {
  readonly svg: string;
  /** The plot's scales, for marks that are placed by hand. */
  readonly scale: (name: 'x' | 'y' | 'r') => PlotScale;
}

export interface PlotScale {
  /** From data to pixels. */
  apply(value: number): number;
  invert(pixels: number): number;
}

export interface PlotOptions extends Omit<Plot.PlotOptions, 'x' | 'y'> {
  readonly x: Axis;
  readonly y: Axis;
}

export function renderPlot({ x, y, marks = [], ...options }: PlotOptions): RenderedPlot {
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as unknown as { document: Document };
  const plot = Plot.plot({
    ...options,
    x: { type: x.type, domain: x.domain, ticks: x.ticks, grid: true, axis: null },
    y: { type: y.type, domain: y.domain, ticks: y.ticks, grid: true, axis: null },
    marks: [Plot.axisX(x.ticks, axisOptions(x)), Plot.axisY(y.ticks, axisOptions(y)), ...marks],
    document: document as never,
    style: { fontFamily: 'DejaVu Sans, Arial, sans-serif', fontSize: `${FONT_SIZE}px` },
  }) as unknown as Element & RenderedPlot;
  plot.setAttribute('xmlns', SVG);
  const background = document.createElementNS(SVG, 'rect');
  for (const [name, value] of Object.entries({ width: '100%', height: '100%', fill: 'white' })) {
    background.setAttribute(name, value);
  }
  plot.insertBefore(background, plot.firstChild);
  return { svg: plot.outerHTML + '\n', scale: (name) => plot.scale(name) };
}

/** By default Plot writes numbers at only some ticks of a logarithmic axis. */
function axisOptions({ label, ticks }: Axis): Plot.AxisXOptions & Plot.AxisYOptions {
  return { label, labelAnchor: 'center', labelArrow: 'none', text: ticks.map(String) };
}
