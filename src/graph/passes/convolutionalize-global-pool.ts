/**
 * Score every place of the last map instead of its mean: leave out a classifier's global average pooling and apply the
 * layer behind it to every place.
 *
 *   Before: [N, C, h, w] → GlobalAveragePool → Flatten → Gemm [K, C] → logits [N, K]
 *       or: [N, C, h, w] → GlobalAveragePool → Conv 1×1 [K, C, 1, 1] → Flatten → logits [N, K]
 *   After:  [N, C, h, w] → Conv 1×1 [K, C, 1, 1] → class map [N, K, h, w]
 *
 *   Before: … → class map [N, K, h, w] → GlobalAveragePool → Flatten → logits [N, K]
 *   After:  … → class map [N, K, h, w]
 *
 * Preconditions: the head is one of these chains and ends in the only output (Dropout and Identity may stand between,
 * and the Flatten of a convolutional one may be missing); Gemm has transB = 1, no scaling, and a constant weight of its
 * own; Conv has stride 1 and no padding; in the last form the output declares the number of classes.
 *
 * The mean of the class map is the logits: by linearity, mean_p(W·x_p + b) = W·mean_p(x_p) + b, or because no layer is
 * left. average-class-map.ts and select-classes.ts take that mean. Source: Lin 2014 (global average pooling), Zhou 2016
 * (class activation maps).
 */
import { ints } from '../attributes.js';
import { fullyConnected, isFlatten, isIdentity, isPointwise, tailOf } from '../classifier-head.js';
import type { Graph, Initializer, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { producersOf, renameIn, rewriteNodes, type Replace } from '../rewrite.js';
import { CLASS_MAP } from './convolutionalize-gemm.js';

/** The pass; any input size. */
export function convolutionalizeGlobalPool(): Pass {
  return { name: 'convolutionalize-global-pool', apply: convolutionalize };
}

function convolutionalize(graph: Graph): Graph | undefined {
  const tail = tailOf(graph);
  const pool = tail.find((node) => node.op === 'GlobalAveragePool');
  if (pool === undefined) return undefined;
  const head = tail.slice(0, tail.indexOf(pool));
  const [layer, ...others] = head.filter((node) => !isIdentity(node) && !isFlatten(node));
  if (others.length > 0) return undefined;

  if (layer === undefined) return uncover(graph, pool, head);
  const dense = fullyConnected(graph, layer);
  if (dense !== undefined) {
    const { weight } = dense;
    const convolved = { ...weight, dims: [...weight.dims, 1, 1] };
    const scores = { ...layer, op: 'Conv', attributes: { kernel_shape: ints(1, 1) } };
    return scoreEverywhere(graph, pool, head, scores, convolved);
  }
  if (!isPointwise(graph, layer)) return undefined;
  return scoreEverywhere(graph, pool, head, layer, graph.initializers.get(layer.inputs[1]!)!);
}

/**
 * The convolution reads the map in front of the pooling and replaces the last node of the head: it gives the class map.
 */
function scoreEverywhere(
  graph: Graph,
  pool: Node,
  head: readonly Node[],
  convolution: Node,
  weight: Initializer,
): Graph | undefined {
  const inputs = [pool.inputs[0]!, ...convolution.inputs.slice(1)];
  const replace: Replace = (node, draft) => {
    if (node === head[0]) {
      draft.set(weight);
      return { ...convolution, inputs, outputs: [CLASS_MAP] };
    }
    return node === pool || head.includes(node) ? [] : node;
  };
  return rewriteNodes(graph, replace, { outputs: classMap(graph, weight.dims[0]!) });
}

/** The pooled map becomes the class map; a graph's input cannot be one. */
function uncover(graph: Graph, pool: Node, head: readonly Node[]): Graph | undefined {
  const [map = ''] = pool.inputs;
  const classes = graph.outputs[0]?.dims[1];
  if (!producersOf(graph).has(map) || typeof classes !== 'number') return undefined;
  return rewriteNodes(
    graph,
    (node) => (node === pool || head.includes(node) ? [] : renameIn(node, (name) => (name === map ? CLASS_MAP : name))),
    { outputs: classMap(graph, classes) },
  );
}

function classMap({ outputs: [logits] }: Graph, classes: number): Graph['outputs'] {
  return [{ name: CLASS_MAP, dataType: logits!.dataType, dims: ['N', classes, 'h', 'w'] }];
}
