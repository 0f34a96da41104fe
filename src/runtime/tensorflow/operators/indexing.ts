/** What looks values up by index: Gather, GatherElements, GatherND, in the forms that TensorFlow's gather has. */
import { attribute } from '../../../graph/attributes.js';
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
    const indices = fromTheEnd(tf, inGraphOrder(tf, run.input(1)), dims[axis]!);
    return { tensor: tf.gather(inGraphOrder(tf, run.input(0)), indices, axis, axis), channelsLast: false };
  };
}

/** Each index in the last axis of the indices names one entry of the axis behind the batch: maps by class, say. */
export function gatherND({ tf, node }: Loading): Kernel {
  const batchDims = attribute(node, 'batch_dims', 'int') ?? 0;
  return (run) => {
    const indexDims = run.inputDims(1);
    refuseUnless(node, indexDims.at(-1) === 1, `an index of ${indexDims.at(-1) ?? 0} numbers`);
    const value = run.input(0);
    const single = tf.reshape(inGraphOrder(tf, run.input(1)), indexDims.slice(0, -1));
    const indices = fromTheEnd(tf, single, run.inputDims(0)[batchDims]!);
    if (value.channelsLast && batchDims === 1 && indices.rank === 2) {
      return { tensor: tf.gather(value.tensor, indices, axisOf(value, 1), 1), channelsLast: true };
    }
    return { tensor: tf.gather(inGraphOrder(tf, value), indices, batchDims, batchDims), channelsLast: false };
  };
}

/** A negative index counts from the end. */
function fromTheEnd(tf: TensorFlow, indices: Tensor, size: number): Tensor {
  const whole = tf.cast(indices, 'int32');
  return tf.where(tf.less(whole, tf.scalar(0, 'int32')), tf.add(whole, tf.scalar(size, 'int32')), whole);
}
