/**
 * The shapes of an imported graph's values at its native input size, for passes. A value is left out if its shape
 * cannot be inferred.
 */
import type { Graph } from './graph.js';
import { inferKnownShapes } from './shapes.js';

/** The size of the images that a classifier was made for, in pixels; a number is the side of a square. */
export type NativeSize = number | { readonly height: number; readonly width: number };

/**
 * The shapes of the values for `batch` images [N, 3, height, width]. Sizes that an input declares take precedence, so
 * `batch` counts only if the batch is free. Throws GraphError only for an input that cannot be an image.
 */
export function nativeShapes(graph: Graph, size: NativeSize, batch = 1): ReadonlyMap<string, readonly number[]> {
  const { height, width } = typeof size === 'number' ? { height: size, width: size } : size;
  return inferKnownShapes(graph, imageShapes(graph, { batch, height, width }));
}

/** The shape of every graph input for images of one size: [N, 3, H, W], free sizes filled in. */
export function imageShapes(
  { inputs }: Graph,
  { batch, height, width }: { readonly batch: number; readonly height: number; readonly width: number },
): Record<string, readonly number[]> {
  const image = [batch, 3, height, width];
  return Object.fromEntries(
    inputs.map(({ name, dims }) => [
      name,
      dims.map((dim, axis) => (typeof dim === 'number' ? dim : (image[axis] ?? 1))),
    ]),
  );
}
