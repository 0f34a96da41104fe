/**
 * Operators that look values up by index: Gather, GatherElements, GatherND. If every row has indices of its own, they
 * become indices into all rows together, because TensorFlow's batch_dims is wrong in the WebAssembly backend (4.22)
 * unless a row has as many indices as there are rows.
 */
import { attribute } from '../../../graph/attributes.js';
import { elementCount } from '../../../tensor.js';
import { axisIndex, refuseUnless, type Kernel, type Loading } from '../operator.js';
import { axisOf, inGraphOrder, type Tensor, type TensorFlow } from '../tensors.js';

export function gather({ tf, node }: Loading): Kernel {
  return (run) => {
    const dims = run.inputDims(0);
    const axis = axisIndex(attribute(node, 'axis', 'int') ?? 0, dims.length);
    const indices = fromTheEnd(tf, inGraphOrder(tf, run.input(1)), dims[axis]!);
    const value = run.input(0);
    // One index list in the place of one axis: the others stay where they are.
    if (indices.rank === 1) {
      const { tensor, channelsLast } = value;
      return { tensor: tf.gather(tensor, indices, axisOf(value, axis)), channelsLast };
    }
    const flat = tf.gather(inGraphOrder(tf, value), tf.reshape(indices, [indices.size]), axis);
    return { tensor: tf.reshape(flat, [...run.outputDims(0)]), channelsLast: false };
  };
}

/** Along the last axis, where every row has indices of its own. */
export function gatherElements({ tf, node }: Loading): Kernel {
  return (run) => {
    const [dims, indexDims] = [run.inputDims(0), run.inputDims(1)];
    const axis = axisIndex(attribute(node, 'axis', 'int') ?? 0, dims.length);
    const rowsAgree = axis === dims.length - 1 && dims.slice(0, -1).every((size, each) => size === indexDims[each]);
    refuseUnless(node, rowsAgree, 'another axis than the last, or indices for a part of the rows,');
    const [data, indices] = [0, 1].map((index) => inGraphOrder(tf, run.input(index))) as [Tensor, Tensor];
    const rows = elementCount(dims.slice(0, -1));
    const picked = pickInRows(tf, tf.reshape(data, [rows, dims[axis]!]), tf.reshape(indices, [rows, indexDims[axis]!]));
    return { tensor: tf.reshape(picked, [...indexDims]), channelsLast: false };
  };
}

/** Each index in the last axis of the indices names one entry of the axis behind the batch: maps by class, say. */
export function gatherND({ tf, node }: Loading): Kernel {
  const batchDims = attribute(node, 'batch_dims', 'int') ?? 0;
  return (run) => {
    const [dims, indexDims] = [run.inputDims(0), run.inputDims(1)];
    refuseUnless(node, indexDims.at(-1) === 1, `an index of ${indexDims.at(-1) ?? 0} numbers`);
    const value = run.input(0);
    const batch = elementCount(dims.slice(0, batchDims));
    const perRow = elementCount(indexDims) / batch;
    const indices = tf.reshape(inGraphOrder(tf, run.input(1)), [batch, perRow]);
    if (value.channelsLast && batchDims === 1 && indexDims.length === 3) {
      const [, channels, height, width] = dims as [number, number, number, number];
      const cells = height * width;
      const everywhere = tf.reshape(tf.tile(indices, [1, cells]), [batch * cells, perRow]);
      const picked = pickInRows(tf, tf.reshape(value.tensor, [batch * cells, channels]), everywhere);
      return { tensor: tf.reshape(picked, [batch, height, width, perRow]), channelsLast: true };
    }
    const rows = tf.reshape(inGraphOrder(tf, value), [batch, ...dims.slice(batchDims)]);
    return { tensor: tf.reshape(pickInRows(tf, rows, indices), [...run.outputDims(0)]), channelsLast: false };
  };
}

/** data [R, L, …], indices [R, C] → [R·C, …]: the entries of each row that its own indices name. */
function pickInRows(tf: TensorFlow, data: Tensor, indices: Tensor): Tensor {
  const [rows, length, ...rest] = data.shape as [number, number, ...number[]];
  const starts = tf.tensor2d(
    Int32Array.from({ length: rows }, (_, row) => row * length),
    [rows, 1],
    'int32',
  );
  const all = tf.add(fromTheEnd(tf, indices, length), starts);
  return tf.gather(tf.reshape(data, [rows * length, ...rest]), tf.reshape(all, [all.size]));
}

/** A negative index counts from the end. */
function fromTheEnd(tf: TensorFlow, indices: Tensor, size: number): Tensor {
  const whole = tf.cast(indices, 'int32');
  return tf.where(tf.less(whole, tf.scalar(0, 'int32')), tf.add(whole, tf.scalar(size, 'int32')), whole);
}
