/**
 * From a class map to places in the photo: the strongest point, the box around it, and all regions above a threshold
 * with their share of the map. Pure.
 *
 * The box is that of Zhou 2016 (CAM) §3.2 with one difference: it bounds the connected region that holds the peak, not
 * the largest one, so that peak and box show the same thing.
 */
import type { PixelRectangle, PixelSize } from './input-plan.js';
import { applyAffine, invertAffine, type Placement, type Point } from './place.js';
import { regionFrom, type Region } from './regions.js';
import type { ClassMap } from './row-sampler.js';

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
export function peakOf(map: ClassMap, placement: Placement, photo: PixelSize): Peak {
  const cell = strongestCell(map);
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
  /** All connected regions at or above the level, the largest first. */
  readonly regions: readonly PlacedRegion[];
  /** Of the region that holds the peak; undefined if the peak is below the level. */
  readonly box: Box | undefined;
  /** Over all cells. */
  readonly mean: number;
}

/** Where a map is at or above a threshold. A constant map is at every part of its range. */
export function extentOf(map: ClassMap, placement: Placement, photo: PixelSize, threshold: Threshold): Extent {
  const { values } = map;
  const peak = strongestCell(map);
  const level = levelOf(threshold, values, values[peak]!);
  const belongs = (cell: number): boolean => values[cell]! >= level;
  const seen = new Uint8Array(values.length);
  const regions: PlacedRegion[] = [];
  const add = (seed: number): void => {
    if (seen[seed] === 1 || !belongs(seed)) return;
    const region = regionFrom(seed, map, belongs, seen);
    regions.push({ box: cellsToBox(region, placement, photo), share: region.cells / values.length });
  };
  add(peak);
  const box = regions[0]?.box;
  for (let cell = 0; cell < values.length; cell++) add(cell);
  return {
    level,
    share: regions.reduce((sum, region) => sum + region.share, 0),
    regions: regions.sort((a, b) => b.share - a.share),
    box,
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  };
}

function levelOf({ value, of }: Threshold, values: Float32Array, high: number): number {
  if (of === 'value') return value;
  const low = values.reduce((least, other) => Math.min(least, other), Infinity);
  return low + value * (high - low);
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

function strongestCell({ values }: ClassMap): number {
  let best = 0;
  for (let cell = 1; cell < values.length; cell++) {
    if (values[cell]! > values[best]!) best = cell;
  }
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
