/**
 * The cost of a network: parameters to keep, multiply-adds to run. Both are counted as in torchvision's documentation:
 * the trainable parameters, and one multiply-add per weight and output position of convolutions and matrix products
 * (biases, normalization, activations and pooling are left out).
 */
import { elementCount } from '../tensor.js';
import { attribute } from './attributes.js';
import type { Graph, Node } from './graph.js';
import { GraphError } from './graph-error.js';

/** Positions of the trainable inputs; BatchNormalization's running mean and variance (3 and 4) are not trained. */
const TRAINABLE_INPUTS: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  Gemm: [1, 2],
  MatMul: [1],
  BatchNormalization: [1, 2],
  PRelu: [1],
};

/** Names of the trained inputs of a node; an absent input is an empty string. */
export function trainableInputs({ op, inputs }: Node): readonly string[] {
  return (TRAINABLE_INPUTS[op] ?? []).map((index) => inputs[index] ?? '');
}

/** Number of trainable parameters. Does not read weights: bound and unbound graphs count the same. */
export function countParameters(graph: Graph): number {
  const trainable = new Set(graph.nodes.flatMap(trainableInputs));
  return [...graph.initializers.values()]
    .filter(({ name }) => trainable.has(name))
    .reduce((sum, { dims }) => sum + elementCount(dims), 0);
}

/** Multiply-adds of one run. `shapes` comes from inferShapes for the input in question. */
export function countMultiplyAdds(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): number {
  return graph.nodes.reduce((sum, node) => sum + multiplyAddsOf(node, shapes), 0);
}

/**
 * Values of activations that are in memory together at the peak of a run, if each is freed after its last use. Weights are
 * not counted. `shapes` as above; a value of unknown shape counts as nothing.
 */
export function countPeakValues(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): number {
  const sizeOf = (name: string): number => elementCount(shapes.get(name) ?? [0]);
  const lastUse = new Map<string, number>();
  graph.nodes.forEach(({ inputs }, index) => inputs.forEach((name) => lastUse.set(name, index)));
  for (const { name } of graph.outputs) lastUse.set(name, Infinity);
  let live = graph.inputs.reduce((sum, { name }) => sum + sizeOf(name), 0);
  let peak = live;
  graph.nodes.forEach(({ inputs, outputs }, index) => {
    live += outputs.reduce((sum, name) => sum + sizeOf(name), 0);
    peak = Math.max(peak, live);
    const dead = new Set([...inputs, ...outputs]).values();
    for (const name of dead) {
      if ((lastUse.get(name) ?? index) === index && !graph.initializers.has(name)) live -= sizeOf(name);
    }
  });
  return peak;
}

/** Multiply-adds of one node. Throws GraphError if they depend on a shape that is not known. */
export function multiplyAddsOf(node: Node, shapes: ReadonlyMap<string, readonly number[]>): number {
  const shape = (name = ''): readonly number[] => {
    const dims = shapes.get(name);
    if (dims === undefined) throw new GraphError(`the shape of "${name}" is not known`);
    return dims;
  };
  const [x, weight] = node.inputs;
  const outputs = (): number => elementCount(shape(node.outputs[0]));
  switch (node.op) {
    case 'Conv':
      return outputs() * elementCount(shape(weight).slice(1));
    case 'Gemm':
      return outputs() * shape(weight).at(attribute(node, 'transB', 'int') ? 1 : 0)!;
    case 'MatMul':
      return outputs() * shape(x).at(-1)!;
    default:
      return 0;
  }
}
