/**
 * Turn the fully connected head of a classifier into convolutions.
 *
 *   Before: [N, C, h, w] → Flatten → Gemm [F, C·h·w] → activation → Gemm [K, F] → logits [N, K]
 *   After:  [N, C, h, w] → Conv h×w [F, C, h, w] → activation → Conv 1×1 [K, F, 1, 1] → class map [N, K, h', w']
 *
 * Preconditions: the head is such a chain and ends in the only output; Gemm with transB = 1, no scaling, constant
 * weights of their own; h × w, the trunk's map at the native input size, accounts for the width of the first weight;
 * the trunk does not end in global pooling (see convolutionalize-global-pool.ts).
 *
 * Equal because Σ_j W[f, j]·flatten(x)[j] = Σ_{c,y,x} W[f, c, y, x]·x[c, y, x] with j = (c·h + y)·w + x: one window of
 * a valid convolution. The weight's bytes, row-major, are the same; only its dimensions change. At the native size the
 * map is one cell; on a larger input each cell is the classifier at one place. Source: Simonyan 2015 §3.2, Long 2015
 * §3.1.
 */
import { elementCount } from '../../tensor.js';
import { ints } from '../attributes.js';
import { fullyConnected, isActivation, isFlatten, tailOf, type FullyConnected } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { isOfKind } from '../operators.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { renameIn, rewriteNodes, type Replace } from '../rewrite.js';

/** Name of the output of a convolutionalized graph, [N, K, h, w]. */
export const CLASS_MAP = 'class_map';

/** The pass for a classifier of this native size. */
export function convolutionalizeGemm(nativeSize: NativeSize): Pass {
  return { name: 'convolutionalize-gemm', apply: (graph) => convolutionalize(graph, nativeSize) };
}

function convolutionalize(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const tail = tailOf(graph);
  const end = tail.findIndex((node) => fullyConnected(graph, node) === undefined && !isActivation(graph, node));
  const [flatten, trunk] = tail.slice(end, end + 2);
  const layers = tail
    .slice(0, end)
    .reverse()
    .map((node) => fullyConnected(graph, node))
    .filter((layer) => layer !== undefined);
  const [first] = layers;
  if (end < 1 || flatten === undefined || !isFlatten(flatten) || first === undefined) return undefined;
  if (trunk !== undefined && isOfKind(trunk, 'global-pool')) return undefined;
  if (fullyConnected(graph, tail[0]!) === undefined) return undefined;

  const window = nativeMap(graph, flatten.inputs[0]!, nativeSize);
  if (window === undefined || elementCount(window) !== first.weight.dims[1]) return undefined;
  const kernels = new Map(
    layers.map((layer, index) => [layer.node, index === 0 ? window : [layer.weight.dims[1]!, 1, 1]]),
  );
  return replaceHead(graph, { flatten, layers, kernels });
}

/** The trunk's map [C, h, w] at the native size; the head may not fit it. */
function nativeMap(graph: Graph, value: string, nativeSize: NativeSize): readonly number[] | undefined {
  const dims = nativeShapes(graph, nativeSize).get(value);
  return dims?.length === 4 ? dims.slice(1) : undefined;
}

interface Head {
  readonly flatten: Node;
  readonly layers: readonly FullyConnected[];
  /** [C, h, w] of each layer's kernel. */
  readonly kernels: ReadonlyMap<Node, readonly number[]>;
}

function replaceHead(graph: Graph, { flatten, layers, kernels }: Head): Graph | undefined {
  const [logits] = graph.outputs;
  const weights = new Map(layers.map(({ node, weight }) => [node, weight]));
  const rename = (name: string): string => {
    if (name === flatten.outputs[0]) return flatten.inputs[0]!;
    return name === logits!.name ? CLASS_MAP : name;
  };
  const replace: Replace = (node, draft) => {
    if (node === flatten) return [];
    const renamed = renameIn(node, rename);
    const [weight, kernel] = [weights.get(node), kernels.get(node)];
    if (weight === undefined || kernel === undefined) return renamed;
    draft.set({ ...weight, dims: [weight.dims[0]!, ...kernel] });
    return { ...renamed, op: 'Conv', attributes: { kernel_shape: ints(...kernel.slice(1)) } };
  };
  const classes = layers.at(-1)!.weight.dims[0]!;
  return rewriteNodes(graph, replace, {
    outputs: [{ name: CLASS_MAP, dataType: logits!.dataType, dims: ['N', classes, 'h', 'w'] }],
  });
}
