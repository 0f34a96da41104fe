/**
 * A ReLU behind a convolution becomes part of it: one pass over the map in place of two.
 *
 *   Before: x → Conv → Relu → y
 *   After:  x → Conv, activation = relu → y
 *
 * Precondition: nothing else reads the convolution. Equal by definition; the attribute is this engine's own, not ONNX'.
 */
import type { Graph } from '../../graph/graph.js';
import type { Pass } from '../../graph/pass.js';
import { countReads, rewriteNodes } from '../../graph/rewrite.js';

/** The attribute of a Conv that has an activation. */
export const ACTIVATION = 'activation';

/** The pass. */
export function fuseRelu(): Pass {
  return { name: 'fuse-relu', apply: fuse };
}

function fuse(graph: Graph): Graph | undefined {
  const reads = countReads(graph);
  const convolutions = new Set(graph.nodes.filter(({ op }) => op === 'Conv').map(({ outputs }) => outputs[0]));
  const relus = graph.nodes.filter(
    ({ op, inputs }) => op === 'Relu' && convolutions.has(inputs[0]) && reads.get(inputs[0]!) === 1,
  );
  const outputOf = new Map(relus.map(({ inputs, outputs }) => [inputs[0], outputs]));
  return rewriteNodes(graph, (node) => {
    if (relus.includes(node)) return [];
    const outputs = outputOf.get(node.outputs[0]);
    const attributes = { ...node.attributes, [ACTIVATION]: { type: 'string', value: 'relu' } as const };
    return outputs === undefined ? node : { ...node, outputs, attributes };
  });
}
