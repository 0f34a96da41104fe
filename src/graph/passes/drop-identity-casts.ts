/**
 * Take out the Casts that change nothing, as mixed-precision exports have many once they are widened (widen-half.ts).
 *
 *   Before: x float32 → Cast to float32 → y
 *   After:  x, read by whoever read y
 *
 * Precondition: the type of x is known: it is declared, or follows from operators that keep the type of their first input.
 * Equal by definition.
 */
import { attribute } from '../attributes.js';
import type { DataType, Graph, Node } from '../graph.js';
import { dataTypeOf } from '../onnx-data-types.js';
import type { Pass } from '../pass.js';
import { bypass, prune } from '../rewrite.js';

/** The pass. */
export function dropIdentityCasts(): Pass {
  return { name: 'drop-identity-casts', apply: drop };
}

/** Operators whose first output has the type of their first input. */
const KEEPS_TYPE: ReadonlySet<string> = new Set(
  (
    'Abs Add AveragePool BatchNormalization Clip Concat Conv Div Dropout Elu Erf Exp Flatten Gather Gelu Gemm ' +
    'GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LRN ' +
    'LeakyRelu Log LogSoftmax MatMul Max MaxPool Mean Min Mul Neg PRelu Pad Pow ReduceMax ReduceMean ReduceSum Relu ' +
    'Reshape Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze'
  ).split(' '),
);

function drop(graph: Graph): Graph | undefined {
  const types = typesOf(graph);
  const isIdentity = (node: Node): boolean => {
    const type = types.get(node.inputs[0] ?? '');
    return node.op === 'Cast' && type !== undefined && type === castType(node);
  };
  let current = graph;
  for (const { name } of graph.nodes.filter(isIdentity)) {
    current =
      bypass(
        current,
        current.nodes.find((node) => node.name === name)!,
      ) ?? current;
  }
  return current === graph ? undefined : prune(current);
}

function typesOf(graph: Graph): ReadonlyMap<string, DataType> {
  const types = new Map<string, DataType>();
  for (const { name, dataType } of [...graph.inputs, ...graph.initializers.values()]) types.set(name, dataType);
  for (const node of graph.nodes) {
    const type =
      node.op === 'Cast' ? castType(node) : KEEPS_TYPE.has(node.op) ? types.get(node.inputs[0] ?? '') : undefined;
    if (type !== undefined) types.set(node.outputs[0]!, type);
  }
  return types;
}

function castType(node: Node): DataType | undefined {
  return dataTypeOf(attribute(node, 'to', 'int') ?? 0);
}
