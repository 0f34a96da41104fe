/** Operators over many values: sums and means over axes, the largest values and their places, softmax. */
import { attribute } from '../../../graph/attributes.js';
import { elementCount } from '../../../tensor.js';
import { axisIndex, integersOf, refuseUnless, type Kernel, type Loading, type Operator } from '../operator.js';
import { axisOf, inGraphOrder, type Tensor, type TensorFlow, type Value } from '../tensors.js';

export type Reduction = (tf: TensorFlow, x: Tensor, axes: number[], keepDims: boolean) => Tensor;

/**
 * The axes come from an input or an attribute. An empty list means all axes, or none if noop_with_empty_axes is set.
 */
export function reduce(compute: Reduction): Operator {
  return ({ tf, node }) =>
    (run) => {
      const { length: rank } = run.inputDims(0);
      const given = integersOf(node, run, 1, 'axes') ?? [];
      if (given.length === 0 && attribute(node, 'noop_with_empty_axes', 'int') === 1) return run.input(0);
      const axes = given.length === 0 ? [...Array(rank).keys()] : given.map((axis) => axisIndex(axis, rank));
      const keepDims = attribute(node, 'keepdims', 'int') !== 0;
      const value = orderedFor(tf, run.input(0), axes, keepDims);
      const tensor = compute(
        tf,
        value.tensor,
        axes.map((axis) => axisOf(value, axis)),
        keepDims,
      );
      return { tensor, channelsLast: value.channelsLast && keepDims };
    };
}

/**
 * The value in an order in which the remaining axes are in the graph's order. With channels last, C may remain only
 * without H and W.
 */
function orderedFor(tf: TensorFlow, value: Value, axes: readonly number[], keepDims: boolean): Value {
  const left = [1, 2, 3].filter((axis) => !axes.includes(axis));
  const keepsOrder = keepDims || !left.includes(1) || left.length === 1;
  return keepsOrder ? value : { tensor: inGraphOrder(tf, value), channelsLast: false };
}

export function argMax({ tf, node }: Loading): Kernel {
  refuseUnless(node, attribute(node, 'select_last_index', 'int') !== 1, 'the last of equal values');
  return (run) => {
    const axis = axisIndex(attribute(node, 'axis', 'int') ?? 0, run.inputDims(0).length);
    const value = orderedFor(tf, run.input(0), [axis], false);
    const tensor = tf.argMax(value.tensor, axisOf(value, axis));
    return { tensor: tf.reshape(tensor, [...run.outputDims(0)]), channelsLast: false };
  };
}

/** The largest k along an axis, in order, and their places. */
export function topK({ tf, node }: Loading): Kernel {
  refuseUnless(node, attribute(node, 'largest', 'int') !== 0, 'the smallest values');
  // Both outputs have the same dimensions; one of them may not be read.
  const named = node.outputs.findIndex((name) => name !== '');
  return (run) => {
    const { length: rank } = run.inputDims(0);
    const axis = axisIndex(attribute(node, 'axis', 'int') ?? -1, rank);
    const { channelsLast, tensor } = run.input(0);
    const last = axisOf({ channelsLast }, axis);
    const perm = [...Array(rank).keys()].filter((each) => each !== last).concat(last);
    const back = perm.map((_, each) => perm.indexOf(each));
    const moved = last === rank - 1 ? tensor : tf.transpose(tensor, perm);
    const { values, indices } = tf.topk(moved, run.outputDims(named)[axis], true);
    return [values, indices].map((found) => ({
      tensor: last === rank - 1 ? found : tf.transpose(found, back),
      channelsLast,
    }));
  };
}

/** Over one axis; before operator set 13 over all axes from that one on. */
export function softmax(compute: (tf: TensorFlow, x: Tensor) => Tensor): Operator {
  return ({ tf, node, opset }) =>
    (run) => {
      const dims = run.inputDims(0);
      const { length: rank } = dims;
      const axis = axisIndex(attribute(node, 'axis', 'int') ?? (opset < 13 ? 1 : -1), rank);
      if (opset < 13) {
        const rows = [elementCount(dims.slice(0, axis)), elementCount(dims.slice(axis))];
        const result = compute(tf, tf.reshape(inGraphOrder(tf, run.input(0)), rows));
        return { tensor: tf.reshape(result, [...dims]), channelsLast: false };
      }
      const { tensor, channelsLast } = run.input(0);
      const last = axisOf({ channelsLast }, axis);
      if (last === rank - 1) return { tensor: compute(tf, tensor), channelsLast };
      const swap = [...Array(rank).keys()].with(last, rank - 1).with(rank - 1, last);
      return { tensor: tf.transpose(compute(tf, tf.transpose(tensor, swap)), swap), channelsLast };
    };
}
