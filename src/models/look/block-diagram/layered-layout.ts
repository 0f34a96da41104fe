/**
 * Places boxes in rows, each below what it reads (Sugiyama 1981): rows by the longest path, long wires through a point in
 * each row between, the order in a row by the mean of the neighbours, then places near the neighbours without overlaps.
 * The last step is exact for each row: least squares under an order is isotonic regression.
 *
 * Own code instead of a library: nets are nearly series-parallel, so the simplest method of each step does, and what makes
 * nets readable is special to them, a straight line down the middle and straight branches beside it.
 */

export interface Sized {
  readonly width: number;
  readonly height: number;
  /** Positions of earlier ones above it. */
  readonly from: readonly number[];
}

/** The top and the middle of a box, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** A wire, from the bottom of a box to the top of another, straight down through `via`. */
export interface Wire {
  readonly from: number;
  readonly to: number;
  readonly via: readonly { readonly x: number; readonly top: number; readonly bottom: number }[];
}

export interface Layout {
  readonly places: readonly Place[];
  readonly wires: readonly Wire[];
  readonly width: number;
  readonly height: number;
}

/** Room for a shape, and for lines to bend below it. */
const ROW_GAP = 40;
const COLUMN_GAP = 18;
const WIRE_WIDTH = 10;
const SWEEPS = 12;
/** How much more a wire resists being bent than a box being moved. */
const WIRE_WEIGHT = 6;

/** A box, or the point of a wire in a row that it crosses. */
interface Point {
  readonly row: number;
  readonly width: number;
  readonly weight: number;
  readonly above: number[];
  readonly below: number[];
}

/** The points that a layout would have: its size and time grow with them. */
export function countPoints(items: readonly Sized[]): number {
  const rows = rowsOf(items);
  return items.reduce(
    (sum, { from }, position) => sum + from.reduce((more, source) => more + rows[position]! - rows[source]! - 1, 1),
    0,
  );
}

export function layOut(items: readonly Sized[]): Layout {
  const itemRows = rowsOf(items);
  const points: Point[] = items.map(({ width }, position) => ({
    row: itemRows[position]!,
    width,
    weight: 1,
    above: [],
    below: [],
  }));
  const chains = items.flatMap(({ from }, to) =>
    from.map((source) => ({ from: source, to, chain: chainBetween(points, source, to) })),
  );
  const rows = Array.from({ length: Math.max(0, ...itemRows) + 1 }, (): number[] => []);
  for (const [index, { row }] of points.entries()) rows[row]!.push(index);

  order(points, rows);
  const paths = straightPaths(points);
  const xs = spread(points, rows, paths);
  for (let pass = 0; pass < 2; pass += 1) for (const path of paths) straighten(path, { points, rows, xs });
  const left = Math.min(...points.map(({ width }, index) => xs[index]! - width / 2));
  const right = Math.max(...points.map(({ width }, index) => xs[index]! + width / 2));

  const heights = rows.map((row) => Math.max(0, ...row.map((index) => items[index]?.height ?? 0)));
  const tops: number[] = [];
  let y = 0;
  for (const height of heights) {
    tops.push(y);
    y += height + ROW_GAP;
  }
  const places = items.map((item, index) => {
    const row = itemRows[index]!;
    return { x: xs[index]! - left, y: tops[row]! + (heights[row]! - item.height) / 2 };
  });
  const wires = chains.map(({ from, to, chain }) => ({
    from,
    to,
    via: chain.map((index) => {
      const { row } = points[index]!;
      return { x: xs[index]! - left, top: tops[row]!, bottom: tops[row]! + heights[row]! };
    }),
  }));
  return { places, wires, width: right - left, height: y - ROW_GAP };
}

/** The row of each: the longest way to it. What reads nothing stands right above its first reader. */
function rowsOf(items: readonly Sized[]): number[] {
  const rows: number[] = [];
  for (const { from } of items) rows.push(from.reduce((row, source) => Math.max(row, rows[source]! + 1), 0));
  const first = new Map<number, number>();
  for (const [position, { from }] of items.entries()) {
    for (const source of from) first.set(source, Math.min(first.get(source) ?? Infinity, rows[position]!));
  }
  return rows.map((row, position) => {
    return items[position]!.from.length === 0 ? Math.max(0, (first.get(position) ?? 1) - 1) : row;
  });
}

/** Adds a point for each row between the two, links them, and returns them. */
function chainBetween(points: Point[], from: number, to: number): number[] {
  const chain: number[] = [];
  let last = from;
  const link = (next: number): void => {
    points[last]!.below.push(next);
    points[next]!.above.push(last);
    last = next;
  };
  for (let row = points[from]!.row + 1; row < points[to]!.row; row += 1) {
    points.push({ row, width: WIRE_WIDTH, weight: WIRE_WEIGHT, above: [], below: [] });
    chain.push(points.length - 1);
    link(points.length - 1);
  }
  link(to);
  return chain;
}

/** Sorts each row by the mean place of the neighbours, down and up. */
function order(points: readonly Point[], rows: number[][]): void {
  const ranks: number[] = [];
  const number = (row: readonly number[]): void => row.forEach((index, rank) => (ranks[index] = rank / row.length));
  rows.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      const wanted = new Map(
        row.map((index) => {
          const { above, below } = points[index]!;
          return [index, mean(down ? above : below, ranks) ?? ranks[index]!];
        }),
      );
      row.sort((a, b) => wanted.get(a)! - wanted.get(b)!);
      number(row);
    }
  }
}

/** The x of each point's middle: near its neighbours first, then near the others of its path. */
function spread(
  points: readonly Point[],
  rows: readonly (readonly number[])[],
  paths: readonly (readonly number[])[],
): number[] {
  const xs = points.map(() => 0);
  for (const row of rows)
    placeRow(
      points,
      row,
      row.map(() => 0),
      xs,
    );
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    const isLast = sweep >= SWEEPS - 2;
    for (const row of down ? rows : [...rows].reverse()) {
      const wanted = row.map((index) => {
        const { above, below } = points[index]!;
        const near = isLast ? [...above, ...below] : down ? above : below;
        return mean(near, xs) ?? xs[index]!;
      });
      placeRow(points, row, wanted, xs);
    }
  }
  const pathOf = new Map(paths.flatMap((path) => path.map((index) => [index, path] as const)));
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const means = new Map(paths.map((path) => [path, mean(path, xs)!]));
    for (const row of rows) {
      const wanted = row.map((index) => {
        const path = pathOf.get(index);
        if (path !== undefined) return means.get(path)!;
        return mean([...points[index]!.above, ...points[index]!.below], xs) ?? xs[index]!;
      });
      placeRow(points, row, wanted, xs);
    }
  }
  return xs;
}

/** Paths of points that have one neighbour above and one below each: they could be straight. */
function straightPaths(points: readonly Point[]): number[][] {
  const paths: number[][] = [];
  const goesOn = (index: number): boolean => {
    const { above, below } = points[index]!;
    return above.length === 1 && below.length === 1;
  };
  for (const index of points.keys()) {
    if (!goesOn(index) || goesOn(points[index]!.above[0]!)) continue;
    const path = [index];
    for (let next = points[index]!.below[0]!; goesOn(next); next = points[next]!.below[0]!) path.push(next);
    paths.push(path);
  }
  return paths;
}

/** Moves the points of a path to one x, as near to their mean as their neighbours in all rows allow. */
function straighten(
  path: readonly number[],
  {
    points,
    rows,
    xs,
  }: { readonly points: readonly Point[]; readonly rows: readonly number[][]; readonly xs: number[] },
): void {
  if (path.length < 2) return;
  const bounds = path.map((index) => {
    const row = rows[points[index]!.row]!;
    if (row.length === 1) return { least: xs[index]!, most: xs[index]! };
    const place = row.indexOf(index);
    const [before, behind] = [row[place - 1], row[place + 1]];
    return {
      least: before === undefined ? -Infinity : xs[before]! + distance(points, before, index),
      most: behind === undefined ? Infinity : xs[behind]! - distance(points, index, behind),
    };
  });
  const least = Math.max(...bounds.map((bound) => bound.least));
  const most = Math.min(...bounds.map((bound) => bound.most));
  if (least > most) return;
  const x = Math.min(most, Math.max(least, mean(path, xs)!));
  for (const index of path) xs[index] = x;
}

/** Between the middles of neighbours in a row. */
function distance(points: readonly Point[], left: number, right: number): number {
  return (points[left]!.width + points[right]!.width) / 2 + COLUMN_GAP;
}

/**
 * Places a row as near to `wanted` as its order and widths allow, by least squares: the pool-adjacent-violators algorithm
 * (Ayer 1955) on the places without the distances. What has a row for itself stays in the middle.
 */
function placeRow(points: readonly Point[], row: readonly number[], wanted: readonly number[], xs: number[]): void {
  if (row.length === 1) return;
  const offsets = [0];
  for (let place = 1; place < row.length; place += 1) {
    offsets.push(offsets[place - 1]! + distance(points, row[place - 1]!, row[place]!));
  }
  const pools: { sum: number; weight: number; count: number }[] = [];
  for (const [place, index] of row.entries()) {
    const { weight } = points[index]!;
    pools.push({ sum: weight * (wanted[place]! - offsets[place]!), weight, count: 1 });
    while (pools.length > 1 && level(pools.at(-2)!) > level(pools.at(-1)!)) {
      const { sum, weight: more, count } = pools.pop()!;
      const pool = pools.at(-1)!;
      pool.sum += sum;
      pool.weight += more;
      pool.count += count;
    }
  }
  const levels = pools.flatMap((pool) => Array<number>(pool.count).fill(level(pool)));
  for (const [place, index] of row.entries()) xs[index] = levels[place]! + offsets[place]!;
}

const level = ({ sum, weight }: { readonly sum: number; readonly weight: number }): number => sum / weight;

function mean(indices: readonly number[], values: readonly number[]): number | undefined {
  if (indices.length === 0) return undefined;
  return indices.reduce((sum, index) => sum + values[index]!, 0) / indices.length;
}
