/**
 * Leave out the softmax that a classifier ends in: sessions return logits.
 *
 *   Before: z → Softmax | LogSoftmax → (Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Cast) → output
 *   After:  z → (the same) → output
 *
 * Preconditions: there is one output; only such nodes stand between the softmax and it, each the only reader of the one
 * before; the softmax is over all K numbers of an image.
 *
 * The probabilities stay the same: they are softmax(z), and softmax(log softmax(z)) = softmax(z) because z and log
 * softmax(z) differ by a constant for each image. Source: ONNX operator Softmax; before opset 13 it is over all axes
 * from `axis` on.
 */
import { elementCount } from '../../tensor.js';
import { attribute } from '../attributes.js';
import { tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes } from '../native-shapes.js';
import { isOfKind, onlyRearranges } from '../operators.js';
import type { Pass } from '../pass.js';
import { bypass } from '../rewrite.js';

/** The pass for a classifier whose native input has this side, in pixels. */
export function dropSoftmax(nativeSize: number): Pass {
  return { name: 'drop-softmax', apply: (graph) => drop(graph, nativeSize) };
}

function drop(graph: Graph, nativeSize: number): Graph | undefined {
  const softmax = tailOf(graph).find((node) => !onlyRearranges(node) && !isOfKind(node, 'cast', 'identity'));
  if (softmax?.op !== 'Softmax' && softmax?.op !== 'LogSoftmax') return undefined;
  return isOverClasses(graph, softmax, nativeSize) ? bypass(graph, softmax) : undefined;
}

function isOverClasses(graph: Graph, softmax: Node, nativeSize: number): boolean {
  const [output = ''] = softmax.outputs;
  const declared = graph.outputs.find(({ name }) => name === output)?.dims;
  const dims =
    nativeShapes(graph, nativeSize).get(output) ?? declared?.map((dim) => (typeof dim === 'number' ? dim : 1));
  if (dims === undefined || dims.length < 2) return false;
  const flattens = graph.opset < 13;
  const axis = attribute(softmax, 'axis', 'int') ?? (flattens ? 1 : -1);
  const normalized = flattens ? elementCount(dims.slice(axis)) : (dims.at(axis) ?? 0);
  return normalized === elementCount(dims.slice(1));
}
