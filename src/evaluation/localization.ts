/**
 * Three published measures of how well class maps locate objects. No I/O.
 *
 * - Pointing game (Zhang 2018, "Top-down neural attention by excitation backprop", §4.1): a case is right if the peak
 *   is on an object of the category, or within a tolerance of it, in pixels of the photograph.
 * - MaxBoxAccV2 (Choe 2020, "Evaluating weakly supervised object localization methods right", §4.1 and its extension):
 *   a case is right if the box of any connected region above a threshold overlaps the box of any object by an IoU of
 *   30, 50 or 70 %. The best threshold over all cases is chosen for each of the three; the measure is their mean.
 * - PxAP (ibid.): the area under the precision and recall of the pixels of all cases together, over all thresholds.
 *
 * For the last two, each map is scaled to [0, 1] by its own extremes. It is sampled on a grid of `GRID` pixels along
 * the photograph's longer side.
 */
import type { PixelRectangle, PixelSize } from '../maps/input-plan.js';
import type { Peak } from '../maps/localize.js';
import type { Mask } from '../maps/masks.js';
import { regionFrom } from '../maps/regions.js';
import { finish } from '../maps/steps.js';

/** Pixels along the longer side of the grid. */
export const GRID = 224;
const THRESHOLDS = Array.from({ length: 100 }, (_, step) => step / 100);
const OVERLAPS = [0.3, 0.5, 0.7] as const;
const LEVELS = 1000;

/** The annotation that a case is scored against, in photo pixels. */
export interface Truth {
  readonly photo: PixelSize;
  readonly boxes: readonly PixelRectangle[];
  readonly mask: Mask | undefined;
}

export interface LocalizationScore {
  readonly cases: number;
  /** Fractions of the cases, 0 to 1. */
  readonly pointing: number;
  readonly maxBoxAccuracy: number;
  /** Undefined if no case has a mask. */
  readonly pixelAveragePrecision: number | undefined;
}

/** The size of the grid that the maps of a photo are sampled on. */
export function gridOf({ width, height }: PixelSize): PixelSize {
  const factor = GRID / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** Takes cases one by one and keeps their running totals. `score` is NaN before the first case. */
export class LocalizationMeter {
  readonly #tolerance: number;
  #cases = 0;
  #pointed = 0;
  /** Correct cases, by overlap and threshold. */
  readonly #located = OVERLAPS.map(() => new Uint32Array(THRESHOLDS.length));
  /** Weighted pixels by the level of their value, on an object and off. */
  readonly #on = new Float64Array(LEVELS + 1);
  readonly #off = new Float64Array(LEVELS + 1);

  /** `tolerance` in photo pixels. */
  constructor(tolerance: number) {
    this.#tolerance = tolerance;
  }

  /** `values` is the map on the photo's grid (`gridOf`), in any range. */
  add({ photo, boxes, mask }: Truth, peak: Pick<Peak, 'x' | 'y'>, values: Float32Array): void {
    const grid = gridOf(photo);
    const scaled = toUnitRange(values);
    this.#cases += 1;
    if (mask === undefined ? isNearBox(boxes, peak, this.#tolerance) : isNearMask(mask, peak, this.#tolerance)) {
      this.#pointed += 1;
    }
    const wanted = boxes.map((box) => scaleBox(box, grid.width / photo.width, grid.height / photo.height));
    THRESHOLDS.forEach((threshold, step) => {
      const best = bestOverlap(boxesAbove(scaled, grid, threshold), wanted);
      OVERLAPS.forEach((overlap, row) => (this.#located[row]![step]! += best >= overlap ? 1 : 0));
    });
    if (mask !== undefined) this.#countPixels(scaled, grid, mask);
  }

  get score(): LocalizationScore {
    const best = this.#located.map((right) => Math.max(...right) / this.#cases);
    return {
      cases: this.#cases,
      pointing: this.#pointed / this.#cases,
      maxBoxAccuracy: best.reduce((sum, part) => sum + part, 0) / best.length,
      pixelAveragePrecision: averagePrecision(this.#on, this.#off),
    };
  }

  /** The pixels of each photo weigh 1 together, so that every photo counts alike. */
  #countPixels(values: Float32Array, grid: PixelSize, mask: Mask): void {
    const weight = 1 / values.length;
    values.forEach((value, pixel) => {
      const x = Math.floor((((pixel % grid.width) + 0.5) * mask.width) / grid.width);
      const y = Math.floor(((Math.floor(pixel / grid.width) + 0.5) * mask.height) / grid.height);
      const counts = mask.values[y * mask.width + x] === 1 ? this.#on : this.#off;
      counts[Math.floor(value * LEVELS)]! += weight;
    });
  }
}

/** Σ (recall at a level − recall above it) · precision at the level, from the highest level down. */
function averagePrecision(on: Float64Array, off: Float64Array): number | undefined {
  const all = on.reduce((sum, count) => sum + count, 0);
  if (all === 0) return undefined;
  let [found, taken, area] = [0, 0, 0];
  for (let level = on.length - 1; level >= 0; level--) {
    found += on[level]!;
    taken += on[level]! + off[level]!;
    if (taken > 0) area += (on[level]! / all) * (found / taken);
  }
  return area;
}

/** A constant map becomes zeros. */
function toUnitRange(values: Float32Array): Float32Array {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return values.map((value) => (high > low ? (value - low) / (high - low) : 0));
}

function isNearBox(boxes: readonly PixelRectangle[], { x, y }: { x: number; y: number }, tolerance: number): boolean {
  return boxes.some(({ left, top, width, height }) => {
    const dx = Math.max(left - (x + 0.5), x + 0.5 - (left + width), 0);
    const dy = Math.max(top - (y + 0.5), y + 0.5 - (top + height), 0);
    return Math.hypot(dx, dy) <= tolerance;
  });
}

function isNearMask({ width, height, values }: Mask, { x, y }: { x: number; y: number }, tolerance: number): boolean {
  const reach = Math.floor(tolerance);
  for (let row = Math.max(0, y - reach); row <= Math.min(height - 1, y + reach); row++) {
    for (let column = Math.max(0, x - reach); column <= Math.min(width - 1, x + reach); column++) {
      if (values[row * width + column] === 1 && Math.hypot(column - x, row - y) <= tolerance) return true;
    }
  }
  return false;
}

function boxesAbove(values: Float32Array, grid: PixelSize, threshold: number): PixelRectangle[] {
  const seen = new Uint8Array(values.length);
  const boxes: PixelRectangle[] = [];
  values.forEach((value, seed) => {
    if (value < threshold || seen[seed] === 1) return;
    const belongs = (cell: number): boolean => values[cell]! >= threshold;
    const { left, top, right, bottom } = finish(regionFrom(seed, grid, belongs, seen));
    boxes.push({ left, top, width: right + 1 - left, height: bottom + 1 - top });
  });
  return boxes;
}

function scaleBox({ left, top, width, height }: PixelRectangle, x: number, y: number): PixelRectangle {
  return { left: left * x, top: top * y, width: width * x, height: height * y };
}

function bestOverlap(found: readonly PixelRectangle[], wanted: readonly PixelRectangle[]): number {
  return found.reduce((best, a) => wanted.reduce((so, b) => Math.max(so, intersectionOverUnion(a, b)), best), 0);
}

/** Area of the intersection over that of the union, 0 to 1. */
export function intersectionOverUnion(a: PixelRectangle, b: PixelRectangle): number {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const common = width * height;
  return common / (a.width * a.height + b.width * b.height - common);
}
