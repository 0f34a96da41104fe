/**
 * How many layers lie between a network's input and its output: convolutions and matrix products, on the shortest way and on the
 * longest. An addition, a concatenation or a gate leaves the choice of a way.
 */
import { trainableInputs } from './cost.js';
import type { Graph, Node } from './graph.js';
import { GraphError } from './graph-error.js';

export interface PathLengths {
  readonly shortest: number;
  readonly longest: number;
}

/** Nodes with trained weights that are no layer of their own. */
const BESIDE_LAYERS: readonly string[] = ['BatchNormalization', 'PRelu'];

/**
 * Of the ways from the inputs to the first output. Throws GraphError if there is none.
 *
 * @example
 * pathLengths(buildArchitecture('resnet18')); // { shortest: 5, longest: 18 }
 */
export function pathLengths(graph: Graph): PathLengths {
  const lengths = new Map<string, PathLengths>(graph.inputs.map(({ name }) => [name, { shortest: 0, longest: 0 }]));
  for (const node of graph.nodes) {
    const before = node.inputs.flatMap((name) => lengths.get(name) ?? []);
    if (before.length === 0) continue;
    const own = isLayer(node) ? 1 : 0;
    const shortest = Math.min(...before.map((way) => way.shortest)) + own;
    const longest = Math.max(...before.map((way) => way.longest)) + own;
    for (const output of node.outputs) lengths.set(output, { shortest, longest });
  }
  const found = lengths.get(graph.outputs[0]?.name ?? '');
  if (found === undefined) throw new GraphError('no way leads from an input to the output');
  return found;
}

function isLayer(node: Node): boolean {
  return trainableInputs(node).some((name) => name !== '') && !BESIDE_LAYERS.includes(node.op);
}
