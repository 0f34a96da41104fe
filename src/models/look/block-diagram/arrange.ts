/**
 * Arranges the boxes of a net on a page. A net is a long line, so it is broken into columns where one value alone goes on,
 * never inside a folded block. Each column is laid out by itself.
 */
import { UsageError } from '../../../errors.js';
import type { Box } from './boxes.js';
import { soleCuts, type Fold, type FoldedNet } from './fold.js';
import { countPoints, layOut, type Sized, type Wire } from './layered-layout.js';

/** In pixels. */
export interface Extent {
  readonly width: number;
  readonly height: number;
}

export interface Spot {
  readonly x: number;
  readonly y: number;
}

/** `x` is its middle, `y` its top. */
export interface PlacedBox extends Extent, Spot {
  readonly box: Box;
}

/** Around the boxes of a fold; `x` and `y` are its corner. */
export interface Frame extends Extent, Spot {
  readonly times: number;
}

/** From one box to another, straight down through `via`; in the next column it starts at the column's head. */
export interface Line extends Wire {
  readonly start: Spot;
  readonly end: Spot;
}

/** From the foot of a column, up through the gutter, to the head of the next. */
export interface Turn {
  readonly start: Spot;
  readonly gutter: number;
  readonly end: Spot;
}

export interface Page extends Extent {
  readonly boxes: readonly PlacedBox[];
  readonly frames: readonly Frame[];
  readonly lines: readonly Line[];
  readonly turns: readonly Turn[];
}

/** A drawing with more boxes, or bends of lines, is not readable. */
const MAX_BOXES = 600;
const MAX_POINTS = 8000;

/** Height to width that a page should have at most. */
const PAGE_RATIO = 1.25;
/** Between columns. The number of a fold stands there, and a way up. */
const GUTTER = 100;
const FRAME_PADDING = 12;

/** Throws UsageError if there is more than a picture can show. */
export function arrange({ boxes, folds }: FoldedNet, sizeOf: (box: Box) => Extent): Page {
  const items = boxes.map((box) => ({ ...sizeOf(box), from: box.from }));
  if (boxes.length > MAX_BOXES) {
    const limit = `at most ${MAX_BOXES} can be read`;
    throw new UsageError(`The drawing would have ${boxes.length} boxes, and ${limit}; --part draws a part of the net.`);
  }
  if (countPoints(items) > MAX_POINTS) {
    throw new UsageError('The drawing would have more lines than can be told apart; --part draws a part of the net.');
  }
  const columns = columnsOf({ boxes, folds }, items).map((range) => column(range, { boxes, folds }, items));
  const page = { boxes: [] as PlacedBox[], frames: [] as Frame[], lines: [] as Line[], turns: [] as Turn[] };
  let left = 0;
  for (const { width, entry, ...shown } of columns) {
    const moved = <T extends Spot>(spot: T): T => ({ ...spot, x: spot.x + left });
    const last = page.boxes.at(-1);
    if (entry !== undefined && last !== undefined) {
      page.turns.push({ start: footOf(last), gutter: left - GUTTER * 0.3, end: moved(entry) });
    }
    page.boxes.push(...shown.boxes.map(moved));
    page.frames.push(...shown.frames.map(moved));
    page.lines.push(
      ...shown.lines.map((line) => ({
        ...line,
        start: moved(line.start),
        via: line.via.map((point) => ({ ...point, x: point.x + left })),
        end: moved(line.end),
      })),
    );
    left += width + GUTTER;
  }
  return { ...page, width: left - GUTTER, height: Math.max(...columns.map(({ height }) => height)) };
}

export const footOf = ({ x, y, height }: PlacedBox): Spot => ({ x, y: y + height });

interface Range {
  readonly first: number;
  readonly end: number;
}

/** The boxes of each column: as few columns as the page's ratio allows, of nearly one height. */
function columnsOf({ boxes, folds }: FoldedNet, items: readonly Sized[]): Range[] {
  const { places, width, height } = layOut(items);
  const isInside = (position: number): boolean => folds.some(({ first, last }) => position >= first && position < last);
  const cuts = soleCuts(boxes).filter((position) => position + 1 < boxes.length && !isInside(position));
  let count = 1;
  while (height / count > PAGE_RATIO * count * (width + GUTTER)) count += 1;

  /** A column that is almost all of the net would leave the others empty. */
  const isTooLong = ({ first, end }: Range): boolean => places[end - 1]!.y - places[first]!.y > 0.8 * height;
  const ranges: Range[] = [];
  let first = 0;
  let top = 0;
  const footAt = (position: number): number => places[position]!.y + items[position]!.height;
  for (const [index, cut] of cuts.entries()) {
    const next = cuts[index + 1] ?? boxes.length - 1;
    const share = top + (height - top) / (count - ranges.length);
    if (ranges.length === count - 1 || footAt(next) - share < share - footAt(cut)) continue;
    ranges.push({ first, end: cut + 1 });
    first = cut + 1;
    top = places[first]!.y;
  }
  const all = [...ranges, { first, end: boxes.length }];
  return all.some(isTooLong) ? [{ first: 0, end: boxes.length }] : all;
}

interface Column extends Omit<Page, 'turns'> {
  /** Where the value of the column before enters; the first column has none. */
  readonly entry: Spot | undefined;
}

function column({ first, end }: Range, { boxes, folds }: FoldedNet, items: readonly Sized[]): Column {
  const entryItems: readonly Sized[] = first === 0 ? [] : [{ width: 0, height: 0, from: [] }];
  /** The position of the first item of the layout. */
  const base = first - entryItems.length;
  const own = items.slice(first, end).map((item) => ({ ...item, from: item.from.map((source) => source - base) }));
  const laid = layOut([...entryItems, ...own]);
  const placed = [...entryItems, ...own].map(({ width, height }, index) => ({
    ...laid.places[index]!,
    width,
    height,
    box: boxes[base + index]!,
  }));
  const lines = laid.wires.map(({ from, to, via }) => {
    const { x, y } = placed[to]!;
    return { from: from + base, to: to + base, via, start: footOf(placed[from]!), end: { x, y } };
  });
  const shown = placed.slice(entryItems.length);
  const frames = folds
    .filter((fold) => fold.first >= first && fold.last < end)
    .map((fold) => frameOf(fold, shown.slice(fold.first - first, fold.last - first + 1), lines));
  const { width, height } = laid;
  return { boxes: shown, lines, frames, width, height, entry: first === 0 ? undefined : laid.places[0] };
}

/** Around the boxes of a fold, and the lines that end in them. */
function frameOf({ first, last, times }: Fold, boxes: readonly PlacedBox[], lines: readonly Line[]): Frame {
  const top = Math.min(...boxes.map(({ y }) => y));
  const foot = Math.max(...boxes.map((box) => footOf(box).y));
  const bends = lines
    .filter(({ to }) => to >= first && to <= last)
    .flatMap(({ via }) => via.filter((point) => point.top >= top && point.bottom <= foot));
  const left = Math.min(...boxes.map(({ x, width }) => x - width / 2), ...bends.map(({ x }) => x));
  const right = Math.max(...boxes.map(({ x, width }) => x + width / 2), ...bends.map(({ x }) => x));
  return {
    x: left - FRAME_PADDING,
    y: top - FRAME_PADDING,
    width: right - left + 2 * FRAME_PADDING,
    height: foot - top + 2 * FRAME_PADDING,
    times,
  };
}
