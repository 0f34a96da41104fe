/**
 * Turn a nonlinear head behind global pooling (several layers, or a maximum) into one that slides over the map.
 *
 *   Before: [N, C, h, w] → GlobalAveragePool → Flatten → Gemm [F, C] → activation → Gemm [K, F] → logits [N, K]
 *   After:  [N, C, h, w] → AveragePool h×w, stride 1 → Conv 1×1 [F, C, 1, 1] → activation → Conv 1×1
 *                         → class map [N, K, h', w']
 *
 *   and likewise from GlobalMaxPool to MaxPool, for a single layer too.
 *
 * Preconditions: the head is such a chain and ends in the only output; it consists of Gemm and 1×1 convolutions with
 * weights of their own and of element-wise operators; h × w is the trunk's map at the native input size. A single layer
 * behind an average has a better map, without a window: convolutionalize-global-pool.ts.
 *
 * Equal because at the native size the one window is the whole map. On a larger image each cell is the classifier at
 * one place, as with a fully connected head (convolutionalize-gemm.ts): the mean over single places would not be the
 * logits.
 */
import { ints } from '../attributes.js';
import { fullyConnected, isActivation, isFlatten, isIdentity, isPointwise, tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Replace } from '../rewrite.js';
import { CLASS_MAP } from './convolutionalize-gemm.js';

const SLIDING: Readonly<Record<string, string>> = { GlobalAveragePool: 'AveragePool', GlobalMaxPool: 'MaxPool' };

/** The pass for a classifier of this native size. */
export function convolutionalizePooledStack(nativeSize: NativeSize): Pass {
  return { name: 'convolutionalize-pooled-stack', apply: (graph) => convolutionalize(graph, nativeSize) };
}

function convolutionalize(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const tail = tailOf(graph);
  const pool = tail.find(({ op }) => op in SLIDING);
  if (pool === undefined) return undefined;
  const head = tail.slice(0, tail.indexOf(pool)).reverse();
  const layers = head.filter((node) => fullyConnected(graph, node) !== undefined || isPointwise(graph, node));
  const isPlain = head.every((node) => layers.includes(node) || isFlatten(node) || isActivation(graph, node));
  const window = nativeShapes(graph, nativeSize).get(pool.inputs[0]!)?.slice(2);
  const fewest = pool.op === 'GlobalAveragePool' ? 2 : 1;
  if (!isPlain || layers.length < fewest || window?.length !== 2) return undefined;

  const chain = [pool, ...head.filter((node) => !isFlatten(node) && !isIdentity(node))];
  const replace: Replace = (node, draft) => {
    const position = chain.indexOf(node);
    if (position < 0) return head.includes(node) ? [] : node;
    const linked = linkedIn(chain, position);
    if (node === pool) return { ...linked, op: SLIDING[pool.op]!, attributes: { kernel_shape: ints(...window) } };
    const weight = fullyConnected(graph, node)?.weight;
    if (weight === undefined) return linked;
    draft.set({ ...weight, dims: [...weight.dims, 1, 1] });
    return { ...linked, op: 'Conv', attributes: { kernel_shape: ints(1, 1) } };
  };
  const [classes = 0] = graph.initializers.get(layers.at(-1)!.inputs[1]!)!.dims;
  return rewriteNodes(graph, replace, {
    outputs: [{ name: CLASS_MAP, dataType: graph.outputs[0]!.dataType, dims: ['N', classes, 'h', 'w'] }],
  });
}

/** A node of the chain, made to read the one before; the last node gives the class map. */
function linkedIn(chain: readonly Node[], position: number): Node {
  const node = chain[position]!;
  const [first = '', ...others] = node.inputs;
  const before = chain[position - 1]?.outputs[0] ?? first;
  const outputs = position === chain.length - 1 ? [CLASS_MAP] : node.outputs.slice(0, 1);
  return { ...node, inputs: [before, ...others], outputs };
}
