/**
 * A class map sampled at photo pixels. Each pixel is sampled at its centre, which the placement carries to cell
 * coordinates. Beyond the centres of the border cells the border's value goes on; nothing is extrapolated.
 *
 * The kernel is separable: the map's rows are blended for a photo row first (the map is small), then the columns, whose
 * weights are computed once. Only the columns that are sampled are blended, so a part of a wide map costs no more than
 * its width. Pure, and without Node's own modules: the playground draws with it, too.
 */
import type { Affine, Frame } from './place.js';

/** One class's values `[height, width]`, row-major. */
export interface ClassMap {
  readonly values: Float32Array;
  readonly height: number;
  readonly width: number;
}

/** bicubic is Catmull-Rom (Keys 1981, a = −½): it goes through the cells' values and may overshoot between them. */
export const INTERPOLATIONS = {
  nearest: 'the cell that is nearest',
  bilinear: 'linear between four cells',
  bicubic: 'Catmull-Rom through sixteen',
} as const;

export type MapInterpolation = keyof typeof INTERPOLATIONS;

const TAPS = { nearest: 1, bilinear: 2, bicubic: 4 } as const;

/** Samples the photo pixels (left … left + count − 1, y). The result is reused for the next call. */
export type RowSampler = (y: number) => Float32Array;

/** A sampler for rows of the pixels that `placement` leads from. */
export function rowSampler(
  map: ClassMap,
  placement: Affine<Frame, 'cells'>,
  { left, count }: { readonly left: number; readonly count: number },
  interpolation: MapInterpolation,
): RowSampler {
  const taps = TAPS[interpolation];
  const rowWeights = new Float32Array(taps);
  const columns = planColumns(map, placement, left, count, taps);
  const line = new Float32Array(columns.length);
  const samples = new Float32Array(count);
  return (y) => {
    const firstRow = placeTaps((y + 0.5) * placement.scaleY + placement.offsetY, map.height, taps, rowWeights, 0);
    blendRows(map, firstRow, rowWeights, columns.start, line);
    sampleColumns(line, columns, samples);
    return samples;
  };
}

/** For each column its first tap, as an index into the line, and the weights of its taps, `[columns, taps]`. */
interface Columns {
  /** The cell at the start of the line, which has `length` cells and copies of the border cells. */
  readonly start: number;
  readonly length: number;
  readonly first: Int32Array;
  readonly weights: Float32Array;
  readonly taps: number;
}

function planColumns(
  map: ClassMap,
  placement: Affine<Frame, 'cells'>,
  left: number,
  count: number,
  taps: number,
): Columns {
  const first = new Int32Array(count);
  const weights = new Float32Array(count * taps);
  for (let i = 0; i < count; i++) {
    const cell = (left + i + 0.5) * placement.scaleX + placement.offsetX;
    first[i] = placeTaps(cell, map.width, taps, weights, i * taps);
  }
  // Taps go one way along the columns, to the left where the map is mirrored.
  const ends = [first[0] ?? 0, first[count - 1] ?? 0] as const;
  const start = Math.min(...ends);
  for (let i = 0; i < count; i++) first[i]! -= start;
  return { start, length: Math.max(...ends) + taps - start, first, weights, taps };
}

/** Write the weights of a kernel at a cell coordinate, return the index of its first tap (−1 … cells). */
function placeTaps(coordinate: number, cells: number, taps: number, weights: Float32Array, at: number): number {
  const cell = Math.min(Math.max(coordinate, 0), cells - 1);
  if (taps === 1) {
    weights[at] = 1;
    return Math.round(cell);
  }
  const floor = Math.floor(cell);
  const t = cell - floor;
  if (taps === 2) {
    weights[at] = 1 - t;
    weights[at + 1] = t;
    return floor;
  }
  weights[at] = ((-0.5 * t + 1) * t - 0.5) * t;
  weights[at + 1] = (1.5 * t - 2.5) * t * t + 1;
  weights[at + 2] = ((-1.5 * t + 2) * t + 0.5) * t;
  weights[at + 3] = (0.5 * t - 0.5) * t * t;
  return floor - 1;
}

/** line = Σ weight · map row, from cell `start` on. Beyond the map's border it has copies of the border cell. */
function blendRows(
  { values, height, width }: ClassMap,
  first: number,
  weights: Float32Array,
  start: number,
  line: Float32Array,
): void {
  const from = Math.max(start, 0);
  const end = Math.min(start + line.length, width);
  line.fill(0);
  for (let tap = 0; tap < weights.length; tap++) {
    const weight = weights[tap]!;
    if (weight === 0) continue;
    const row = Math.min(Math.max(first + tap, 0), height - 1) * width;
    for (let x = from; x < end; x++) line[x - start]! += weight * values[row + x]!;
  }
  line.fill(line[from - start]!, 0, from - start);
  line.fill(line[end - 1 - start]!, end - start);
}

/** The inner loop, written out for each kernel: a loop over taps would double its time. */
function sampleColumns(line: Float32Array, { first, weights, taps }: Columns, samples: Float32Array): void {
  const count = samples.length;
  if (taps === 1) {
    for (let i = 0; i < count; i++) samples[i] = line[first[i]!]!;
  } else if (taps === 2) {
    for (let i = 0; i < count; i++) {
      const tap = first[i]!;
      samples[i] = weights[2 * i]! * line[tap]! + weights[2 * i + 1]! * line[tap + 1]!;
    }
  } else {
    for (let i = 0; i < count; i++) {
      const tap = first[i]!;
      samples[i] =
        weights[4 * i]! * line[tap]! +
        weights[4 * i + 1]! * line[tap + 1]! +
        weights[4 * i + 2]! * line[tap + 2]! +
        weights[4 * i + 3]! * line[tap + 3]!;
    }
  }
}
