/**
 * Shapes of all values for given input shapes. Concrete numbers only: the caller gives a number for every symbolic
 * size. Small integer tensors are evaluated on the way, because operators such as Reshape, Slice and Expand take sizes
 * as data. Weights are never needed: an unbound graph has shapes.
 */
import { elementCount } from '../tensor.js';
import { floatValues, integerValues } from './constants.js';
import type { Graph, Node, ValueInfo } from './graph.js';
import { GraphError, nodeError } from './graph-error.js';
import { OPERATOR_FACTS } from './operators.js';
import { SHAPE_RULES, type Known } from './shape-rules.js';

/** Larger integer tensors are data, not sizes. */
const MAX_EVALUATED_ELEMENTS = 1024;

/**
 * The shape of every value: inputs, initializers, node outputs. `inputs` gives each graph input's shape by name. The
 * output of a window that is larger than its map has size 0. Throws GraphError for an input without a shape or with one
 * that does not fit its declaration, for an operator without a rule, and for operands whose sizes disagree.
 */
export function inferShapes(
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): ReadonlyMap<string, readonly number[]> {
  return shapesOf(graph, inputs, false);
}

/**
 * The shapes that can be inferred: values behind an operator without a rule, or whose operands disagree, are left out.
 * Throws GraphError only for the inputs.
 */
export function inferKnownShapes(
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): ReadonlyMap<string, readonly number[]> {
  return shapesOf(graph, inputs, true);
}

function shapesOf(
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
  lenient: boolean,
): ReadonlyMap<string, readonly number[]> {
  const known = new Map([...knownInitializers(graph), ...knownInputs(graph, inputs)]);
  for (const node of graph.nodes) {
    try {
      inferNode(node, known);
    } catch (error) {
      if (!lenient || !(error instanceof GraphError)) throw error;
    }
  }
  return new Map([...known].map(([name, { dims }]) => [name, dims]));
}

/**
 * The known facts about inputs of these shapes. Throws GraphError if a shape is missing or does not fit its
 * declaration.
 */
export function knownInputs(
  { inputs }: Graph,
  shapes: Readonly<Record<string, readonly number[]>>,
): ReadonlyMap<string, Known> {
  return new Map(inputs.map((input) => [input.name, { dims: inputShape(input, shapes[input.name]) }]));
}

/** The known facts about the initializers, which hold for any inputs. */
export function knownInitializers({ initializers }: Graph): ReadonlyMap<string, Known> {
  const known = [...initializers.values()].map((initializer): [string, Known] => {
    const { name, dims } = initializer;
    const count = elementCount(dims);
    const integers = count <= MAX_EVALUATED_ELEMENTS ? integerValues(initializer) : undefined;
    // A size may be divided by a number in floating point, and rounded.
    const number = count === 1 ? floatValues(initializer) : undefined;
    return [name, number === undefined ? { dims, values: integers } : { dims, values: [...number], isFloat: true }];
  });
  return new Map(known);
}

/** Infer a node's outputs from its inputs and add them to `known`. Throws GraphError as inferShapes does. */
export function inferNode(node: Node, known: Map<string, Known>): void {
  const results = applyRule(node, known);
  const isFloat = OPERATOR_FACTS.get(node.op)?.keepsType === true && known.get(node.inputs[0] ?? '')?.isFloat === true;
  for (const [index, output] of node.outputs.entries()) {
    const result = results[index];
    if (output === '') continue;
    if (result === undefined) throw nodeError(node, `has no output ${index}`);
    const small = (result.values?.length ?? 0) <= MAX_EVALUATED_ELEMENTS;
    if (!small) known.set(output, { dims: result.dims });
    else known.set(output, isFloat && result.values !== undefined ? { ...result, isFloat } : result);
  }
}

function applyRule(node: Node, known: ReadonlyMap<string, Known>): readonly Known[] {
  const rule = SHAPE_RULES.get(node.op);
  if (rule === undefined) throw nodeError(node, 'the shapes of this operator are not known');
  const unknown = node.inputs.find((name) => name !== '' && !known.has(name));
  if (unknown !== undefined) throw nodeError(node, `the shape of its input "${unknown}" is not known`);
  return rule({ node, inputs: node.inputs.map((name) => (name === '' ? undefined : known.get(name))) });
}

function inputShape({ name, dims }: ValueInfo, given: readonly number[] | undefined): readonly number[] {
  if (given === undefined) throw new GraphError(`input "${name}": its shape is not given`);
  const fits =
    given.length === dims.length && dims.every((dim, axis) => typeof dim === 'string' || dim === given[axis]);
  if (!fits) throw new GraphError(`input "${name}": [${given.join(', ')}] does not fit [${dims.join(', ')}]`);
  return given;
}
