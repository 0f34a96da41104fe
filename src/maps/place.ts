/**
 * Where things are: maps between the coordinates of the photo, the network's input and the cells of a class map, each
 * with a scale and an offset for each axis. Pure. The compiler knows which coordinates a map leads from and to, and
 * refuses maps that do not fit.
 *
 * The geometry comes from the graph (Araujo 2019, "Computing receptive fields of convolutional neural networks"), not
 * from dividing sizes.
 */
import type { InputPlan, PixelRectangle } from './input-plan.js';

/**
 * The frames of coordinates. `photo`, `input`, `picture` (what is drawn) and `grid` (where maps are sampled) count
 * pixel edges: pixel i covers [i, i + 1), its centre is i + ½. `cells` counts cell centres: the centre of cell i, i.e.
 * of its receptive field, is i.
 */
export type Frame = 'photo' | 'input' | 'picture' | 'grid' | 'cells';

/** A key for the compiler alone: no object has it. */
declare const frame: unique symbol;

/** x ↦ x·scaleX + offsetX, y ↦ y·scaleY + offsetY. A mirrored axis has a negative scale; no scale is 0. */
export interface Affine<From extends Frame, To extends Frame> {
  readonly scaleX: number;
  readonly offsetX: number;
  readonly scaleY: number;
  readonly offsetY: number;
  readonly [frame]?: { readonly from: From; readonly to: To };
}

/** Where the cells of a map lie on a photo. */
export type Placement = Affine<'photo', 'cells'>;

/** How the cells of a class map lie in the input, the same on both axes. */
export interface CellGeometry {
  /** Input pixels from one cell to the next. */
  readonly outputStride: number;
  /** Where the centre of cell 0 is, in input pixel edges. */
  readonly offset: number;
}

export interface Point<In extends Frame> {
  readonly x: number;
  readonly y: number;
  readonly [frame]?: In;
}

export function applyAffine<From extends Frame, To extends Frame>(
  map: Affine<From, To>,
  { x, y }: Point<NoInfer<From>>,
): Point<To> {
  return { x: x * map.scaleX + map.offsetX, y: y * map.scaleY + map.offsetY };
}

/** `first`, then `second`. */
export function composeAffine<From extends Frame, Between extends Frame, To extends Frame>(
  first: Affine<From, Between>,
  second: Affine<NoInfer<Between>, To>,
): Affine<From, To> {
  return {
    scaleX: first.scaleX * second.scaleX,
    offsetX: first.offsetX * second.scaleX + second.offsetX,
    scaleY: first.scaleY * second.scaleY,
    offsetY: first.offsetY * second.scaleY + second.offsetY,
  };
}

export function invertAffine<From extends Frame, To extends Frame>({
  scaleX,
  offsetX,
  scaleY,
  offsetY,
}: Affine<From, To>): Affine<To, From> {
  return { scaleX: 1 / scaleX, offsetX: -offsetX / scaleX, scaleY: 1 / scaleY, offsetY: -offsetY / scaleY };
}

/** The resize is exact, so each axis has its own scale. */
export function photoToInput({ photo, resized, crop }: InputPlan): Affine<'photo', 'input'> {
  return {
    scaleX: resized.width / photo.width,
    offsetX: -crop.left,
    scaleY: resized.height / photo.height,
    offsetY: -crop.top,
  };
}

/** The part of the photo that the network saw: pixels whose centre is in the crop, or one where it lies between two. */
export function coveredPixels(plan: InputPlan): PixelRectangle {
  const inputToPhoto = invertAffine(photoToInput(plan));
  const start = applyAffine(inputToPhoto, { x: 0, y: 0 });
  const end = applyAffine(inputToPhoto, { x: plan.crop.width, y: plan.crop.height });
  const left = Math.max(0, Math.ceil(start.x - 0.5));
  const top = Math.max(0, Math.ceil(start.y - 0.5));
  return {
    left,
    top,
    width: Math.max(1, Math.min(plan.photo.width, Math.ceil(end.x - 0.5)) - left),
    height: Math.max(1, Math.min(plan.photo.height, Math.ceil(end.y - 0.5)) - top),
  };
}

/** Where the cells of a map lie on the photo. The inverse carries a cell's centre to photo pixels. */
export function placeMap({ outputStride, offset }: CellGeometry, plan: InputPlan): Placement {
  const inputToCells: Affine<'input', 'cells'> = {
    scaleX: 1 / outputStride,
    offsetX: -offset / outputStride,
    scaleY: 1 / outputStride,
    offsetY: -offset / outputStride,
  };
  return composeAffine(photoToInput(plan), inputToCells);
}

/**
 * The placement of a map whose input was mirrored left to right after the crop, from the placement without the mirror.
 * The mirrored input has x′ = w − x, so its cell is (w − x − offset) / stride = (w − 2·offset) / stride − cell(x).
 */
export function mirrorInput(
  placement: Placement,
  { outputStride, offset }: CellGeometry,
  { crop }: InputPlan,
): Placement {
  return {
    ...placement,
    scaleX: -placement.scaleX,
    offsetX: (crop.width - 2 * offset) / outputStride - placement.offsetX,
  };
}
