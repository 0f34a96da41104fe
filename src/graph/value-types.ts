/**
 * The data types of a graph's values, as far as they are known: declared, given by a Cast or a quantization, or kept by an
 * operator whose first output has the type of its first input.
 */
import { attribute } from './attributes.js';
import type { DataType, Graph, Node } from './graph.js';
import { dataTypeOf } from './onnx/data-types.js';
import { OPERATOR_FACTS } from './operators.js';

/** The type of every value whose type is known. */
export function valueTypes(graph: Graph): ReadonlyMap<string, DataType> {
  const types = new Map<string, DataType>();
  for (const { name, dataType } of [...graph.inputs, ...graph.initializers.values()]) types.set(name, dataType);
  for (const node of graph.nodes) {
    const kept = OPERATOR_FACTS.get(node.op)?.keepsType ? types.get(node.inputs[0] ?? '') : undefined;
    const type = givenType(node, types) ?? kept;
    if (type === undefined) continue;
    // Other outputs have types of their own: MaxPool's indices, Dropout's mask.
    for (const output of node.op === 'Split' ? node.outputs : node.outputs.slice(0, 1)) types.set(output, type);
  }
  return types;
}

/** The type that does not come from the first input. */
function givenType(node: Node, types: ReadonlyMap<string, DataType>): DataType | undefined {
  switch (node.op) {
    case 'Cast':
      return castType(node);
    case 'Shape':
      return 'int64';
    case 'DequantizeLinear':
      return types.get(node.inputs[1] ?? '');
    case 'QuantizeLinear':
      return types.get(node.inputs[2] ?? '') ?? 'uint8';
    default:
      return undefined;
  }
}

/** The type that a Cast gives; undefined if graphs do not have it. */
export function castType(node: Node): DataType | undefined {
  return dataTypeOf(attribute(node, 'to', 'int') ?? 0);
}
