/** The panels of a dashboard in their places, as one SVG document. Pure. */
import * as Plot from '@observablehq/plot';
import { fittedAxis, linearAxis } from '../../src/plots/axes.js';
import { COLORS, renderPlot } from '../../src/plots/render.js';

export interface Line {
  readonly name: string;
  /** Minutes before the end are negative. */
  readonly points: readonly { readonly minute: number; readonly value: number }[];
}

export interface DrawnPanel {
  readonly title: string;
  /** As Grafana has it: row, stat, table, timeseries. */
  readonly type: string;
  /** In cells of Grafana's grid, 24 across. */
  readonly place: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  /** As Grafana has it. */
  readonly unit: string;
  readonly lines: readonly Line[];
}

const CELL = 60;
const ROW = 36;
const GAP = 6;
const TITLE = 22;
const LEGEND = 13;
/** Characters of a legend that fit into a pixel of width. */
const PER_PIXEL = 1 / 6.2;

/** What a unit's values are multiplied with, and how the result is written. */
const UNITS: Readonly<Record<string, { readonly factor: number; readonly name: string }>> = {
  bytes: { factor: 2 ** -20, name: 'MiB' },
  percentunit: { factor: 100, name: '%' },
  s: { factor: 1000, name: 'ms' },
  reqps: { factor: 1, name: '1/s' },
  ops: { factor: 1, name: '1/s' },
  short: { factor: 1, name: '' },
};

export function drawDashboard(title: string, panels: readonly DrawnPanel[]): string {
  const height = Math.max(...panels.map(({ place: { y, h } }) => y + h)) * ROW + 2 * TITLE;
  const width = 24 * CELL;
  const body = panels.map((panel) => {
    const { x, y, w, h } = panel.place;
    return `<g transform="translate(${x * CELL},${y * ROW + 2 * TITLE})">${draw(panel, w * CELL - GAP, h * ROW - GAP)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans, Arial, sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="#eef0f2"/>',
    text(
      8,
      26,
      `${title}. Drawn by npm run load:dashboard from Prometheus' answers to the dashboard's expressions; not Grafana's rendering.`,
      14,
    ),
    ...body,
    '</svg>\n',
  ].join('\n');
}

function draw(panel: DrawnPanel, width: number, height: number): string {
  const { title, type } = panel;
  if (type === 'row') return text(4, ROW / 2 + 4, title, 15, 'bold');
  const frame = `<rect width="${width}" height="${height}" fill="white" stroke="#c8ccd0"/>${text(8, 16, title, 12, 'bold')}`;
  if (type === 'stat') return frame + stat(panel, width, height);
  if (type === 'table') return frame + table(panel, width);
  return frame + timeSeries(panel, width, height);
}

function stat({ lines, unit }: DrawnPanel, width: number, height: number): string {
  const { factor, name } = UNITS[unit] ?? UNITS['short']!;
  const last = lines[0]?.points.at(-1)?.value;
  const shown = last === undefined ? 'no data' : `${Number((last * factor).toPrecision(3))} ${name}`;
  return `<text x="${width / 2}" y="${height / 2 + 18}" font-size="30" text-anchor="middle" fill="${COLORS[0]!}">${escape(shown)}</text>`;
}

function table({ lines }: DrawnPanel, width: number): string {
  return lines.map(({ name }, index) => text(8, 38 + 16 * index, cut(name, width - 16), 11)).join('');
}

function timeSeries({ lines, unit }: DrawnPanel, width: number, height: number): string {
  const { factor, name: unitName } = UNITS[unit] ?? UNITS['short']!;
  const scaled = lines.map(({ name, points }) => ({
    name,
    points: points
      .filter(({ value }) => Number.isFinite(value))
      .map((point) => ({ ...point, value: point.value * factor })),
  }));
  const values = scaled.flatMap(({ points }) => points.map(({ value }) => value));
  const minutes = scaled.flatMap(({ points }) => points.map(({ minute }) => minute));
  if (values.length === 0) return text(8, 40, 'no data', 11);
  const legend = legendRows(
    scaled.map(({ name }) => name),
    width - 16,
  );
  const top = TITLE + LEGEND * legend.length;
  const most = Math.max(...values) || 1;
  const { svg } = renderPlot({
    ...{ width, height: height - top, marginLeft: 60, marginRight: 12, marginTop: 8, marginBottom: 34 },
    x: fittedAxis('minutes', minutes),
    y: { ...linearAxis(unitName, [0, most], 0), domain: [0, most * 1.05] },
    marks: scaled.map(({ points }, index) =>
      Plot.line(points, { x: 'minute', y: 'value', stroke: COLORS[index % COLORS.length]!, strokeWidth: 1.2 }),
    ),
  });
  const rows = legend.map((row, index) => {
    const spans = row.map(
      (entry) => `<tspan fill="${COLORS[entry % COLORS.length]!}">● ${escape(scaled[entry]!.name)}   </tspan>`,
    );
    return `<text x="8" y="${TITLE + LEGEND * index + 8}" font-size="10" xml:space="preserve">${spans.join('')}</text>`;
  });
  return `${rows.join('')}<g transform="translate(0,${top})">${withoutDecimals(svg)}</g>`;
}

/** Paths to a tenth of a pixel. */
function withoutDecimals(svg: string): string {
  return svg.replace(/ d="[^"]*"/g, (path) => path.replace(/(\.\d)\d+/g, '$1'));
}

/** The positions of names in rows that are not wider than this. */
function legendRows(names: readonly string[], width: number): number[][] {
  const rows: number[][] = [[]];
  let used = 0;
  for (const [index, name] of names.entries()) {
    const long = name.length + 5;
    if (used > 0 && used + long > width * PER_PIXEL) {
      rows.push([]);
      used = 0;
    }
    rows.at(-1)!.push(index);
    used += long;
  }
  return rows;
}

function cut(line: string, width: number): string {
  const most = Math.floor(width * PER_PIXEL);
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

function text(x: number, y: number, content: string, size: number, weight = 'normal'): string {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
