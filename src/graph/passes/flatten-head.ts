/**
 * Reduce the ways in which exporters flatten a map in front of a fully connected layer to one.
 *
 *   Before: x [N, C, h, w] → Reshape | Squeeze | Flatten → [N, C·h·w]
 *   After:  x [N, C, h, w] → Flatten from axis 1
 *
 *   Before: x [N, F] → Reshape | Squeeze | Flatten → [N, F], or x [N, C, h, w] → Reshape → the same
 *   After:  x
 *
 * Preconditions: the node is in the chain that ends in the only output, and its shapes at the native size are these.
 * Equal at that size because all of them keep the numbers and their order; a target shape that fixes the batch, or
 * computes it from the input, disappears, so the result takes every batch.
 */
import { elementCount } from '../../tensor.js';
import { int } from '../attributes.js';
import { isFlatten, tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { bypassAll, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function flattenHead(nativeSize: NativeSize): Pass {
  return { name: 'flatten-head', apply: (graph) => flatten(graph, nativeSize) };
}

function flatten(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  // With two images the batch is not mistaken for an axis of size 1. A fixed batch stays as it is.
  const shapes = nativeShapes(graph, nativeSize, 2);
  const tail = new Set(tailOf(graph).filter((node) => isOfKind(node, 'view')));
  const isIdle = (node: Node): boolean => {
    const [from, to] = [shapes.get(node.inputs[0]!), shapes.get(node.outputs[0]!)];
    return tail.has(node) && from !== undefined && from.join() === to?.join();
  };
  const isToFlatten = (node: Node): boolean => {
    const [from, to] = [shapes.get(node.inputs[0]!), shapes.get(node.outputs[0]!)];
    return tail.has(node) && !isFlatten(node) && from !== undefined && to !== undefined && isFlattened(from, to);
  };
  const flattened = rewriteNodes(graph, (node) =>
    isToFlatten(node)
      ? { ...node, op: 'Flatten', inputs: node.inputs.slice(0, 1), attributes: { axis: int(1) } }
      : node,
  );
  return bypassAll(flattened ?? graph, isIdle) ?? flattened;
}

function isFlattened(from: readonly number[], to: readonly number[]): boolean {
  return from.length > 2 && to.length === 2 && to[0] === from[0] && to[1] === elementCount(from.slice(1));
}
