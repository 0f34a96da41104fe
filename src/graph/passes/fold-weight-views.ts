/**
 * Turn a weight that a graph reshapes or transposes before its use into an initializer of that form.
 *
 *   Before: initializer w → Reshape | Squeeze | Unsqueeze | Flatten | Transpose → v, read by a layer
 *   After:  initializer v
 *
 * Preconditions: the node reads nothing but constants; the weight is bound. Equal because the first four keep the bytes
 * and only name other dimensions, and a transposed weight records how its bytes lie (graph.ts, Arrangement). No byte of
 * a file is touched; integer constants, which are sizes, are left alone.
 */
import { attribute } from '../attributes.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Draft } from '../rewrite.js';
import { transposeWeight } from '../weights.js';

/** The pass for a graph of this native size. */
export function foldWeightViews(nativeSize: NativeSize): Pass {
  return { name: 'fold-weight-views', apply: (graph) => fold(graph, nativeSize) };
}

function fold(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const shapes = nativeShapes(graph, nativeSize);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return rewriteNodes(graph, (node, draft) => {
    const [output = ''] = node.outputs;
    const view = outputs.has(output) ? undefined : viewOf(node, draft, shapes.get(output));
    if (view === undefined) return node;
    draft.set({ ...view, name: output });
    return [];
  });
}

function viewOf(node: Node, draft: Draft, dims: readonly number[] | undefined): Initializer | undefined {
  const [weight, ...rest] = node.inputs.map((name) => draft.initializer(name));
  if (weight === undefined || dims === undefined || rest.includes(undefined)) return undefined;
  if (!weight.dataType.startsWith('float') || weight.data.kind === 'unbound') return undefined;
  if (isOfKind(node, 'view')) return keepsScales(weight, dims) ? { ...weight, dims } : undefined;
  if (node.op !== 'Transpose') return undefined;
  const perm = attribute(node, 'perm', 'ints') ?? [...weight.dims.keys()].reverse();
  return transposeWeight(weight, weight.dims, perm);
}

/** Whether a weight with scales along its first axis still has that axis first. */
function keepsScales({ quantization, dims: before }: Initializer, dims: readonly number[]): boolean {
  if (quantization === undefined || quantization.scale.dims.length === 0) return true;
  return quantization.axis === 0 && dims[0] === before[0];
}
