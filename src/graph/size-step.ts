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
  return STEPS.find((step) => whyStepFails(graph, nativeSize, step) === undefined);
}

/** Why a net without such a step does not take even the multiples of the largest that is tried. */
export function whyNoStep(graph: Graph, nativeSize: NativeSize): string {
  return whyStepFails(graph, nativeSize, STEPS.at(-1)!) ?? 'its sizes agree';
}

function whyStepFails(graph: Graph, nativeSize: NativeSize, step: number): string | undefined {
  const first = typeof nativeSize === 'number' ? nativeSize : Math.max(nativeSize.width, nativeSize.height);
  for (let index = 0; index < SIZES_TRIED; index++) {
    const side = step * (Math.ceil(first / step) + index);
    const why = whySizesDisagree(graph, { width: side, height: side });
    if (why !== undefined) return why;
  }
  return undefined;
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
