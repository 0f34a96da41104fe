/**
 * TensorFlow.js' tensors as this engine holds them, and the types of its library. The library comes with the installed
 * backend; nothing here imports it.
 *
 * A graph's images are [N, C, H, W]; TensorFlow's kernels want [N, H, W, C]. So a value records the order of its
 * tensor, and is transposed only if an operator needs another order: once at each end of a network.
 */
import type * as tfjs from '@tensorflow/tfjs-core';
import { elementCount } from '../../tensor.js';

/** The library's namespace, with a backend chosen. */
export type TensorFlow = typeof tfjs;
export type Tensor = tfjs.Tensor;
export type Tensor4D = tfjs.Tensor4D;

/** A value of the graph. Its dimensions are those of the graph, whatever the order of the tensor. */
export interface Value {
  readonly tensor: Tensor;
  /** The tensor lies as [N, H, W, C], and the graph means [N, C, H, W]. */
  readonly channelsLast: boolean;
}

/** Axes of [N, C, H, W] in the order in which channels come last, and the way back. */
const TO_LAST = [0, 2, 3, 1];
const TO_GRAPH = [0, 3, 1, 2];

/** The tensor in the graph's order. */
export function inGraphOrder(tf: TensorFlow, { tensor, channelsLast }: Value): Tensor {
  return channelsLast ? transpose(tf, tensor, TO_GRAPH) : tensor;
}

/** The tensor with channels last. One of a lower rank gets leading axes of size 1, as broadcasting adds them. */
export function withChannelsLast(tf: TensorFlow, { tensor, channelsLast }: Value): Tensor4D {
  if (channelsLast) return tensor as Tensor4D;
  const missing = Array<number>(4 - tensor.rank).fill(1);
  return transpose(tf, tf.reshape(tensor, [...missing, ...tensor.shape]), TO_LAST) as Tensor4D;
}

/**
 * The operands of an element-wise operator in one order: channels last if any of them lies so and none has a rank above
 * 4.
 */
export function inOneOrder(tf: TensorFlow, values: readonly Value[]): { tensors: Tensor[]; channelsLast: boolean } {
  const channelsLast = values.some((value) => value.channelsLast) && values.every(({ tensor }) => tensor.rank <= 4);
  const order = channelsLast ? withChannelsLast : inGraphOrder;
  return { tensors: values.map((value) => order(tf, value)), channelsLast };
}

/** Where an axis of the graph is in the tensor. */
export function axisOf({ channelsLast }: Pick<Value, 'channelsLast'>, axis: number): number {
  return channelsLast ? TO_LAST.indexOf(axis) : axis;
}

/** One entry for each axis of the graph, in the order of the tensor's axes. */
export function alongAxes<T>({ channelsLast }: Pick<Value, 'channelsLast'>, perAxis: readonly T[]): T[] {
  return channelsLast ? TO_LAST.map((axis) => perAxis[axis]!) : [...perAxis];
}

/** As tf.transpose; where only axes of size 1 move, the values stay where they are. */
export function transpose(tf: TensorFlow, tensor: Tensor, perm: readonly number[]): Tensor {
  const moving = perm.filter((axis) => tensor.shape[axis] !== 1);
  const staysPut = moving.every((axis, index) => index === 0 || axis > moving[index - 1]!);
  if (staysPut || elementCount(tensor.shape) === 0) {
    return tf.reshape(
      tensor,
      perm.map((axis) => tensor.shape[axis]!),
    );
  }
  return tf.transpose(tensor, [...perm]);
}
