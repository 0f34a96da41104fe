/**
 * Where things are: the photo, the network's input and the cells of a class map, each with a scale and an offset for
 * each axis. Pure.
 *
 * Photo and input coordinates are pixel edges: pixel i covers [i, i + 1), its centre is i + ½. Cell coordinates are
 * cell centres: the centre of cell i, i.e. of its receptive field, is i. The geometry comes from the graph
 * (Araujo 2019, "Computing receptive fields of convolutional neural networks"), not from dividing sizes.
 */
import type { InputPlan, PixelRectangle } from './input-plan.js';

/** x ↦ x·scaleX + offsetX, y ↦ y·scaleY + offsetY. A mirrored axis has a negative scale; no scale is 0. */
export interface Affine2 {
  readonly scaleX: number;
  readonly offsetX: number;
  readonly scaleY: number;
  readonly offsetY: number;
}

/** How the cells of a class map lie in the input, alike on both axes. */
export interface CellGeometry {
  /** Input pixels from one cell to the next. */
  readonly outputStride: number;
  /** Where the centre of cell 0 is, in input pixel edges. */
  readonly offset: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function applyAffine(map: Affine2, { x, y }: Point): Point {
  return { x: x * map.scaleX + map.offsetX, y: y * map.scaleY + map.offsetY };
}

/** `first`, then `second`. */
export function composeAffine(first: Affine2, second: Affine2): Affine2 {
  return {
    scaleX: first.scaleX * second.scaleX,
    offsetX: first.offsetX * second.scaleX + second.offsetX,
    scaleY: first.scaleY * second.scaleY,
    offsetY: first.offsetY * second.scaleY + second.offsetY,
  };
}

export function invertAffine({ scaleX, offsetX, scaleY, offsetY }: Affine2): Affine2 {
  return { scaleX: 1 / scaleX, offsetX: -offsetX / scaleX, scaleY: 1 / scaleY, offsetY: -offsetY / scaleY };
}

/** From photo to input. The resize is exact, so each axis has its own scale. */
export function photoToInput({ photo, resized, crop }: InputPlan): Affine2 {
  return {
    scaleX: resized.width / photo.width,
    offsetX: -crop.left,
    scaleY: resized.height / photo.height,
    offsetY: -crop.top,
  };
}

/** The part of the photo that the network saw: pixels whose centre is in the crop. */
export function coveredPixels(plan: InputPlan): PixelRectangle {
  const inputToPhoto = invertAffine(photoToInput(plan));
  const start = applyAffine(inputToPhoto, { x: 0, y: 0 });
  const end = applyAffine(inputToPhoto, { x: plan.crop.width, y: plan.crop.height });
  const left = Math.max(0, Math.ceil(start.x - 0.5));
  const top = Math.max(0, Math.ceil(start.y - 0.5));
  return {
    left,
    top,
    width: Math.min(plan.photo.width, Math.ceil(end.x - 0.5)) - left,
    height: Math.min(plan.photo.height, Math.ceil(end.y - 0.5)) - top,
  };
}

/** From photo to cells; inverted, it carries a cell's centre to photo pixels. */
export function placeMap({ outputStride, offset }: CellGeometry, plan: InputPlan): Affine2 {
  const inputToCells: Affine2 = {
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
export function mirrorInput(placement: Affine2, { outputStride, offset }: CellGeometry, { crop }: InputPlan): Affine2 {
  return {
    ...placement,
    scaleX: -placement.scaleX,
    offsetX: (crop.width - 2 * offset) / outputStride - placement.offsetX,
  };
}
