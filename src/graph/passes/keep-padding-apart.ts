/**
 * Keep the engine from taking padding with zeros for the padding of a max pooling.
 *
 *   Before: Pad with zeros → … → MaxPool without padding of its own
 *   After:  Pad with zeros → … → MaxPool, auto_pad = VALID
 *
 * Equal by definition: VALID is no padding. Why: onnxruntime 1.30 fuses the two into a MaxPool with padding (pad_fusion.cc),
 * which ignores what is padded; where a window has only negative values its maximum is no longer 0. It does not with an
 * auto_pad. What lies between them may be anything that the engine takes out first (Identity, Cast, a pair of Transposes),
 * so in a graph with padding all poolings get it. Preconditions: the pooling has neither pads nor ceil_mode.
 */
import { attribute } from '../attributes.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { windowsOf } from '../windows.js';

/** The pass. */
export function keepPaddingApart(): Pass {
  return { name: 'keep-padding-apart', apply: keepApart };
}

function keepApart(graph: Graph): Graph | undefined {
  if (!graph.nodes.some(({ op }) => op === 'Pad')) return undefined;
  const nodes = graph.nodes.map((node): Node => {
    if (node.op !== 'MaxPool' || !isBare(node)) return node;
    const { pads: _, ...attributes } = node.attributes;
    return { ...node, attributes: { ...attributes, auto_pad: { type: 'string', value: 'VALID' } } };
  });
  return nodes.some((node, position) => node !== graph.nodes[position]) ? { ...graph, nodes } : undefined;
}

function isBare(node: Node): boolean {
  if ((attribute(node, 'auto_pad', 'string') ?? 'NOTSET') !== 'NOTSET') return false;
  return windowsOf(node).every(({ padBegin, padEnd, ceil }) => padBegin === 0 && padEnd === 0 && !ceil);
}
