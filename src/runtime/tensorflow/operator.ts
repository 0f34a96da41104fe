/**
 * An operator of this engine: a function from a node to the kernel that runs it. The function prepares the weights
 * once; the kernel is called for every run and sees the sizes of that run.
 */
import { attribute } from '../../graph/attributes.js';
import type { Node } from '../../graph/graph.js';
import { nodeError } from '../../graph/graph-error.js';
import type { Tensor, TensorFlow, Value } from './tensors.js';

/** Throws GraphError, naming the node, for a form of the operator without a kernel. */
export type Operator = (loading: Loading) => Kernel;

/** Returns the requested outputs, in order. Runs within tf.tidy, so its other tensors are freed. */
export type Kernel = (run: Run) => Value | readonly Value[];

/** A node while its session is opened. */
export interface Loading {
  readonly tf: TensorFlow;
  readonly node: Node;
  readonly opset: number;
  /**
   * An input that does not depend on the image, in the graph's order. It may be freed after loading, so a kernel must
   * hold a tensor made from it instead. Undefined if the input is absent or depends on the image.
   */
  weight(index: number): Tensor | undefined;
  /** Keep a tensor made from weights until the session is released. */
  readonly keep: <T extends Tensor>(make: () => T) => T;
}

/** A node while it runs. */
export interface Run {
  /** An input. Throws where it is absent. */
  input(index: number): Value;
  /** Dimensions of an input and of an output, as the graph has them. */
  inputDims(index: number): readonly number[];
  outputDims(index: number): readonly number[];
  /** The values of an input that depends on sizes only; undefined if it is absent or depends on the image. */
  integers(index: number): readonly number[] | undefined;
}

/** A weight that the operator requires. Throws GraphError if it is absent or depends on the image. */
export function requiredWeight(loading: Loading, index: number): Tensor {
  const weight = loading.weight(index);
  if (weight === undefined) throw nodeError(loading.node, `input ${index} must be constant for TensorFlow`);
  return weight;
}

/** A number given by a constant input in newer opsets and by an attribute in older ones. */
export function constantNumber(loading: Loading, index: number, name: string): number | undefined {
  const { node } = loading;
  if ((node.inputs[index] ?? '') === '') return attribute(node, name, 'float');
  return requiredWeight(loading, index).dataSync()[0];
}

/** Integers given by an input in newer opsets and by an attribute in older ones; undefined if both are absent. */
export function integersOf(node: Node, run: Run, index: number, name: string): readonly number[] | undefined {
  if ((node.inputs[index] ?? '') === '') return attribute(node, name, 'ints');
  const values = run.integers(index);
  if (values === undefined)
    throw nodeError(node, `input ${index} depends on the image, which TensorFlow cannot follow`);
  return values;
}

/** A possibly negative axis as an index. */
export function axisIndex(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Throws GraphError, naming the node, unless `condition` holds: a form of the operator has no kernel. */
export function refuseUnless(node: Node, condition: boolean, detail: string): void {
  if (!condition) throw nodeError(node, `${detail} is not supported by the tensorflow engine`);
}

/** As refuseUnless, for a node that requests more outputs than the first `most`. */
export function refuseOutputs(node: Node, most: number): void {
  refuseUnless(
    node,
    node.outputs.slice(most).every((name) => name === ''),
    `its output ${most}`,
  );
}
