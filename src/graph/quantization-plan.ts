/**
 * Decides which nodes of a network are computed in integers, and which values between them become integers.
 * Convolutions and matrix products are worth a conversion. Any other node only follows: it must read integers anyway,
 * and the engine must have an integer kernel for it. The nodes behind the last layer stay in float: they are small, and
 * their numbers are the answer.
 */
import type { Graph, Node } from './graph.js';
import { onlyRearranges } from './operators.js';
import { countReads } from './rewrite.js';

export interface QuantizationPlan {
  /** Nodes that are computed in integers, without the activations that they absorb (ReLU). */
  readonly nodes: ReadonlySet<Node>;
  /** Values that become integers, in order. Each maps to the value whose scale it has: itself or another one. */
  readonly values: ReadonlyMap<string, string>;
}

/** Computed in integers if their inputs are integers: onnxruntime has kernels for them (QLinearAdd, QLinearMul, …). */
const FOLLOWING = new Set(['Add', 'Mul', 'Concat', 'AveragePool', 'GlobalAveragePool', 'LeakyRelu', 'Sigmoid']);

/** Whether a node passes integers on with the same scale. */
const keepsScale = (node: Node): boolean => onlyRearranges(node) || node.op === 'MaxPool';

/** Activations that cut off below 0. Integers of type uint8 with zero point 0 do so by themselves. */
const ABSORBED = new Set(['Relu', 'Clip']);

/** Whether a node has weights that can be quantized: convolutions, and matrix products as fully connected layers. */
export function isWeighted({ op, inputs, attributes }: Node, graph: Graph): boolean {
  const areConstant = inputs.slice(1).every((name) => name === '' || graph.initializers.has(name));
  if (op === 'Conv') return areConstant;
  const scaled = ['alpha', 'beta'].some((name) => attributes[name] !== undefined && attributes[name].value !== 1);
  const { transA, transB } = attributes;
  return op === 'Gemm' && areConstant && !scaled && (transA?.value ?? 0) === 0 && transB?.value === 1;
}

/** The plan, without the nodes named in `float`. Weights and biases must be initializers (fold-batch-norm.ts). */
export function planQuantization(graph: Graph, float: ReadonlySet<string> = new Set()): QuantizationPlan {
  const seeds = new Set(graph.nodes.filter((node) => !float.has(node.name) && isWeighted(node, graph)));
  const behindSeeds = valuesInFrontOf(graph, seeds);
  const reads = countReads(graph);
  const readers = new Map(graph.nodes.flatMap((node) => node.inputs.map((name) => [name, node] as const)));
  const nodes = new Set<Node>();
  const values = new Map<string, string>();

  /** The output of the activation that a node absorbs; the node's own output if it absorbs none. */
  const absorbing = (value: string): string => {
    const reader = readers.get(value);
    return reads.get(value) === 1 && reader !== undefined && ABSORBED.has(reader.op) ? reader.outputs[0]! : value;
  };
  for (const node of graph.nodes) {
    const operands = node.inputs.filter((name) => name !== '' && !graph.initializers.has(name));
    const isInteger = operands.length > 0 && operands.every((name) => values.has(name));
    const [output = ''] = node.outputs;
    const end = absorbing(output);
    if (seeds.has(node)) {
      nodes.add(node);
      if (!values.has(operands[0]!)) values.set(operands[0]!, operands[0]!);
      values.set(end, end);
    } else if (isInteger && keepsScale(node)) {
      nodes.add(node);
      values.set(output, values.get(operands[0]!)!);
    } else if (isInteger && FOLLOWING.has(node.op) && operands.length === node.inputs.length) {
      // The mean of a whole map is worth it only in front of more layers (squeeze and excitation).
      if (node.op === 'GlobalAveragePool' && !behindSeeds.has(output)) continue;
      nodes.add(node);
      values.set(end, end);
    }
  }
  return { nodes, values };
}

/** The values that some node of `seeds` depends on. */
function valuesInFrontOf({ nodes }: Graph, seeds: ReadonlySet<Node>): ReadonlySet<string> {
  const needed = new Set<string>();
  for (const node of nodes.toReversed()) {
    if (!seeds.has(node) && !node.outputs.some((name) => needed.has(name))) continue;
    for (const name of node.inputs) needed.add(name);
  }
  return needed;
}
