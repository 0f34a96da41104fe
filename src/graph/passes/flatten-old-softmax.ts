/**
 * Say in nodes what a Softmax of an old operator set does: it runs over all axes from its own on. For engines that take every
 * Softmax for one over a single axis (OpenVINO 2026.4).
 *
 *   Before: x → Softmax (axis k) → y
 *   After:  x → Flatten (axis k) → Softmax (axis 1) → Reshape (to the shape of x) → y
 *
 * Preconditions: the operator set is below 13. Equal by the operator's definition there.
 * Source: ONNX Operator changelog, Softmax-1, Softmax-11, LogSoftmax-1, LogSoftmax-11.
 */
import { attribute, int } from '../attributes.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';

const SINCE_ONE_AXIS = 13;

/** The pass. No match for operator set 13 or later. */
export function flattenOldSoftmax(): Pass {
  return { name: 'flatten-old-softmax', apply: flatten };
}

function flatten(graph: Graph): Graph | undefined {
  if (graph.opset >= SINCE_ONE_AXIS) return undefined;
  return rewriteNodes(graph, (node, draft) => {
    if (node.op !== 'Softmax' && node.op !== 'LogSoftmax') return node;
    const [x = ''] = node.inputs;
    const axis = int(attribute(node, 'axis', 'int') ?? 1);
    const shape = draft.node('Shape', [x], `${node.name}.shape`);
    const flat = draft.node('Flatten', [x], `${node.name}.flat`, { axis });
    const scores = draft.node(node.op, [flat], `${node.name}.scores`, { axis: int(1) });
    return { ...node, op: 'Reshape', inputs: [scores, shape], attributes: {} };
  });
}
