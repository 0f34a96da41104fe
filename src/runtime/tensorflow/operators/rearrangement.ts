/** Operators that move values and compute none: views, transpositions, joins and cuts, padding, repetition. */
import { attribute, requiredAttribute } from '../../../graph/attributes.js';
import { elementCount } from '../../../tensor.js';
import { axisIndex, constantNumber, integersOf, refuseUnless, type Kernel, type Loading } from '../operator.js';
import { alongAxes, axisOf, inGraphOrder, inOneOrder, transpose as transposed, type Tensor } from '../tensors.js';

/** Reshape, Flatten, Squeeze, Unsqueeze: the values in the graph's order, in other dimensions. */
export function view({ tf }: Loading): Kernel {
  return (run) => ({
    tensor: tf.reshape(inGraphOrder(tf, run.input(0)), [...run.outputDims(0)]),
    channelsLast: false,
  });
}

/** A transposition from or to channels last moves no value: it only changes the order that the value records. */
export function transpose({ tf, node }: Loading): Kernel {
  const given = attribute(node, 'perm', 'ints');
  return (run) => {
    const value = run.input(0);
    const { length: rank } = run.inputDims(0);
    const perm = given ?? [...Array(rank).keys()].reverse();
    const order = perm.map((axis) => axisOf(value, axis));
    const stays = order.every((axis, index) => axis === index);
    if (stays) return { tensor: value.tensor, channelsLast: false };
    if (!value.channelsLast && perm.join() === '0,3,1,2') return { tensor: value.tensor, channelsLast: true };
    return { tensor: transposed(tf, value.tensor, order), channelsLast: false };
  };
}

export function concat({ tf, node }: Loading): Kernel {
  const given = requiredAttribute(node, 'axis', 'int');
  return (run) => {
    const axis = axisIndex(given, run.inputDims(0).length);
    const values = node.inputs.map((_, index) => run.input(index));
    const { tensors, channelsLast } = inOneOrder(tf, values);
    return { tensor: tf.concat(tensors, axisOf({ channelsLast }, axis)), channelsLast };
  };
}

export function split({ tf, node }: Loading): Kernel {
  return (run) => {
    const axis = axisIndex(attribute(node, 'axis', 'int') ?? 0, run.inputDims(0).length);
    const { tensor, channelsLast } = run.input(0);
    const sizes = node.outputs.map((_, index) => run.outputDims(index)[axis]!);
    return tf.split(tensor, sizes, axisOf({ channelsLast }, axis)).map((part) => ({ tensor: part, channelsLast }));
  };
}

export function slice({ tf, node }: Loading): Kernel {
  return (run) => {
    const dims = run.inputDims(0);
    const { tensor, channelsLast } = run.input(0);
    const starts = integersOf(node, run, 1, 'starts') ?? [];
    const axes = integersOf(node, run, 3, 'axes') ?? [...starts.keys()];
    const steps = run.integers(4) ?? starts.map(() => 1);
    let result = tensor;
    for (const [position, given] of axes.entries()) {
      const axis = axisIndex(given, dims.length);
      const [size, step, count] = [dims[axis]!, steps[position]!, run.outputDims(0)[axis]!];
      const last = step > 0 ? size : size - 1;
      const start = Math.min(Math.max(starts[position]! < 0 ? starts[position]! + size : starts[position]!, 0), last);
      result = cut(result, axisOf({ channelsLast }, axis), { start, step, count });
    }
    return { tensor: result, channelsLast };
  };

  function cut(
    x: Tensor,
    axis: number,
    { start, step, count }: { start: number; step: number; count: number },
  ): Tensor {
    if (step === 1) {
      const begin = x.shape.map((_, each) => (each === axis ? start : 0));
      return tf.slice(x, begin, x.shape.with(axis, count));
    }
    const picked = Int32Array.from({ length: count }, (_, index) => start + index * step);
    return tf.gather(x, tf.tensor1d(picked, 'int32'), axis);
  }
}

export function pad(loading: Loading): Kernel {
  const { tf, node } = loading;
  const mode = attribute(node, 'mode', 'string') ?? 'constant';
  refuseUnless(node, mode === 'constant' || mode === 'reflect', `the mode ${mode}`);
  const value = constantNumber(loading, 2, 'value') ?? 0;
  return (run) => {
    const { length: rank } = run.inputDims(0);
    const { tensor, channelsLast } = run.input(0);
    const pads = integersOf(node, run, 1, 'pads') ?? [];
    const axes = (run.integers(3) ?? [...Array(rank).keys()]).map((axis) => axisIndex(axis, rank));
    const amounts = Array.from({ length: rank }, (_, axis): [number, number] => {
      const position = axes.indexOf(axis);
      return position < 0 ? [0, 0] : [pads[position]!, pads[position + axes.length]!];
    });
    const added = amounts.map(([before, after]): [number, number] => [Math.max(0, before), Math.max(0, after)]);
    const inOrder = alongAxes({ channelsLast }, added);
    const padded = mode === 'reflect' ? tf.mirrorPad(tensor, inOrder, 'reflect') : tf.pad(tensor, inOrder, value);
    // A negative amount takes cells away.
    if (amounts.flat().every((amount) => amount >= 0)) return { tensor: padded, channelsLast };
    const begin = amounts.map(([before]) => Math.max(0, -before));
    const cut = tf.slice(padded, alongAxes({ channelsLast }, begin), alongAxes({ channelsLast }, run.outputDims(0)));
    return { tensor: cut, channelsLast };
  };
}

export function expand({ tf }: Loading): Kernel {
  return (run) => ({
    tensor: tf.broadcastTo(inGraphOrder(tf, run.input(0)), [...run.outputDims(0)]),
    channelsLast: false,
  });
}

export function tile({ tf, node }: Loading): Kernel {
  return (run) => {
    const { tensor, channelsLast } = run.input(0);
    const repeats = integersOf(node, run, 1, 'repeats') ?? [];
    return { tensor: tf.tile(tensor, alongAxes({ channelsLast }, repeats)), channelsLast };
  };
}

/** A tensor of zeros; any other value is refused. */
export function constantOfShape({ tf, node }: Loading): Kernel {
  const given = attribute(node, 'value', 'tensor');
  refuseUnless(node, given === undefined || given.data.kind === 'inline', 'a value in a file');
  const isZero = given?.data.kind !== 'inline' || given.data.bytes.every((byte) => byte === 0);
  refuseUnless(node, isZero, 'another value than 0');
  const type = given === undefined || given.dataType.startsWith('float') ? 'float32' : 'int32';
  return (run) => ({ tensor: tf.zeros([...run.outputDims(0)], type), channelsLast: false });
}

/** Sizes as a tensor: needed only if something other than a shape is made of them. */
export function sizes({ tf, node }: Loading): Kernel {
  return (run) => {
    const { length: rank } = run.inputDims(0);
    const begin = axisIndex(attribute(node, 'start', 'int') ?? 0, rank);
    const dims = run.inputDims(0).slice(begin, begin + elementCount(run.outputDims(0)));
    return { tensor: tf.tensor1d(dims, 'int32'), channelsLast: false };
  };
}
