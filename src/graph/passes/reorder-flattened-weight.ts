/**
 * Flatten channels first in front of a fully connected layer whose net was trained with channels last.
 *
 *   Before: x [N, C, h, w] → Transpose to [N, h, w, C] → Flatten → Gemm W over (h, w, C)
 *   After:  x [N, C, h, w] → Flatten → Gemm W′ over (C, h, w), transB = 1
 *
 * Preconditions: this chain is the end of the graph or leads to it, each the only reader of the one before; the weight
 * is bound and has no other reader; C, h, w at the native size account for its width.
 *
 * Equal because Σ_{y,x,c} W[y, x, c]·X[c, y, x] is the same sum in any order: W′[c, y, x] = W[y, x, c]. A weight in a
 * file stays there as it is (graph.ts, Arrangement).
 */
import { elementCount } from '../../tensor.js';
import { attribute, int } from '../attributes.js';
import { isFlatten, tailOf } from '../classifier-head.js';
import type { Graph } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { countReads, rewriteNodes } from '../rewrite.js';
import { transposeWeight } from '../weights.js';

/** The pass for a graph of this native size. */
export function reorderFlattenedWeight(nativeSize: NativeSize): Pass {
  return { name: 'reorder-flattened-weight', apply: (graph) => reorder(graph, nativeSize) };
}

function reorder(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const tail = tailOf(graph);
  const position = tail.findIndex((node) => node.op === 'Transpose');
  const [gemm, flatten, transpose] = position < 2 ? [] : tail.slice(position - 2, position + 1);
  if (gemm?.op !== 'Gemm' || flatten === undefined || transpose === undefined || !isFlatten(flatten)) return undefined;
  if (attribute(transpose, 'perm', 'ints')?.join() !== '0,2,3,1') return undefined;
  const [, channels, height, width] = nativeShapes(graph, nativeSize).get(transpose.inputs[0]!) ?? [];
  const weight = graph.initializers.get(gemm.inputs[1]!);
  if (width === undefined || weight === undefined || countReads(graph).get(weight.name) !== 1) return undefined;

  const map = [height!, width, channels!];
  const outFirst = attribute(gemm, 'transB', 'int') === 1;
  const [features, out] = outFirst ? weight.dims.toReversed() : weight.dims;
  if (elementCount(map) !== features || out === undefined) return undefined;
  const reordered = outFirst
    ? transposeWeight(weight, [out, ...map], [0, 3, 1, 2])
    : transposeWeight(weight, [...map, out], [3, 2, 0, 1]);
  if (reordered === undefined) return undefined;
  return rewriteNodes(graph, (node, draft) => {
    if (node === transpose) return [];
    if (node === flatten) return { ...flatten, inputs: transpose.inputs };
    if (node !== gemm) return node;
    draft.set({ ...reordered, dims: [out, features] });
    return { ...gemm, attributes: { ...gemm.attributes, transB: int(1) } };
  });
}
