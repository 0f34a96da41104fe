/**
 * Take out the nodes that do nothing at inference.
 *
 *   Before: x → Dropout | Identity → y
 *   After:  x, read by the readers of y
 *
 * Equal by definition: Identity is y = x, and so is Dropout outside of training. A Dropout whose mask is read or whose
 * training_mode is given stays, and so does a node from a graph input straight to a graph output.
 * Source: ONNX operators Dropout (opset 7, 10, 12, 13), Identity.
 */
import { isIdentity } from '../classifier-head.js';
import type { Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { bypassAll } from '../rewrite.js';

/** The pass. */
export function dropIdentities(): Pass {
  return { name: 'drop-identities', apply: (graph) => bypassAll(graph, isIdentityNode) };
}

/** The third input of a Dropout is training_mode; an Identity has one input. */
function isIdentityNode(node: Node): boolean {
  return isIdentity(node) && (node.inputs[2] ?? '') === '';
}
