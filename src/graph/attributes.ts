/**
 * Node attributes: made by builders and passes, read by everything that interprets a node. Reading checks the type,
 * so that a foreign graph fails with a GraphError that names the node.
 */
import { integerValues } from './constants.js';
import type { Attribute, Graph, Node } from './graph.js';
import { nodeError } from './graph-error.js';

type AttributeType = Attribute['type'];
type AttributeValue<T extends AttributeType> = Extract<Attribute, { type: T }>['value'];

export const int = (value: number): Attribute => ({ type: 'int', value });
export const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
/** ONNX keeps it in single precision. */
export const float = (value: number): Attribute => ({ type: 'float', value: Math.fround(value) });

/** The attribute's value, or undefined where the node does not have it. Throws GraphError when it has another type. */
export function attribute<T extends AttributeType>(node: Node, name: string, type: T): AttributeValue<T> | undefined {
  const found = node.attributes[name];
  if (found === undefined) return undefined;
  if (found.type !== type) throw nodeError(node, `attribute "${name}" must be ${type}, is ${found.type}`);
  return found.value as AttributeValue<T> | undefined;
}

/** An attribute that the operator requires. Throws GraphError when it is missing. */
export function requiredAttribute<T extends AttributeType>(node: Node, name: string, type: T): AttributeValue<T> {
  const value = attribute(node, name, type);
  if (value === undefined) throw nodeError(node, `attribute "${name}" is missing`);
  return value;
}

/** The axes that a reduction names: an attribute in older opsets, a constant from opset 18 on. Undefined if they are computed. */
export function axesOf({ initializers }: Graph, node: Node): readonly number[] | undefined {
  const constant = initializers.get(node.inputs[1] ?? '');
  return attribute(node, 'axes', 'ints') ?? (constant && integerValues(constant));
}
