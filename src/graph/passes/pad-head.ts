/**
 * A class map that covers the image: let the window of a convolutionalized head reach over the border of the last map.
 *
 *   Before: [N, C, h, w] → Conv k×k → … → class map [N, K, h − k + 1, w − k + 1]
 *   After:  [N, C, h, w] → Conv k×k, zeros around → … → class map [N, K, h, w]
 *
 * Preconditions: backwards from the map come 1×1 convolutions and activations, then a convolution wider than 1×1 of
 * stride 1 without padding.
 *
 * Equal where the window lies inside the map: from cell `begin` on, without the last `end` (headPads). The other cells
 * are scores of windows that the classifier was never given.
 */
import { ints } from '../attributes.js';
import { isActivation, isPointwise, tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';
import { windowsOf } from '../windows.js';

/** Cells of padding before and behind, along each axis. */
export interface HeadPads {
  readonly begin: number;
  readonly end: number;
}

/** The pass. */
export function padHead(): Pass {
  return {
    name: 'pad-head',
    apply(graph) {
      const head = headOf(graph);
      if (head === undefined) return undefined;
      const { node, pads } = head;
      const { begin, end } = pads;
      const { auto_pad: _auto, ...attributes } = node.attributes;
      const padded = { ...node, attributes: { ...attributes, pads: ints(begin, begin, end, end) } };
      return rewriteNodes(graph, (other) => (other === node ? padded : other));
    },
  };
}

/** The padding that the pass adds to a graph; undefined if it does not match. */
export function headPads(graph: Graph): HeadPads | undefined {
  return headOf(graph)?.pads;
}

function headOf(graph: Graph): { readonly node: Node; readonly pads: HeadPads } | undefined {
  const node = tailOf(graph).find((other) => !isPointwise(graph, other) && !isActivation(graph, other));
  const kernel = graph.initializers.get(node?.inputs[1] ?? '')?.dims.slice(2);
  if (node?.op !== 'Conv' || kernel?.length !== 2) return undefined;
  const windows = windowsOf(node, kernel);
  const [side] = kernel as [number, number];
  const isPlain = windows.every(
    ({ kernel: own, stride, dilation, padBegin, padEnd, auto }) =>
      [own === side, stride === 1, dilation === 1, padBegin === 0, padEnd === 0].every(Boolean) &&
      !auto.startsWith('SAME'),
  );
  if (!isPlain) return undefined;
  const begin = Math.floor((side - 1) / 2);
  return { node, pads: { begin, end: side - 1 - begin } };
}
