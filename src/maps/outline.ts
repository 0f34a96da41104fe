/**
 * A label map's areas as shapes in the photo: polygons along the borders of the cells, and COCO's run lengths of the
 * photo's pixels. Both are exactly what the picture of the labels shows (render-labels.ts): each pixel has the label of
 * the cell whose centre is nearest, and the cells at the border reach as far as the network saw. Pure.
 *
 * Time and memory grow with the cells and with the length of the borders, not faster. The callers say how long the borders
 * may be: a map of noise has four sides for each cell.
 *
 * Polygons are simple: cells that touch only in a corner are in different polygons. Each polygon is `[outline, hole,
 * …]`, rings of `[x, y]` whose last point is the first. On the screen outlines run clockwise and holes
 * counter-clockwise. These are the coordinates of a GeoJSON MultiPolygon, except that the y axis points down.
 */
import type { InputPlan } from './input-plan.js';
import { RunLengthWriter } from './masks.js';
import { applyAffine, coveredPixels, invertAffine, type Placement } from './place.js';
import { UNLABELLED, type LabelMap } from './label-map.js';
import { sortedPositions } from './radix-sort.js';
import { eachRange, StepCounter, type Steps } from './steps.js';

export type PolygonRing = Iterable<readonly [x: number, y: number]>;
export type MultiPolygon = Iterable<Iterable<PolygonRing>>;

/** Where a label map lies in its photo. */
export interface PlacedLabels {
  readonly labels: LabelMap;
  readonly placement: Placement;
  readonly plan: InputPlan;
}

/** Where cells begin and end, in photo pixel edges: column x lies between `xs[x]` and `xs[x + 1]`. */
export interface CellEdges {
  readonly xs: Float64Array;
  readonly ys: Float64Array;
}

/** Edges are half way between the cells' centres. The cells at the border reach as far as the network saw. */
export function* cellEdges({ labels, placement, plan }: PlacedLabels): Steps<CellEdges> {
  const { left, top, width, height } = coveredPixels(plan);
  const cellsToPhoto = invertAffine(placement);
  const xAt = (x: number): number => applyAffine(cellsToPhoto, { x, y: 0 }).x;
  const yAt = (y: number): number => applyAffine(cellsToPhoto, { x: 0, y }).y;
  return {
    xs: yield* edgesAlong(labels.width, left, left + width, xAt),
    ys: yield* edgesAlong(labels.height, top, top + height, yAt),
  };
}

function* edgesAlong(cells: number, start: number, end: number, edgeAt: (cell: number) => number): Steps<Float64Array> {
  const edges = new Float64Array(cells + 1);
  yield* eachRange(cells, (from, to) => {
    for (let i = from; i < to; i++) edges[i] = Math.min(Math.max(edgeAt(i - 0.5), start), end);
  });
  const isMirrored = edgeAt(1) < edgeAt(0);
  edges[0] = isMirrored ? end : start;
  edges[cells] = isMirrored ? start : end;
  return edges;
}

/** The outlines of all labels. */
export interface Outlines {
  /** Corners of all polygons. */
  readonly points: number;
  /** The polygons of a label, the largest first, in photo pixel edges. Made anew each time they are read. */
  readonly polygonsOf: (label: number) => MultiPolygon;
}

/** The outlines of the labels, but not of what is unlabelled; undefined if they have more than `most` corners. */
export function* outlinesOf(placed: PlacedLabels, most: number): Steps<Outlines | undefined> {
  const { labels } = placed;
  const { xs, ys } = yield* cellEdges(placed);
  const rings = yield* traceRings(labels, yield* connectedAreas(labels), most);
  if (rings === undefined) return undefined;
  const byLabel = yield* polygonsByLabel(labels, rings);
  const { corners, begins, ends, nextHole } = rings;

  function* pointsOf(ring: number): Generator<readonly [number, number]> {
    const pointAt = (at: number): readonly [number, number] => {
      const corner = corners.at(at);
      const y = Math.floor(corner / (labels.width + 1));
      return [round(xs[corner - y * (labels.width + 1)]!), round(ys[y]!)];
    };
    for (let at = begins.at(ring); at < ends.at(ring); at++) yield pointAt(at);
    yield pointAt(begins.at(ring));
  }
  function* ringsOf(outline: number): Generator<PolygonRing> {
    yield pointsOf(outline);
    for (let hole = nextHole.at(outline); hole !== NO_HOLE; hole = nextHole.at(hole)) yield pointsOf(hole);
  }
  function* polygonsOf(label: number): Generator<Iterable<PolygonRing>> {
    for (const outline of byLabel.get(label) ?? []) yield ringsOf(outline);
  }
  return { points: corners.length, polygonsOf: (label) => ({ [Symbol.iterator]: () => polygonsOf(label) }) };
}

/** The run lengths of labels. */
export interface LabelRuns {
  /** Runs of all labels. */
  readonly runs: number;
  /** `[height, width]` of the photo. */
  readonly size: readonly [height: number, width: number];
  /** The pixels of a label, as pycocotools compresses them, in pieces; undefined if no pixel has it. */
  readonly countsOf: (label: number) => Iterable<string> | undefined;
}

/** The run lengths of each label's pixels; undefined if there are more than `most` runs. */
export function* runLengthsOf({ labels, placement, plan }: PlacedLabels, most: number): Steps<LabelRuns | undefined> {
  const { width, height } = plan.photo;
  const covered = coveredPixels(plan);
  const rows = yield* runsOfCells(covered.top, covered.height, labels.height, placement.scaleY, placement.offsetY);
  const columns = yield* runsOfCells(covered.left, covered.width, labels.width, placement.scaleX, placement.offsetX);
  const writers = new Map<number, { readonly writer: RunLengthWriter; end: number }>();
  let runs = 0;
  const add = (label: number, start: number, length: number): void => {
    if (label === UNLABELLED) return;
    const known = writers.get(label) ?? { writer: new RunLengthWriter(), end: 0 };
    writers.set(label, known);
    if (start > known.end) known.writer.add(false, start - known.end);
    if (length > 0) known.writer.add(true, length);
    known.end = start + length;
    runs += 1;
  };
  const steps = new StepCounter();
  // Runs of one label down the present column of cells: where each begins, and behind the last one its end.
  const starts = new Uint32Array(rows.count + 1);
  const runLabels = new Uint16Array(rows.count);
  for (let column = 0; column < columns.count; column++) {
    let count = 0;
    for (let row = 0; row < rows.count; row++) {
      if (steps.isDue(1)) yield;
      const label = labels.values[rows.cells[row]! * labels.width + columns.cells[column]!]!;
      if (count > 0 && runLabels[count - 1] === label) continue;
      runLabels[count] = label;
      starts[count] = rows.starts[row]!;
      count += 1;
    }
    starts[count] = rows.starts[rows.count]!;
    const [first, end] = [columns.starts[column]!, columns.starts[column + 1]!];
    if (count === 1 && covered.height === height) {
      add(runLabels[0]!, first * height, (end - first) * height);
      continue;
    }
    for (let x = first; x < end; x++) {
      for (let run = 0; run < count; run++) {
        if (steps.isDue(1)) yield;
        add(runLabels[run]!, x * height + starts[run]!, starts[run + 1]! - starts[run]!);
      }
      if (runs > most) return undefined;
    }
  }
  for (const [label, { writer }] of writers) {
    add(label, width * height, 0);
    writer.end();
  }
  return {
    runs,
    size: [height, width],
    countsOf: (label) => writers.get(label)?.writer.pieces(),
  };
}

/** Neighbouring photo pixels that have the same nearest cell: run i is [starts[i], starts[i + 1]), its cell cells[i]. */
interface CellRuns {
  readonly count: number;
  readonly cells: Uint32Array;
  readonly starts: Uint32Array;
}

function* runsOfCells(start: number, length: number, cells: number, scale: number, offset: number): Steps<CellRuns> {
  // Along an axis each cell has one run at most.
  const runs = { count: 0, cells: new Uint32Array(cells), starts: new Uint32Array(cells + 1) };
  yield* eachRange(length, (from, end) => {
    for (let pixel = start + from; pixel < start + end; pixel++) {
      const cell = Math.round(Math.min(Math.max((pixel + 0.5) * scale + offset, 0), cells - 1));
      if (runs.count > 0 && runs.cells[runs.count - 1] === cell) continue;
      runs.cells[runs.count] = cell;
      runs.starts[runs.count] = pixel;
      runs.count += 1;
    }
  });
  runs.starts[runs.count] = start + length;
  return runs;
}

/** For each cell a number that it shares with the cells of its area, which are connected over edges, `[height × width]`. */
interface Areas {
  readonly areaOf: Uint32Array;
  /** One more than the largest number. */
  readonly count: number;
}

/** Areas of equal labels, found row by row; numbers that turn out to be one area are united (Rosenfeld 1966). */
function* connectedAreas({ values, width, height }: LabelMap): Steps<Areas> {
  const areaOf = new Uint32Array(width * height);
  // For each number a smaller one of the same area, or itself. Every number begins at a cell of its own.
  const parents = new GrowingNumbers();
  const rootOf = (area: number): number => {
    let root = area;
    while (parents.at(root) !== root) {
      parents.set(root, parents.at(parents.at(root)));
      root = parents.at(root);
    }
    return root;
  };
  const steps = new StepCounter();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (steps.isDue(1)) yield;
      const cell = y * width + x;
      const isOfLeft = x > 0 && values[cell - 1] === values[cell];
      const isOfUpper = y > 0 && values[cell - width] === values[cell];
      if (!isOfLeft && !isOfUpper) {
        areaOf[cell] = parents.length;
        parents.push(parents.length);
        continue;
      }
      areaOf[cell] = areaOf[isOfLeft ? cell - 1 : cell - width]!;
      if (!isOfLeft || !isOfUpper || areaOf[cell - 1] === areaOf[cell - width]) continue;
      const [left, upper] = [rootOf(areaOf[cell - 1]!), rootOf(areaOf[cell - width]!)];
      parents.set(Math.max(left, upper), Math.min(left, upper));
    }
  }
  yield* eachRange(areaOf.length, (from, end) => {
    for (let cell = from; cell < end; cell++) areaOf[cell] = rootOf(areaOf[cell]!);
  });
  return { areaOf, count: parents.length };
}

/** The sides of a cell, clockwise. The side's edge runs clockwise around the cell, so the cell is to its right. */
const SIDES = 4;
const NORTH = 0;
const EAST = 1;
const SOUTH = 2;

/** In the place of a cell beyond the map. */
const NONE = -1;
/** In the place of a ring: the first one is an outline. */
const NO_HOLE = 0;

/** Rings by number, outlines and holes. The outline of an area comes before its holes. */
interface Rings {
  /** The corners of all rings, one ring behind the other; corner y · (width + 1) + x is the upper left one of cell (x, y). */
  readonly corners: GrowingNumbers;
  /** Of each ring: where its corners begin and end. */
  readonly begins: GrowingNumbers;
  readonly ends: GrowingNumbers;
  /** Of each ring: the next hole in the same outline, or NO_HOLE. */
  readonly nextHole: GrowingNumbers;
  /** Of each outline its ring, the cells inside of it with its holes, and one of its cells. */
  readonly outlines: GrowingNumbers;
  readonly sizes: GrowingNumbers;
  readonly seeds: GrowingNumbers;
}

/** Walk along all borders. Where two areas of a label touch in a corner, each walk turns right, along its own cell. */
function* traceRings({ values, width }: LabelMap, { areaOf, count }: Areas, most: number): Steps<Rings | undefined> {
  /** Of each cell the sides that have been walked along, as bits. */
  const walked = new Uint8Array(values.length);
  const corners = new GrowingNumbers();
  const begins = new GrowingNumbers();
  const ends = new GrowingNumbers();
  const nextHole = new GrowingNumbers();
  const outlines = new GrowingNumbers();
  const sizes = new GrowingNumbers();
  const seeds = new GrowingNumbers();
  /** The last ring of each area. */
  const lastRing = new Uint32Array(count);
  const steps = new StepCounter();
  const neighbour = (cell: number, side: number): number => {
    const x = cell % width;
    if (side === NORTH) return cell < width ? NONE : cell - width;
    if (side === EAST) return x === width - 1 ? NONE : cell + 1;
    if (side === SOUTH) return cell >= values.length - width ? NONE : cell + width;
    return x === 0 ? NONE : cell - 1;
  };
  const isBorder = (cell: number, side: number): boolean => {
    const other = neighbour(cell, side);
    return other === NONE || values[other] !== values[cell];
  };
  /** Where the edge along a side begins. */
  const cornerOf = (cell: number, side: number): number => {
    const [x, y] = [cell % width, Math.floor(cell / width)];
    return (side === EAST || side === SOUTH ? x + 1 : x) + (side === NORTH || side === EAST ? y : y + 1) * (width + 1);
  };
  /** Twice what the edge adds to the ring's area: x₀·y₁ − x₁·y₀. */
  const twiceArea = (cell: number, side: number): number => {
    const [x, y] = [cell % width, Math.floor(cell / width)];
    return side === NORTH ? -y : side === EAST ? x + 1 : side === SOUTH ? y + 1 : -x;
  };

  for (let first = 0; first < values.length; first++) {
    if (steps.isDue(1)) yield;
    if (values[first] === UNLABELLED) continue;
    for (let firstSide = 0; firstSide < SIDES; firstSide++) {
      if ((walked[first]! >> firstSide) & 1 || !isBorder(first, firstSide)) continue;
      const begin = corners.length;
      corners.push(cornerOf(first, firstSide));
      let [cell, side] = [first, firstSide];
      let area = 0;
      let from = side;
      for (;;) {
        if (steps.isDue(1)) yield;
        walked[cell]! |= 1 << side;
        area += twiceArea(cell, side) / 2;
        from = side;
        const right = (side + 1) % SIDES;
        if (isBorder(cell, right)) side = right;
        else {
          const ahead = neighbour(cell, right);
          if (isBorder(ahead, side)) cell = ahead;
          else {
            cell = neighbour(ahead, side);
            side = (side + SIDES - 1) % SIDES;
          }
        }
        if ((walked[cell]! >> side) & 1) break;
        if (side !== from) corners.push(cornerOf(cell, side));
        if (corners.length > most) return undefined;
      }
      const ring = begins.length;
      // The walk may have begun in the middle of a straight border.
      begins.push(firstSide === from ? begin + 1 : begin);
      ends.push(corners.length);
      nextHole.push(NO_HOLE);
      const ofArea = areaOf[first]!;
      if (area > 0) {
        outlines.push(ring);
        sizes.push(area);
        seeds.push(first);
      } else nextHole.set(lastRing[ofArea]!, ring);
      lastRing[ofArea] = ring;
    }
  }
  return { corners, begins, ends, nextHole, outlines, sizes, seeds };
}

/** The outlines of each label, the largest first, and of equal ones the lowest first. */
function* polygonsByLabel(
  { values }: LabelMap,
  { outlines, sizes, seeds }: Rings,
): Steps<ReadonlyMap<number, readonly number[]>> {
  const order = yield* sortedPositions(sizes.values);
  const byLabel = new Map<number, number[]>();
  yield* eachRange(order.length, (from, end) => {
    for (let i = from; i < end; i++) {
      const position = order[order.length - 1 - i]!;
      const label = values[seeds.at(position)]!;
      const known = byLabel.get(label);
      if (known === undefined) byLabel.set(label, [outlines.at(position)]);
      else known.push(outlines.at(position));
    }
  });
  return byLabel;
}

/** A list of numbers from 0 to 2³² − 1, four bytes each. */
class GrowingNumbers {
  #values = new Uint32Array(1024);
  length = 0;

  get values(): Uint32Array {
    return this.#values.subarray(0, this.length);
  }

  at(position: number): number {
    return this.#values[position]!;
  }

  set(position: number, value: number): void {
    this.#values[position] = value;
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const longer = new Uint32Array(2 * this.length);
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.length] = value;
    this.length += 1;
  }
}

/** Rounded to hundredths of a pixel. */
function round(position: number): number {
  return Math.round(position * 100) / 100;
}
