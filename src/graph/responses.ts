/**
 * The responses of layers (He 2016a, §4.2, figure 7): what each 3×3 convolution gives, after batch normalization and before
 * any activation or addition.
 */
import type { Graph, Node } from './graph.js';
import { countReads } from './rewrite.js';

export interface Response {
  /** Name of the convolution. */
  readonly layer: string;
  readonly value: string;
}

const SIDE = 3;

/** The responses of a graph, in order. Batch normalization may be folded into the convolution. */
export function responsesOf(graph: Graph): readonly Response[] {
  const reads = countReads(graph);
  const norms = new Map(
    graph.nodes.filter(({ op }) => op === 'BatchNormalization').map((node) => [node.inputs[0]!, node] as const),
  );
  return graph.nodes
    .filter((node) => isSquare(graph, node))
    .map((node) => {
      const value = node.outputs[0]!;
      const norm = reads.get(value) === 1 ? norms.get(value) : undefined;
      return { layer: node.name, value: norm?.outputs[0] ?? value };
    });
}

function isSquare({ initializers }: Graph, { op, inputs }: Node): boolean {
  const kernel = op === 'Conv' ? initializers.get(inputs[1] ?? '')?.dims.slice(2) : undefined;
  return kernel?.length === 2 && kernel.every((side) => side === SIDE);
}
