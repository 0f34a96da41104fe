/**
 * Compute a network in half precision where that is safe.
 *
 *   Before: x float32 → Conv W → Relu → GlobalAveragePool → Gemm V → y float32
 *   After:  x float32 → Cast → Conv W as half → Relu → Cast → GlobalAveragePool → Cast → Gemm V as half
 *                    → Cast → y float32
 *
 * Preconditions: no inline constant lies beyond half's largest number; batch normalization is folded
 * (fold-batch-norm.ts, absorb-statistics.ts), so that the product, computed in single precision, is rounded. A node
 * stays as it is if the type of an input is not known (value-types.ts).
 *
 * Not equal: values and weights are rounded to 11 bits. The pass narrows convolutions, products, and operators that
 * work cell by cell or move values (operators.ts, suitsHalf). Means over a map, normalizations over an image, softmax,
 * exponentials and powers stay in single precision: they add many values or make small ones large. Inputs and outputs
 * stay float32, and so do the nodes that are added in front (preprocessing) and behind (the mean of a class map, its
 * log-normalizer). A weight that is half in its file is taken as it is, and an inline one is rounded here. Any other is
 * cast by a node over the constant, which the engine folds at load.
 */
import { attribute, int } from '../attributes.js';
import { floatValues, halfBits, inlineConstant } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import { OPERATOR_FACTS } from '../operators.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Draft } from '../rewrite.js';
import { valueTypes } from '../value-types.js';

/** float16's largest number. */
export const LARGEST_HALF = 65504;

/** The bits of an infinite float16. */
const INFINITE_BITS = 0x7c00;

/** The pass. No match where nothing is narrowed. */
export function narrowToHalf(): Pass {
  return { name: 'narrow-to-half', apply: narrow };
}

function narrow(graph: Graph): Graph | undefined {
  const types = valueTypes(graph);
  const isSingle = (name: string): boolean => types.get(name) === 'float32';
  const constants = new Set(graph.initializers.keys());
  const isNarrowed = (node: Node): boolean =>
    OPERATOR_FACTS.get(node.op)?.suitsHalf === true &&
    (node.op !== 'BatchNormalization' || attribute(node, 'epsilon', 'float') === 0) &&
    isSingle(node.inputs[0] ?? '') &&
    node.inputs.every((name) => name === '' || types.has(name));

  const outputs = new Set(graph.outputs.map(({ name }) => name));
  /**
   * The name of each float32 value's half-precision form. One of the two is computed, the other is cast for its
   * readers.
   */
  const halves = new Map<string, string>();
  const madeInHalf = new Set<string>();
  const asHalf = (name: string, draft: Draft): string => {
    const known = halves.get(name);
    if (known !== undefined || !isSingle(name)) return known ?? name;
    const half = draft.fresh(`${name}.half`);
    halves.set(name, half);
    const weight = narrowWeight(graph.initializers.get(name), half);
    if (weight !== undefined) return draft.set(weight);
    draft.add(castTo('float16', name, half, draft));
    return half;
  };
  const restore = (name: string, draft: Draft): void => {
    if (madeInHalf.delete(name)) draft.add(castTo('float32', halves.get(name)!, name, draft));
  };

  return rewriteNodes(graph, (node, draft) => {
    if (node.inputs.length > 0 && node.inputs.every((name) => name === '' || constants.has(name))) {
      // Computed once, in single precision.
      for (const name of node.outputs) constants.add(name);
      return node;
    }
    if (!isNarrowed(node)) {
      for (const name of node.inputs) restore(name, draft);
      return node;
    }
    const inputs = node.inputs.map((name) => asHalf(name, draft));
    const made = node.outputs.map((name) => {
      if (!isSingle(name)) return name;
      const half = draft.fresh(`${name}.half`);
      halves.set(name, half);
      madeInHalf.add(name);
      return half;
    });
    draft.add({ ...node, inputs, outputs: made });
    for (const name of node.outputs) if (outputs.has(name)) restore(name, draft);
    return [];
  });
}

function castTo(type: 'float16' | 'float32', from: string, to: string, draft: Draft): Node {
  const attributes = { to: int(DATA_TYPE_CODES[type]) };
  return { op: 'Cast', name: draft.fresh(`${to}.cast`), inputs: [from], outputs: [to], attributes };
}

/** The initializer in half precision; undefined if that needs a node of its own. */
function narrowWeight(weight: Initializer | undefined, name: string): Initializer | undefined {
  if (weight === undefined || weight.quantization !== undefined) return undefined;
  const { dims, data } = weight;
  switch (data.kind) {
    case 'inline':
      return inlineConstant(name, 'float16', dims, checked(weight));
    case 'external': {
      const { storedAs = weight.dataType, ...place } = data;
      return { name, dataType: 'float16', dims, data: storedAs === 'float16' ? place : { ...place, storedAs } };
    }
    case 'unbound':
      return { ...weight, name, dataType: 'float16' };
  }
}

/** The values of an inline weight. Throws GraphError if one of them would become infinite. */
function checked(weight: Initializer): Float32Array {
  const values = floatValues(weight)!;
  const lost = values.find((value) => Number.isFinite(value) && (halfBits(value) & ~0x8000) === INFINITE_BITS);
  if (lost === undefined) return values;
  throw new GraphError(`tensor "${weight.name}" holds ${lost}: half precision ends at ${LARGEST_HALF}`);
}
