/**
 * What of a network is computed in integers: which nodes, and the values between them that have to be. A node is one
 * where the engine has a kernel for it and it reads integers anyway; convolutions and matrix products are worth the
 * conversion, all others only follow. What is behind the last layer stays in float: it is small, and its numbers are the
 * answer.
 */
import type { Graph, Node } from './graph.js';
import { onlyRearranges } from './operators.js';
import { countReads } from './rewrite.js';

export interface QuantizationPlan {
  /** Nodes that are computed in integers; what they absorb (ReLU) is not among them. */
  readonly nodes: ReadonlySet<Node>;
  /** Values that are made integers, in order, and the value whose scale each has: its own name, or another's. */
  readonly values: ReadonlyMap<string, string>;
}

/** Read integers where their input is one, since onnxruntime has kernels for it: QLinearAdd, QLinearMul, QLinearConcat, … */
const FOLLOWING = new Set(['Add', 'Mul', 'Concat', 'AveragePool', 'GlobalAveragePool', 'LeakyRelu', 'Sigmoid']);

/** Whether a node gives on integers of the same scale. */
const keepsScale = (node: Node): boolean => onlyRearranges(node) || node.op === 'MaxPool';

/** Cut off below 0, which uint8 without a zero point does by itself. */
const ABSORBED = new Set(['Relu', 'Clip']);

/** Whether a node has weights that can be quantized: convolutions, and matrix products as fully connected layers. */
export function isWeighted({ op, inputs, attributes }: Node, graph: Graph): boolean {
  const areConstant = inputs.slice(1).every((name) => name === '' || graph.initializers.has(name));
  if (op === 'Conv') return areConstant;
  const scaled = ['alpha', 'beta'].some((name) => attributes[name] !== undefined && attributes[name].value !== 1);
  const { transA, transB } = attributes;
  return op === 'Gemm' && areConstant && !scaled && (transA?.value ?? 0) === 0 && transB?.value === 1;
}

/** The plan; nodes named in `float` are not in it. Weights and biases have to be initializers (fold-batch-norm.ts). */
export function planQuantization(graph: Graph, float: ReadonlySet<string> = new Set()): QuantizationPlan {
  const seeds = new Set(graph.nodes.filter((node) => !float.has(node.name) && isWeighted(node, graph)));
  const behindSeeds = valuesInFrontOf(graph, seeds);
  const reads = countReads(graph);
  const readers = new Map(graph.nodes.flatMap((node) => node.inputs.map((name) => [name, node] as const)));
  const nodes = new Set<Node>();
  const values = new Map<string, string>();

  /** The value behind what the node's output goes through without becoming a value of its own. */
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
