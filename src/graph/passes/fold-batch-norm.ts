/**
 * Batch normalization behind a convolution becomes part of its weights.
 *
 *   Before: x → Conv W, b → BatchNormalization γ, β, μ, σ² → y
 *   After:  W·s, β + (b − μ)·s as nodes over the initializers;  x → Conv → y
 *
 * Preconditions: nothing else reads the convolution; W, b and the four are initializers.
 *
 * Equal because ((W∗x + b) − μ)·s + β = (W·s)∗x + (b − μ)·s + β with s = γ / √(σ² + ε) for each output channel. No
 * weight is read here: an engine folds the nodes once, at load. ONNX Runtime has such a pass itself. This one is for
 * the TensorFlow engine and for passes that change the type of the weights, because they must round or quantize the
 * product, not its factors.
 */
import { attribute } from '../attributes.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { countReads, rewriteNodes, type Draft } from '../rewrite.js';

/** ONNX's default. */
const EPSILON = 1e-5;

/** The pass. */
export function foldBatchNorm(): Pass {
  return { name: 'fold-batch-norm', apply: fold };
}

function fold(graph: Graph): Graph | undefined {
  const pairs = pairsOf(graph);
  const norms = new Set(pairs.values());
  return rewriteNodes(graph, (node, draft) => {
    if (norms.has(node)) return [];
    const norm = pairs.get(node);
    return norm === undefined ? node : foldInto(graph, node, norm, draft);
  });
}

/** The convolution that includes the normalization. */
function foldInto(graph: Graph, conv: Node, norm: Node, draft: Draft): Node {
  const [x = '', weight = '', bias = ''] = conv.inputs;
  const [, gamma = '', beta = '', mean = '', variance = ''] = norm.inputs;
  const of = (what: string): string => `${norm.name}.${what}`;
  const epsilon = draft.constant(of('epsilon'), 'float32', [], [attribute(norm, 'epsilon', 'float') ?? EPSILON]);
  const spread = draft.node('Add', [variance, epsilon], of('spread'));
  const deviation = draft.node('Sqrt', [spread], of('deviation'));
  const scale = draft.node('Div', [gamma, deviation], of('scale'));
  const rank = graph.initializers.get(weight)!.dims.length;
  const perKernel = [-1, ...Array<number>(rank - 1).fill(1)];
  const shape = draft.constant(of('per_kernel'), 'int64', [rank], perKernel);
  const factor = draft.node('Reshape', [scale, shape], of('factor'));
  const foldedWeight = draft.node('Mul', [weight, factor], `${weight}.folded`);
  const centre = bias === '' ? draft.node('Neg', [mean], of('centre')) : draft.node('Sub', [bias, mean], of('centre'));
  const shift = draft.node('Mul', [centre, scale], of('shift'));
  const foldedBias = draft.node('Add', [beta, shift], of('bias.folded'));
  return { ...conv, inputs: [x, foldedWeight, foldedBias], outputs: norm.outputs.slice(0, 1) };
}

/** Each convolution with the normalization that is its only reader. */
function pairsOf(graph: Graph): ReadonlyMap<Node, Node> {
  const reads = countReads(graph);
  const convolutions = new Map(graph.nodes.filter(({ op }) => op === 'Conv').map((node) => [node.outputs[0], node]));
  const isConstant = (name: string): boolean => name === '' || graph.initializers.has(name);
  const pairs = graph.nodes.flatMap((norm): [Node, Node][] => {
    const conv = convolutions.get(norm.inputs[0]);
    const matches =
      norm.op === 'BatchNormalization' &&
      conv !== undefined &&
      reads.get(conv.outputs[0]!) === 1 &&
      [...conv.inputs.slice(1), ...norm.inputs.slice(1)].every(isConstant);
    return matches ? [[conv, norm]] : [];
  });
  return new Map(pairs);
}
