/**
 * The data types of a graph's values, as far as they can be told: declared, given by a Cast, or kept by an operator whose
 * first output has the type of its first input.
 */
import { attribute } from './attributes.js';
import type { DataType, Graph, Node } from './graph.js';
import { dataTypeOf } from './onnx/data-types.js';

/** Operators whose first output has the type of their first input. */
const KEEPS_TYPE: ReadonlySet<string> = new Set(
  (
    'Abs Add AveragePool BatchNormalization Celu Clip Concat Conv Div Dropout Elu Erf Exp Expand Flatten Gather Gelu Gemm ' +
    'GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LRN ' +
    'LeakyRelu Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mul Neg PRelu Pad Pow ReduceMax ReduceMean ReduceSum Relu ' +
    'Reshape Selu Sigmoid Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Transpose ' +
    'Unsqueeze'
  ).split(' '),
);

/** The type of every value that has a known one. */
export function valueTypes(graph: Graph): ReadonlyMap<string, DataType> {
  const types = new Map<string, DataType>();
  for (const { name, dataType } of [...graph.inputs, ...graph.initializers.values()]) types.set(name, dataType);
  for (const node of graph.nodes) {
    const type =
      node.op === 'Cast' ? castType(node) : KEEPS_TYPE.has(node.op) ? types.get(node.inputs[0] ?? '') : undefined;
    if (type === undefined) continue;
    // The other outputs are of types of their own: MaxPool's indices, Dropout's mask.
    for (const output of node.op === 'Split' ? node.outputs : node.outputs.slice(0, 1)) types.set(output, type);
  }
  return types;
}

/** What a Cast gives. */
export function castType(node: Node): DataType | undefined {
  return dataTypeOf(attribute(node, 'to', 'int') ?? 0);
}
