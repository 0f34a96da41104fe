/**
 * Take out the nodes that do nothing when a net is only evaluated.
 *
 *   Before: x → Dropout | Identity → y
 *   After:  x, read by whoever read y
 *
 * Equal by definition: Identity is y = x, and so is Dropout outside of training. A Dropout whose mask is read or whose
 * training_mode is given stays, and so does a node from a graph input straight to a graph output.
 * Source: ONNX operators Dropout (opset 7, 10, 12, 13), Identity.
 */
import { isIdentity } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { bypass, prune } from '../rewrite.js';

/** The pass. */
export function dropIdentities(): Pass {
  return { name: 'drop-identities', apply: drop };
}

function drop(graph: Graph): Graph | undefined {
  let current = graph;
  for (const { name } of graph.nodes.filter(isIdentityNode)) {
    const node = current.nodes.find((other) => other.name === name)!;
    current = bypass(current, node) ?? current;
  }
  return current === graph ? undefined : prune(current);
}

/** The third input of a Dropout is training_mode; an Identity has one input. */
function isIdentityNode(node: Node): boolean {
  return isIdentity(node) && (node.inputs[2] ?? '') === '';
}
