/**
 * From a class map to a place in the photo: the strongest point, and the box around it. Pure.
 *
 * The box is that of Zhou 2016 (CAM) §3.2 with one difference: it bounds the connected region that holds the peak, not
 * the largest one, so that peak and box speak of the same thing.
 */
import type { PixelRectangle, PixelSize } from './input-plan.js';
import { applyAffine, invertAffine, type Affine2 } from './place.js';
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

/** The strongest cell; of equals the first in row order. A centre outside the photo is moved to its border. */
export function peakOf(map: ClassMap, placement: Affine2, photo: PixelSize): Peak {
  const cell = strongestCell(map);
  const centre = applyAffine(invertAffine(placement), { x: cell % map.width, y: Math.floor(cell / map.width) });
  return {
    x: clamp(Math.floor(centre.x), 0, photo.width - 1),
    y: clamp(Math.floor(centre.y), 0, photo.height - 1),
    value: map.values[cell]!,
  };
}

/**
 * The box around the cells that are connected to the peak and have at least `threshold` of the map's range, i.e.
 * min + threshold·(max − min); half a cell around their centres belongs to it. A map of one value gives the whole map.
 */
export function boxOf(map: ClassMap, placement: Affine2, photo: PixelSize, threshold = 0.5): Box {
  return cellsToBox(regionAround(map, strongestCell(map), threshold), placement, photo);
}

/** A region's cells and half a cell around their centres, in photo pixels. */
export function cellsToBox(region: Region, placement: Affine2, photo: PixelSize): Box {
  const cellsToPhoto = invertAffine(placement);
  const a = applyAffine(cellsToPhoto, { x: region.left - 0.5, y: region.top - 0.5 });
  const b = applyAffine(cellsToPhoto, { x: region.right + 0.5, y: region.bottom + 0.5 });
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

/** The region at or above the threshold that holds `seed`. */
function regionAround(map: ClassMap, seed: number, threshold: number): Region {
  const { values } = map;
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const level = low + threshold * (values[seed]! - low);
  return regionFrom(seed, map, (cell) => values[cell]! >= level, new Uint8Array(values.length));
}

/** The whole pixels that [start, end) touches inside 0 … pixels, at least one, as start and length. */
function clipToPixels(start: number, end: number, pixels: number): [start: number, length: number] {
  // A boundary that is on a pixel's edge but for rounding must not take in the next pixel.
  const first = clamp(Math.floor(start + 1e-6), 0, pixels - 1);
  const last = clamp(Math.ceil(end - 1e-6), first + 1, pixels);
  return [first, last - first];
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
