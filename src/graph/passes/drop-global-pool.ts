/**
 * Leave out the global average pooling at the end of a net whose convolutions already score the classes.
 *
 *   Before: x [N, K, h, w] → GlobalAveragePool → (Flatten) → logits [N, K]
 *           x [N, C, h, w] → GlobalAveragePool → Conv 1×1 [K, C, 1, 1] → (Flatten) → logits [N, K]
 *   After:  x [N, K, h, w] = class map, or x → Conv 1×1 → class map [N, K, h, w]
 *
 * Preconditions: the graph ends in this chain, its only output; the convolution is unpadded, of stride 1, with a
 * constant weight; x is the output of a node.
 *
 * The mean of the class map is the logits: by definition without the convolution, with it by linearity,
 * W·mean_p(x_p) + b = mean_p(W·x_p + b). Source: Lin 2014 (network in network), Iandola 2016 (SqueezeNet).
 */
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { isFlatten, isIdentity, isPointwise, tailOf } from './classifier-head.js';
import { CLASS_MAP } from './convolutionalize-gemm.js';
import { renameIn } from '../rewrite.js';

/** The pass; any input size. */
export function dropGlobalPool(): Pass {
  return { name: 'drop-global-pool', apply: drop };
}

function drop(graph: Graph): Graph | undefined {
  const [output] = graph.outputs;
  const classes = output?.dims[1];
  const tail = tailOf(graph).filter((node) => !isIdentity(node) && !isFlatten(node));
  const [last, before] = tail;
  const convolution = last !== undefined && isPointwise(graph, last) ? last : undefined;
  const pool = convolution === undefined ? last : before;
  const map = pool?.inputs[0] ?? '';
  const isMade = graph.nodes.some(({ outputs }) => outputs.includes(map));
  if (output === undefined || typeof classes !== 'number' || pool?.op !== 'GlobalAveragePool' || !isMade)
    return undefined;

  const whole = tailOf(graph);
  const head = new Set(whole.slice(0, whole.indexOf(pool) + 1));
  const trunk = graph.nodes.filter((node) => !head.has(node));
  const outputs = [{ name: CLASS_MAP, dataType: output.dataType, dims: ['N', classes, 'h', 'w'] }];
  if (convolution !== undefined) {
    const moved: Node = { ...convolution, inputs: [map, ...convolution.inputs.slice(1)], outputs: [CLASS_MAP] };
    return { ...graph, outputs, nodes: [...trunk, moved] };
  }
  const rename = (name: string): string => (name === map ? CLASS_MAP : name);
  return { ...graph, outputs, nodes: trunk.map((node) => renameIn(node, rename)) };
}
