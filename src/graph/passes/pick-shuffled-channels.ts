/**
 * Shuffle channels independently of the size of the map.
 *
 *   Before: x [N, C, h, w] → Reshape [N, g, C/g, h, w] → Transpose (0, 2, 1, 3, 4) → Reshape [N, C, h, w]
 *   After:  x [N, C, h, w] → Gather of the channels [C] in their new order
 *
 * Preconditions: this chain, each the only reader of the one before, with these shapes at the native size. Equal
 * because channel j·g + i of the result is channel i·(C/g) + j of x, for i < g, j < C/g. The exported targets fix the
 * size of the map; a Gather takes any. Source: Zhang 2018 (ShuffleNet).
 */
import { attribute, int } from '../attributes.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { countReads, producersOf, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function pickShuffledChannels(nativeSize: NativeSize): Pass {
  return { name: 'pick-shuffled-channels', apply: (graph) => pick(graph, nativeSize) };
}

function pick(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const shapes = nativeShapes(graph, nativeSize);
  const reads = countReads(graph);
  const producers = producersOf(graph);
  const before = ({ inputs }: Node, op: string): Node | undefined => {
    const producer = producers.get(inputs[0]!);
    return producer?.op === op && reads.get(inputs[0]!) === 1 ? producer : undefined;
  };

  return rewriteNodes(graph, (node, draft) => {
    const transpose = node.op === 'Reshape' ? before(node, 'Transpose') : undefined;
    const split = transpose && before(transpose, 'Reshape');
    if (split === undefined || attribute(transpose!, 'perm', 'ints')?.join() !== '0,2,1,3,4') return node;
    const [map, groups] = [shapes.get(split.inputs[0]!), shapes.get(split.outputs[0]!)];
    const [batch, channels, ...size] = map ?? [];
    const [, g = 0, k = 0] = groups ?? [];
    const isShuffle =
      map?.length === 4 &&
      groups?.join() === [batch, g, k, ...size].join() &&
      g * k === channels &&
      shapes.get(node.outputs[0]!)?.join() === map.join();
    if (!isShuffle) return node;
    const order = Array.from({ length: channels }, (_, channel) => (channel % g) * k + Math.floor(channel / g));
    const indices = draft.constant(`${node.name}.order`, 'int64', [channels], order);
    return { ...node, op: 'Gather', inputs: [split.inputs[0]!, indices], attributes: { axis: int(1) } };
  });
}
