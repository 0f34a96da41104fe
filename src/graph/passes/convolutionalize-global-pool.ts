/**
 * Move the fully connected layer of a classifier in front of its global average pooling, and leave the pooling out.
 *
 *   Before: [N, C, h, w] → GlobalAveragePool → Flatten → Gemm [K, C] → logits [N, K]
 *   After:  [N, C, h, w] → Conv 1×1 [K, C, 1, 1] → class map [N, K, h, w]
 *
 * Preconditions: the head is this chain (Dropout and Identity may stand between) and ends in the only output; Gemm with
 * transB = 1, no scaling, a constant weight of its own.
 *
 * The mean of the class map is the logits by linearity: mean_p(W·x_p + b) = W·mean_p(x_p) + b. average-class-map.ts and
 * select-classes.ts take that mean. Source: Lin 2014 (global average pooling), Zhou 2016 (class activation maps).
 */
import { ints } from '../attributes.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { fullyConnected, isFlatten, isIdentity, tailOf } from './classifier-head.js';
import { CLASS_MAP } from './convolutionalize-gemm.js';

/** The pass; any input size. */
export function convolutionalizeGlobalPool(): Pass {
  return { name: 'convolutionalize-global-pool', apply: convolutionalize };
}

function convolutionalize(graph: Graph): Graph | undefined {
  const tail = tailOf(graph);
  const [gemm, flatten, pool] = tail.filter((node) => !isIdentity(node));
  if (gemm === undefined || flatten === undefined || pool?.op !== 'GlobalAveragePool' || !isFlatten(flatten))
    return undefined;
  const layer = fullyConnected(graph, gemm);
  if (layer === undefined) return undefined;

  const { weight } = layer;
  const [classes, channels] = weight.dims as [number, number];
  const head = new Set(tail.slice(0, tail.indexOf(pool) + 1));
  const convolution: Node = {
    op: 'Conv',
    name: gemm.name,
    inputs: [pool.inputs[0]!, ...gemm.inputs.slice(1)],
    outputs: [CLASS_MAP],
    attributes: { kernel_shape: ints(1, 1) },
  };
  return {
    ...graph,
    outputs: [{ name: CLASS_MAP, dataType: graph.outputs[0]!.dataType, dims: ['N', classes, 'h', 'w'] }],
    nodes: [...graph.nodes.filter((node) => !head.has(node)), convolution],
    initializers: new Map(graph.initializers).set(weight.name, { ...weight, dims: [classes, channels, 1, 1] }),
  };
}
