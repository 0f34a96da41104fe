/**
 * Bring the ways in which exporters flatten a map in front of a fully connected layer to one.
 *
 *   Before: x [N, C, h, w] → Reshape | Squeeze | Flatten → [N, C·h·w]
 *   After:  x [N, C, h, w] → Flatten from axis 1
 *
 *   Before: x [N, F] → Reshape | Squeeze | Flatten → [N, F], or x [N, C, h, w] → Reshape → the same
 *   After:  x
 *
 * Preconditions: the node is in the chain that ends in the only output, and its shapes at the native size are these. Equal
 * at that size because all of them keep the numbers and their order; a target that bakes the batch or computes it from
 * the input is left behind, so the result takes every batch.
 */
import { elementCount } from '../../tensor.js';
import { int } from '../attributes.js';
import { isFlatten, tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { bypass, prune } from '../rewrite.js';

/** The pass for a graph whose native input has this side, in pixels. */
export function flattenHead(nativeSize: number): Pass {
  return { name: 'flatten-head', apply: (graph) => flatten(graph, nativeSize) };
}

function flatten(graph: Graph, nativeSize: number): Graph | undefined {
  // With two images the batch is not mistaken for an axis of size 1; where the batch is fixed, it is what it is.
  const shapes = nativeShapes(graph, nativeSize, 2);
  let current = graph;
  for (const node of tailOf(graph).filter((node) => isOfKind(node, 'view'))) {
    const [from, to] = [shapes.get(node.inputs[0]!), shapes.get(node.outputs[0]!)];
    const own = current.nodes.find(({ name }) => name === node.name)!;
    if (from === undefined || to === undefined) continue;
    if (from.length === to.length && from.every((size, axis) => size === to[axis])) {
      current = bypass(current, own) ?? current;
    } else if (isFlattened(from, to) && !isFlatten(node)) {
      const flat: Node = { ...own, op: 'Flatten', inputs: [own.inputs[0]!], attributes: { axis: int(1) } };
      current = { ...current, nodes: current.nodes.map((other) => (other === own ? flat : other)) };
    }
  }
  return current === graph ? undefined : prune(current);
}

function isFlattened(from: readonly number[], to: readonly number[]): boolean {
  return from.length > 2 && to.length === 2 && to[0] === from[0] && to[1] === elementCount(from.slice(1));
}
