/** Which input sizes a net takes. Where branches pad in unlike ways, their sizes agree only for some inputs. */
import type { Graph } from './graph.js';
import { GraphError } from './graph-error.js';
import { imageShapes, type NativeSize } from './native-shapes.js';
import { inferShapes } from './shapes.js';

/** Steps that are tried, and how many sizes in a row must agree. */
const STEPS = [1, 2, 4, 8, 16, 32, 64];
const SIZES_TRIED = 9;

/** The smallest step whose multiples a net takes from its native size on; undefined if there is none. 1 for nearly all nets. */
export function sizeStepOf(graph: Graph, nativeSize: NativeSize): number | undefined {
  const first = typeof nativeSize === 'number' ? nativeSize : Math.max(nativeSize.width, nativeSize.height);
  return STEPS.find((step) =>
    Array.from({ length: SIZES_TRIED }, (_, index) => step * (Math.ceil(first / step) + index)).every(
      (side) => whySizesDisagree(graph, { width: side, height: side }) === undefined,
    ),
  );
}

/** Why a net does not take an image of this size; undefined if it does. */
export function whySizesDisagree(
  graph: Graph,
  size: { readonly height: number; readonly width: number },
): string | undefined {
  try {
    inferShapes(graph, imageShapes(graph, { batch: 1, ...size }));
    return undefined;
  } catch (error) {
    if (error instanceof GraphError) return error.message;
    throw error;
  }
}
