/**
 * Batch normalization behind a convolution becomes part of its weights.
 *
 *   Before: x → Conv W, b → BatchNormalization γ, β, μ, σ² → y
 *   After:  W·s, β + (b − μ)·s as nodes over the initializers;  x → Conv → y
 *
 * Preconditions: nothing else reads the convolution; W, b and the four are initializers.
 *
 * Equal because ((W∗x + b) − μ)·s + β = (W·s)∗x + (b − μ)·s + β with s = γ / √(σ² + ε) for each output channel. Nothing is
 * read here: an engine folds the nodes once, at load. It has a pass of its own for this; what needs ours is whoever
 * changes the type of the weights, because the product is what has to be rounded or quantized, not its factors.
 */
import { attribute } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { countReads, prune } from '../rewrite.js';

/** ONNX's default. */
const EPSILON = 1e-5;

/** The pass. */
export function foldBatchNorm(): Pass {
  return { name: 'fold-batch-norm', apply: fold };
}

function fold(graph: Graph): Graph | undefined {
  const pairs = pairsOf(graph);
  if (pairs.size === 0) return undefined;
  const builder = graphBuilder({ ...graph, nodes: [] });
  const taken = new Set(graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs]));
  const fresh = (wanted: string): string => (taken.has(wanted) ? fresh(`${wanted}_`) : wanted);
  const step = (op: string, inputs: readonly string[], wanted: string): string =>
    builder.node(op, inputs, { name: fresh(wanted) });

  const folded = new Map<Node, Node>();
  for (const [conv, norm] of pairs) {
    const [x = '', weight = '', bias = ''] = conv.inputs;
    const [, gamma = '', beta = '', mean = '', variance = ''] = norm.inputs;
    const epsilon = builder.constant(
      `${norm.name}.epsilon`,
      'float32',
      [],
      [attribute(norm, 'epsilon', 'float') ?? EPSILON],
    );
    const deviation = step('Sqrt', [step('Add', [variance, epsilon], `${norm.name}.spread`)], `${norm.name}.deviation`);
    const scale = step('Div', [gamma, deviation], `${norm.name}.scale`);
    const rank = graph.initializers.get(weight)!.dims.length;
    const perKernel = builder.constant(
      `${norm.name}.per_kernel`,
      'int64',
      [rank],
      [-1, ...Array<number>(rank - 1).fill(1)],
    );
    const factor = step('Reshape', [scale, perKernel], `${norm.name}.factor`);
    const foldedWeight = step('Mul', [weight, factor], `${weight}.folded`);
    const centre =
      bias === '' ? step('Neg', [mean], `${norm.name}.centre`) : step('Sub', [bias, mean], `${norm.name}.centre`);
    const shift = step('Mul', [centre, scale], `${norm.name}.shift`);
    const foldedBias = step('Add', [beta, shift], `${norm.name}.bias.folded`);
    folded.set(conv, { ...conv, inputs: [x, foldedWeight, foldedBias], outputs: norm.outputs.slice(0, 1) });
  }
  const norms = new Set(pairs.values());
  const { nodes: ahead, initializers } = builder.finish(graph.outputs);
  const rest = graph.nodes.filter((node) => !norms.has(node)).map((node) => folded.get(node) ?? node);
  return prune({ ...graph, nodes: [...ahead, ...rest], initializers });
}

/** Convolutions and the normalization that each alone feeds. */
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
