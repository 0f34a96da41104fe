/**
 * Turn the values of Constant nodes into initializers, where passes, geometry and the writer look for weights.
 *
 *   Before: Constant (value | value_float(s) | value_int(s)) → x
 *   After:  initializer x
 *
 * Equal because both are the same tensor under the same name. A Constant that is a graph output stays.
 * Source: ONNX operator Constant, opset 1 to 24.
 */
import { attribute } from '../attributes.js';
import { inlineConstant } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';

/** The pass. */
export function liftConstants(): Pass {
  return { name: 'lift-constants', apply: lift };
}

function lift(graph: Graph): Graph | undefined {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return rewriteNodes(graph, (node, draft) => {
    const [name = ''] = node.outputs;
    const tensor = node.op === 'Constant' && !outputs.has(name) ? tensorOf(node, name) : undefined;
    if (tensor === undefined) return node;
    draft.set(tensor);
    return [];
  });
}

function tensorOf(node: Node, name: string): Initializer | undefined {
  const tensor = attribute(node, 'value', 'tensor');
  if (tensor !== undefined) return { ...tensor, name };
  const number = attribute(node, 'value_float', 'float');
  if (number !== undefined) return inlineConstant(name, 'float32', [], [number]);
  const numbers = attribute(node, 'value_floats', 'floats');
  if (numbers !== undefined) return inlineConstant(name, 'float32', [numbers.length], numbers);
  const integer = attribute(node, 'value_int', 'int');
  if (integer !== undefined) return inlineConstant(name, 'int64', [], [integer]);
  const integers = attribute(node, 'value_ints', 'ints');
  return integers && inlineConstant(name, 'int64', [integers.length], integers);
}
