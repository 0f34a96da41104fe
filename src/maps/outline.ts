/**
 * A label map's areas as shapes in the photo: polygons along the borders of the cells, and COCO's run lengths of the
 * photo's pixels. Both are exactly what the picture of the labels shows (render-labels.ts): each pixel has the label of
 * the cell whose centre is nearest, and the cells at the border reach as far as the network saw. Pure.
 *
 * Polygons are simple: cells that touch only in a corner are in different polygons. Each polygon is `[outline, hole,
 * …]`, rings of `[x, y]` whose last point is the first. On the screen outlines run clockwise and holes
 * counter-clockwise. These are the coordinates of a GeoJSON MultiPolygon, except that the y axis points down.
 */
import type { InputPlan } from './input-plan.js';
import { compressCounts, RunLengthWriter, type RunLengths } from './masks.js';
import { applyAffine, coveredPixels, invertAffine, type Placement } from './place.js';
import type { LabelMap } from './label-map.js';

export type PolygonRing = readonly (readonly [x: number, y: number])[];
export type MultiPolygon = readonly (readonly PolygonRing[])[];

/** Where a label map lies in its photo. */
export interface PlacedLabels {
  readonly labels: LabelMap;
  readonly placement: Placement;
  readonly plan: InputPlan;
}

/** Where cells begin and end, in photo pixel edges: column x lies between `xs[x]` and `xs[x + 1]`. */
export interface CellEdges {
  readonly xs: readonly number[];
  readonly ys: readonly number[];
}

/** Edges are half way between the cells' centres. The cells at the border reach as far as the network saw. */
export function cellEdges({ labels, placement, plan }: PlacedLabels): CellEdges {
  const covered = coveredPixels(plan);
  const cellsToPhoto = invertAffine(placement);
  const along = (length: number, start: number, end: number, edgeAt: (cell: number) => number): number[] => {
    const edges = Array.from({ length: length - 1 }, (_, cell) => edgeAt(cell + 0.5));
    const isMirrored = edgeAt(1) < edgeAt(0);
    return [isMirrored ? end : start, ...edges, isMirrored ? start : end].map((edge) =>
      Math.min(Math.max(edge, start), end),
    );
  };
  const { left, top, width, height } = covered;
  return {
    xs: along(labels.width, left, left + width, (x) => applyAffine(cellsToPhoto, { x, y: 0 }).x),
    ys: along(labels.height, top, top + height, (y) => applyAffine(cellsToPhoto, { x: 0, y }).y),
  };
}

/** The polygons of each label that occurs, in photo pixel edges. */
export function polygonsOf(placed: PlacedLabels): Map<number, MultiPolygon> {
  const { labels } = placed;
  const { xs, ys } = cellEdges(placed);
  const toPhoto = (ring: readonly Corner[]): PolygonRing =>
    [...ring, ring[0]!].map(({ x, y }) => [round(xs[x]!), round(ys[y]!)] as const);
  return new Map(
    [...edgesByLabel(labels)].map(([label, edges]) => [
      label,
      nest(traceRings(edges)).map((rings) => rings.map(toPhoto)),
    ]),
  );
}

/** The run lengths of each label's pixels, compressed as pycocotools does. */
export function runLengthsOf({ labels, placement, plan }: PlacedLabels): Map<number, RunLengths> {
  const { width, height } = plan.photo;
  const covered = coveredPixels(plan);
  const rows = runsOfCells(covered.top, covered.height, labels.height, placement.scaleY, placement.offsetY);
  const columns = runsOfCells(covered.left, covered.width, labels.width, placement.scaleX, placement.offsetX);
  const writers = new Map<number, { readonly writer: RunLengthWriter; end: number }>();
  const add = (label: number, start: number, length: number): void => {
    const known = writers.get(label) ?? { writer: new RunLengthWriter(), end: 0 };
    writers.set(label, known);
    if (start > known.end) known.writer.add(false, start - known.end);
    if (length > 0) known.writer.add(true, length);
    known.end = start + length;
  };
  for (const column of columns) {
    for (let x = column.start; x < column.start + column.length; x++) {
      for (const row of rows) {
        add(labels.values[row.cell * labels.width + column.cell]!, x * height + row.start, row.length);
      }
    }
  }
  for (const label of writers.keys()) add(label, width * height, 0);
  return new Map(
    [...writers].map(([label, { writer }]) => [
      label,
      { size: [height, width] as const, counts: compressCounts(writer.counts) },
    ]),
  );
}

/** A corner of cells: (x, y) is the upper left corner of cell (x, y). */
interface Corner {
  readonly x: number;
  readonly y: number;
}

/** One side of a cell along the border of an area. The area is to its right. */
interface Edge {
  readonly from: Corner;
  readonly to: Corner;
}

/** Runs of neighbouring photo pixels that have the same nearest cell. */
function runsOfCells(
  start: number,
  length: number,
  cells: number,
  scale: number,
  offset: number,
): { cell: number; start: number; length: number }[] {
  const runs: { cell: number; start: number; length: number }[] = [];
  for (let pixel = start; pixel < start + length; pixel++) {
    const cell = Math.round(Math.min(Math.max((pixel + 0.5) * scale + offset, 0), cells - 1));
    const last = runs.at(-1);
    if (last?.cell === cell) last.length += 1;
    else runs.push({ cell, start: pixel, length: 1 });
  }
  return runs;
}

function edgesByLabel({ values, width, height }: LabelMap): Map<number, Edge[]> {
  const byLabel = new Map<number, Edge[]>();
  const labelAt = (x: number, y: number): number =>
    x < 0 || y < 0 || x >= width || y >= height ? -1 : values[y * width + x]!;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const label = labelAt(x, y);
      const edges = byLabel.get(label) ?? [];
      byLabel.set(label, edges);
      const [nw, ne, se, sw] = [corner(x, y), corner(x + 1, y), corner(x + 1, y + 1), corner(x, y + 1)];
      if (labelAt(x, y - 1) !== label) edges.push({ from: nw, to: ne });
      if (labelAt(x + 1, y) !== label) edges.push({ from: ne, to: se });
      if (labelAt(x, y + 1) !== label) edges.push({ from: se, to: sw });
      if (labelAt(x - 1, y) !== label) edges.push({ from: sw, to: nw });
    }
  }
  return byLabel;
}

function corner(x: number, y: number): Corner {
  return { x, y };
}

/** Join edges into rings. If two pairs of edges meet in a corner, each pair turns right, along its own cell. */
function traceRings(edges: readonly Edge[]): Corner[][] {
  const leaving = new Map<string, Edge[]>();
  const keyOf = ({ x, y }: Corner): string => `${x} ${y}`;
  for (const edge of edges) leaving.set(keyOf(edge.from), [...(leaving.get(keyOf(edge.from)) ?? []), edge]);
  const used = new Set<Edge>();
  return edges.flatMap((start) => {
    if (used.has(start)) return [];
    const ring: Edge[] = [];
    for (let edge = start; !used.has(edge);) {
      used.add(edge);
      ring.push(edge);
      const choices: readonly Edge[] = leaving.get(keyOf(edge.to)) ?? [];
      edge = choices.find((next) => turn(edge, next) > 0) ?? choices[0]!;
    }
    // Corners where the border goes straight on are left out.
    return [ring.filter((edge, position) => turn(ring.at(position - 1)!, edge) !== 0).map(({ from }) => from)];
  });
}

/** Positive to the right, 0 straight on. */
function turn(a: Edge, b: Edge): number {
  return (a.to.x - a.from.x) * (b.to.y - b.from.y) - (a.to.y - a.from.y) * (b.to.x - b.from.x);
}

/** Rings as polygons: each hole goes to the smallest outline around it. */
function nest(rings: readonly Corner[][]): Corner[][][] {
  const outlines = rings
    .map((ring) => ({ ring, area: areaOf(ring) }))
    .filter(({ area }) => area > 0)
    .sort((a, b) => a.area - b.area)
    .map((outline) => ({ ...outline, holes: [] as Corner[][] }));
  for (const hole of rings.filter((ring) => areaOf(ring) < 0)) {
    const inside = cellRightOf(hole[0]!, hole[1]!);
    outlines.find(({ ring }) => contains(ring, inside))?.holes.push(hole);
  }
  return outlines.toReversed().map(({ ring, holes }) => [ring, ...holes]);
}

/** Positive for a ring that runs clockwise on the screen. */
function areaOf(ring: readonly Corner[]): number {
  return ring.reduce((sum, { x, y }, position) => {
    const next = ring[(position + 1) % ring.length]!;
    return sum + (x * next.y - next.x * y) / 2;
  }, 0);
}

/** The centre of the cell at the right of an edge's beginning. */
function cellRightOf(from: Corner, to: Corner): { x: number; y: number } {
  const [dx, dy] = [Math.sign(to.x - from.x), Math.sign(to.y - from.y)];
  return { x: from.x + (dx - dy) / 2, y: from.y + (dy + dx) / 2 };
}

function contains(ring: readonly Corner[], { x, y }: { x: number; y: number }): boolean {
  return ring.reduce((inside, a, position) => {
    const b = ring[(position + 1) % ring.length]!;
    // Edges are vertical or horizontal; a horizontal one is never crossed.
    return a.x === b.x && a.x > x && Math.min(a.y, b.y) < y && Math.max(a.y, b.y) > y ? !inside : inside;
  }, false);
}

/** Rounded to hundredths of a pixel. */
function round(position: number): number {
  return Math.round(position * 100) / 100;
}
