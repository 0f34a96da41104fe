/**
 * The shapes of an imported graph's values at its native input size, for passes. A value is left out if its shape
 * cannot be inferred.
 */
import type { Graph } from './graph.js';
import { inferKnownShapes } from './shapes.js';

/**
 * The shapes of the values for `batch` images [N, 3, size, size]. Sizes that an input declares take precedence, so
 * `batch` counts only if the batch is free. Throws GraphError only for an input that cannot be an image.
 */
export function nativeShapes(graph: Graph, size: number, batch = 1): ReadonlyMap<string, readonly number[]> {
  return inferKnownShapes(graph, imageShapes(graph, { batch, height: size, width: size }));
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
