/**
 * From a class map to places in the photo: the strongest point, the box around it, and all regions above a threshold
 * with their share of the map. Pure.
 *
 * The box is that of Zhou 2016 (CAM) §3.2 with one difference: it bounds the connected region that holds the peak, not
 * the largest one, so that peak and box show the same thing.
 */
import type { PixelRectangle, PixelSize } from './input-plan.js';
import { applyAffine, invertAffine, type Placement, type Point } from './place.js';
import { Largest, MAX_REGIONS, regionFrom, type Region } from './regions.js';
import type { ClassMap } from './row-sampler.js';
import { eachRange, StepCounter, type Steps } from './steps.js';

/** The photo pixel (whole numbers) that holds the centre of the strongest cell, and that cell's value. */
export interface Peak {
  readonly x: number;
  readonly y: number;
  readonly value: number;
}

/** In whole photo pixels, inside the photo, never empty. */
export type Box = PixelRectangle;

/**
 * The strongest cell; the first in row order if several are equal. A centre outside the photo is moved to its border.
 */
export function* peakOf(map: ClassMap, placement: Placement, photo: PixelSize): Steps<Peak> {
  const cell = yield* strongestCell(map);
  const centre = applyAffine(invertAffine(placement), { x: cell % map.width, y: Math.floor(cell / map.width) });
  return {
    x: clamp(Math.floor(centre.x), 0, photo.width - 1),
    y: clamp(Math.floor(centre.y), 0, photo.height - 1),
    value: map.values[cell]!,
  };
}

/** What a threshold is. `range`: the level is min + threshold·(max − min). `value`: the level itself. */
export const THRESHOLDS = {
  range: "a part (0–1) of the map's own range",
  value: 'one of its values',
} as const;

export interface Threshold {
  readonly value: number;
  readonly of: keyof typeof THRESHOLDS;
}

/** Half of the map's range. */
export const HALF: Threshold = { value: 0.5, of: 'range' };

/** Connected cells at or above a level. */
export interface PlacedRegion {
  /** It includes half a cell around the cells' centres. */
  readonly box: Box;
  /** Fraction of the map's cells, 0 to 1. */
  readonly share: number;
}

/** How much of the photo a map covers. */
export interface Extent {
  /** The threshold as a value of the map. */
  readonly level: number;
  /** Fraction of the cells that are at or above the level, 0 to 1. */
  readonly share: number;
  /** The connected regions at or above the level, the largest first. */
  readonly regions: readonly PlacedRegion[];
  /** How many smaller regions there are that `regions` leaves out. */
  readonly regionsLeftOut: number;
  /** Of the region that holds the peak; undefined if the peak is below the level. */
  readonly box: Box | undefined;
  /** Over all cells. */
  readonly mean: number;
}

/**
 * Where a map is at or above a threshold. A constant map is at every part of its range. `most` is how many regions to
 * keep.
 */
export function* extentOf(
  map: ClassMap,
  placement: Placement,
  photo: PixelSize,
  threshold: Threshold,
  most = MAX_REGIONS,
): Steps<Extent> {
  const { values } = map;
  const peak = yield* strongestCell(map);
  const level = yield* levelOf(threshold, values, values[peak]!);
  const belongs = (cell: number): boolean => values[cell]! >= level;
  const seen = new Uint8Array(values.length);
  const steps = new StepCounter();
  const largest = new Largest<Region>((region) => region.cells);
  let share = 0;
  function* add(seed: number): Steps<Region> {
    const region = yield* regionFrom(seed, map, belongs, seen, steps);
    largest.add(region, most);
    share += region.cells / values.length;
    return region;
  }
  const ofPeak = belongs(peak) ? yield* add(peak) : undefined;
  for (let cell = 0; cell < values.length; cell++) {
    if (seen[cell] === 0 && belongs(cell)) yield* add(cell);
    if (steps.isDue(1)) yield;
  }
  const regions = largest.take(most);
  return {
    level,
    share,
    regions: regions.map((region) => ({
      box: cellsToBox(region, placement, photo),
      share: region.cells / values.length,
    })),
    regionsLeftOut: largest.added - regions.length,
    box: ofPeak && cellsToBox(ofPeak, placement, photo),
    mean: yield* meanOf(values),
  };
}

function* levelOf({ value, of }: Threshold, values: Float32Array, high: number): Steps<number> {
  if (of === 'value') return value;
  const { low } = yield* extremesOf(values);
  return low + value * (high - low);
}

/** The least and the greatest value. */
export function* extremesOf(values: Float32Array): Steps<{ readonly low: number; readonly high: number }> {
  let low = Infinity;
  let high = -Infinity;
  yield* eachRange(values.length, (from, end) => {
    for (let i = from; i < end; i++) {
      low = Math.min(low, values[i]!);
      high = Math.max(high, values[i]!);
    }
  });
  return { low, high };
}

function* meanOf(values: Float32Array): Steps<number> {
  let sum = 0;
  yield* eachRange(values.length, (from, end) => {
    for (let i = from; i < end; i++) sum += values[i]!;
  });
  return sum / values.length;
}

/** A region's cells and half a cell around their centres, in photo pixels. */
function cellsToBox(region: Region, placement: Placement, photo: PixelSize): Box {
  const cellsToPhoto = invertAffine(placement);
  return boxBetween(
    applyAffine(cellsToPhoto, { x: region.left - 0.5, y: region.top - 0.5 }),
    applyAffine(cellsToPhoto, { x: region.right + 0.5, y: region.bottom + 0.5 }),
    photo,
  );
}

/** The pixels of a photo that lie or begin between two corners. */
export function boxBetween(a: Point<'photo'>, b: Point<'photo'>, photo: PixelSize): Box {
  const [left, width] = clipToPixels(Math.min(a.x, b.x), Math.max(a.x, b.x), photo.width);
  const [top, height] = clipToPixels(Math.min(a.y, b.y), Math.max(a.y, b.y), photo.height);
  return { left, top, width, height };
}

function* strongestCell({ values }: ClassMap): Steps<number> {
  let best = 0;
  yield* eachRange(values.length, (from, end) => {
    for (let cell = from; cell < end; cell++) if (values[cell]! > values[best]!) best = cell;
  });
  return best;
}

/** The whole pixels that [start, end) touches inside 0 … pixels, at least one, as start and length. */
function clipToPixels(start: number, end: number, pixels: number): [start: number, length: number] {
  // A boundary that is on a pixel's edge, except for rounding, must not include the next pixel.
  const first = clamp(Math.floor(start + 1e-6), 0, pixels - 1);
  const last = clamp(Math.ceil(end - 1e-6), first + 1, pixels);
  return [first, last - first];
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
