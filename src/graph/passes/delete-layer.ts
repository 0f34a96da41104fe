/**
 * Delete a layer of a plain net: the lesion that a net without shortcuts does not survive (Veit 2016, §4.1).
 *
 *   Before: x → Conv → (BatchNormalization) → (Relu) → y
 *   After:  x → Identity → y
 *
 * Precondition, of plain-layers.ts: x and y have the same shape. The value y keeps its name.
 *
 * Not equal, on purpose: the layer is left out, and nothing else changes. No match where the layer is not in the graph.
 */
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import type { PlainLayer } from '../plain-layers.js';
import { rewriteNodes } from '../rewrite.js';

/** The pass for a layer that was found in this graph or in one that differs only by other layers. */
export function deleteLayer({ start, last }: PlainLayer): Pass {
  return {
    name: 'delete-layer',
    apply: (graph: Graph) =>
      rewriteNodes(graph, (node) =>
        node.name === last.name ? { ...node, op: 'Identity', inputs: [start], attributes: {} } : node,
      ),
  };
}
