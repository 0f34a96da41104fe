/**
 * The layers of a plain net that could be left out: convolutions whose input and output have one shape, each with the
 * normalization and the activation behind it.
 */
import { dominatorsOf } from './dominators.js';
import type { Graph, Node } from './graph.js';
import { nativeShapes, type NativeSize } from './native-shapes.js';
import { isOfKind } from './operators.js';
import { countReads } from './rewrite.js';

export interface PlainLayer {
  /** The convolution's. */
  readonly name: string;
  /** The value that the convolution reads. */
  readonly start: string;
  /** The last node of the layer. */
  readonly last: Node;
  /** Of its input and its output, for one image at the native size: [C, h, w]. */
  readonly shape: readonly number[];
}

/**
 * The layers of equal shape that everything passes through, in order. A layer beside a shortcut or another branch is
 * none: without it the others would still work.
 */
export function plainLayers(graph: Graph, nativeSize: NativeSize): readonly PlainLayer[] {
  const shapes = nativeShapes(graph, nativeSize);
  const dominators = dominatorsOf(graph);
  const reads = countReads(graph);
  const readers = new Map(graph.nodes.flatMap((node) => node.inputs.map((name) => [name, node] as const)));
  const [output = ''] = graph.outputs.map(({ name }) => name);

  const lastOf = (node: Node): Node => {
    const value = node.outputs[0]!;
    const reader = readers.get(value);
    const follows =
      reads.get(value) === 1 &&
      reader !== undefined &&
      (reader.op === 'PRelu' || isOfKind(reader, 'identity', 'elementwise', 'by-channel'));
    return follows ? lastOf(reader) : node;
  };
  return graph.nodes.flatMap((node) => {
    const [start = ''] = node.inputs;
    const last = lastOf(node);
    const shape = shapes.get(start)?.slice(1);
    const isSame = shape?.join() === shapes.get(last.outputs[0]!)?.slice(1).join();
    const isLayer =
      node.op === 'Conv' && shape !== undefined && isSame && dominators.dominates(last.outputs[0]!, output);
    return isLayer ? [{ name: node.name, start, last, shape }] : [];
  });
}
