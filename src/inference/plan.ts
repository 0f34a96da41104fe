/**
 * The passes that an image takes: one for each scale, and with `flip` one more of the mirrored image. All of them are
 * planned, and held against the limits, on its header alone.
 */
import { ServiceError, type ParameterError } from '../errors.js';
import type { CompiledModel } from '../models/compile.js';
import type { DenseView, View } from '../models/dense-views.js';
import type { Size } from '../models/input-size.js';
import type { ImageHeader } from '../images/image-header.js';
import { inputPixels, planInput, type Fit, type InputPlan } from '../maps/input-plan.js';
import { planTiles, type Tiling } from '../maps/tiles.js';

/** What one pass may cost: as many runs of the largest input. */
const MAX_TILES = 16;

/**
 * Values of a class map, cells × classes, that one run may make: 256 MB. A finer output stride of a net whose cost lies in
 * its coarse layers costs little a cell, and takes memory nevertheless.
 */
const MAX_MAP_VALUES = 2 ** 26;

/** What every request may choose about the way an image goes in. */
export interface InputOptions {
  readonly fit: Fit;
  /** Pixels of the short side; absent: the model's input size. */
  readonly size?: number | undefined;
  readonly scales: readonly number[];
  /** Also run the mirrored image, and average. */
  readonly flip: boolean;
  /** Cut an input beyond the pixel limit into tiles, for a dense view. */
  readonly tiles?: boolean | undefined;
}

/** What is done with an image, in which view. */
export interface PassRequest {
  readonly model: CompiledModel;
  /** The view for an input of this size. May throw OUTPUT_UNSUPPORTED. */
  readonly viewFor: (input: Size) => View;
  readonly input: InputOptions;
  /** For a dense view: class selectors, see classes.ts. */
  readonly classes?: readonly number[];
}

/** One way to look at an image: at a scale, as it is or mirrored. */
export interface Variant {
  readonly plan: InputPlan;
  /** Where one run would be too large. */
  readonly tiling: Tiling | undefined;
  readonly mirrored: boolean;
}

export interface VariantLimits {
  /** Pixels of one photo. */
  readonly maxPixels: number;
  /** Pixels of one network input. */
  readonly maxInputPixels: number;
  /** See planInput. Default: 1. */
  readonly inputStep?: number;
}

/** Every scale, each as it is and then mirrored. Throws IMAGE_TOO_LARGE or OUTPUT_UNSUPPORTED. */
export function planVariants(header: ImageHeader, request: PassRequest, limits: VariantLimits): Variant[] {
  return request.input.scales.flatMap((scale) => {
    const planned = planAt(scale, header, request, limits);
    return mirrorings(request.input).map((mirrored) => ({ ...planned, mirrored }));
  });
}

/** Whether a pass mirrors its input: once without, and with `flip` once with. */
export function mirrorings({ flip }: InputOptions): boolean[] {
  return flip ? [false, true] : [false];
}

function planAt(
  scale: number,
  header: ImageHeader,
  request: PassRequest,
  limits: VariantLimits,
): Pick<Variant, 'plan' | 'tiling'> {
  const { model, viewFor } = request;
  const { fit, tiles } = request.input;
  const preset = model.manifest.input;
  const side = sideOf(request);
  const resize = Math.round((side * preset.resize) / preset.size);
  const planFor = (factor: number): InputPlan =>
    planInput(header, { fit, size: side, resize, scale: factor, step: limits.inputStep ?? 1 });
  const plan = planFor(scale);
  const view = viewFor(plan.crop);
  view.check(plan.crop);
  const tiling = tiles ? tilingOf(plan, view, limits) : undefined;
  const explain = (limit: number): ParameterError => {
    const pixelsAt = (factor: number): number => inputPixels(planFor(factor));
    const [parameter, asked, steps] = fit !== 'native' && scale === 1 ? ['size', side, side] : ['scale', scale, 100];
    const largest = largestScale(scale, limit, steps, pixelsAt) * (parameter === 'size' ? side : 1);
    return { parameter, detail: `${parameter}=${asked} is too large for this image; at most ${largest}` };
  };
  if (tiling === undefined) checkPixels(plan, view, limits, explain);
  checkMap(plan, view, request, tiling);
  return { plan, tiling };
}

/** Pixels of the short side: those asked for, or the model's own, which may be others for maps of the whole photo. */
function sideOf({ model: { manifest }, input: { fit, size }, classes }: PassRequest): number {
  const ofMaps = classes !== undefined && fit === 'whole' ? manifest.maps?.size : undefined;
  return size ?? ofMaps ?? manifest.input.size;
}

/** Tiles of an input that is too large for one run; undefined where none are needed, or none can be had. */
function tilingOf(plan: InputPlan, view: View, limits: VariantLimits): Tiling | undefined {
  const limit = Math.floor(limits.maxInputPixels / view.pixelCost);
  const pixels = inputPixels(plan);
  if (pixels <= limit || pixels > limits.maxPixels || !isDense(view) || view.tiling === undefined) return undefined;
  const mapSize = (input: Size): Size => view.mapSize(input);
  const tiling = planTiles(plan.crop, { ...view.tiling, mapSize }, limit);
  return tiling !== undefined && tiling.tiles.length <= MAX_TILES ? tiling : undefined;
}

/** The limit holds for the coarsest view; a finer one, which takes as much longer, has a lower one. */
function checkPixels(
  plan: InputPlan,
  { pixelCost }: View,
  limits: VariantLimits,
  explain: (limit: number) => ParameterError,
): void {
  const limit = Math.floor(limits.maxInputPixels / pixelCost);
  if (inputPixels(plan) <= limit) return;
  const { width, height } = plan.crop;
  const [why, orElse] =
    pixelCost === 1 ? ['', ''] : [` at ${pixelCost.toFixed(1)} times the cost a pixel`, ', or a coarser outputStride'];
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `The network's input would be ${width}×${height} pixels; the limit is ${limit} pixels${why}. Ask for a smaller size or scale${orElse}.`,
    { errors: [explain(limit)] },
  );
}

/** A run makes the map of every class, and gives those asked for; of tiles these are put together. */
function checkMap(
  { crop }: InputPlan,
  view: View,
  { model, classes = [] }: PassRequest,
  tiling: Tiling | undefined,
): void {
  if (!isDense(view)) return;
  const { width, height } = view.mapSize(crop);
  const channels = tiling === undefined ? Math.max(model.labels.length, classes.length) : classes.length;
  if (width * height * channels <= MAX_MAP_VALUES) return;
  throw new ServiceError(
    'IMAGE_TOO_LARGE',
    `The class map would be ${width}×${height} cells of ${channels} classes; the limit is ${MAX_MAP_VALUES} values. Ask for a coarser outputStride, a smaller size or scale, or fewer classes.`,
    { errors: [{ parameter: 'outputStride', detail: `gives ${width * height * channels} values` }] },
  );
}

/** The largest multiple of 1/steps whose input has at most `limit` pixels, where that of `scale` has more. */
function largestScale(scale: number, limit: number, steps: number, pixelsAt: (scale: number) => number): number {
  // Sides are whole pixels, so that the estimate is a little off; from above it, down to the first that fits.
  let count = Math.ceil(1.02 * steps * scale * Math.sqrt(limit / pixelsAt(scale)));
  while (count > 0 && pixelsAt(count / steps) > limit) count -= 1;
  return count / steps;
}

function isDense(view: View): view is DenseView {
  return 'mapSize' in view;
}
