/**
 * Conv in two dimensions. Kernels are transposed once, from [O, I, kh, kw] to [kh, kw, I, O]; bias and a ReLU behind
 * the convolution (fuse-relu.ts) are handed to TensorFlow with it.
 *
 * TensorFlow.js has no grouped convolution but the depthwise one: other groups are convolved one by one and joined.
 * TensorFlow's depthwise kernel ignores dilations (depthwise_conv_op.cc), so there the weights are spread with zeros.
 */
import { attribute } from '../../../graph/attributes.js';
import { windowsOf, type Window } from '../../../graph/windows.js';
import { ACTIVATION } from '../fuse-relu.js';
import { refuseUnless, requiredWeight, type Kernel, type Loading } from '../operator.js';
import { withChannelsLast, type Tensor, type Tensor4D, type TensorFlow } from '../tensors.js';
import { placeWindow, type PlacedWindow } from './windows.js';

export function conv(loading: Loading): Kernel {
  const { tf, node } = loading;
  const weight = requiredWeight(loading, 1);
  refuseUnless(node, weight.rank === 4, `a kernel of rank ${weight.rank}`);
  const [outputs, perGroup, ...kernel] = weight.shape as [number, number, number, number];
  const group = attribute(node, 'group', 'int') ?? 1;
  const windows = windowsOf(node, kernel);
  const hasBias = (node.inputs[2] ?? '') !== '';
  const bias = hasBias ? requiredWeight(loading, 2) : undefined;
  const part = { from: 0, count: outputs };
  const convolve =
    group > 1 && perGroup === 1
      ? depthwise(loading, weight, bias, windows, group)
      : group > 1
        ? grouped(loading, weight, bias, windows, group)
        : dense(loading, weight, bias, windows, part);
  return (run) => {
    const x = withChannelsLast(tf, run.input(0));
    const placed = windows.map((window, axis) => placeWindow(window, x.shape[axis + 1]!));
    return { tensor: convolve(x, placed), channelsLast: true };
  };
}

type Convolve = (x: Tensor4D, windows: readonly PlacedWindow[]) => Tensor4D;

/** The output channels that a kernel computes. */
interface Channels {
  readonly from: number;
  readonly count: number;
}

function dense(
  loading: Loading,
  weight: Tensor,
  bias: Tensor | undefined,
  windows: readonly Window[],
  { from, count }: Channels,
): Convolve {
  const { tf, keep } = loading;
  const filter = keep(() => {
    const [, ...rest] = weight.shape;
    return tf.transpose(tf.slice(weight, [from, 0, 0, 0], [count, ...rest]), [2, 3, 1, 0]) as Tensor4D;
  });
  const fused = fusedWith(loading, bias && keep(() => tf.slice(bias, [from], [count])));
  const dilations = pair(windows, ({ dilation }) => dilation);
  const strides = pair(windows, ({ stride }) => stride);
  return (x, placed) => tf.fused.conv2d({ x, filter, strides, dilations, pad: padding(placed), ...fused });
}

function grouped(
  loading: Loading,
  weight: Tensor,
  bias: Tensor | undefined,
  windows: readonly Window[],
  group: number,
): Convolve {
  const { tf } = loading;
  const count = weight.shape[0] / group;
  const parts = Array.from({ length: group }, (_, index) =>
    dense(loading, weight, bias, windows, { from: index * count, count }),
  );
  return (x, placed) => {
    const inputs = tf.split<Tensor4D>(x, group, 3);
    return tf.concat(
      parts.map((convolve, index) => convolve(inputs[index]!, placed)),
      3,
    );
  };
}

function depthwise(
  loading: Loading,
  weight: Tensor,
  bias: Tensor | undefined,
  windows: readonly Window[],
  channels: number,
): Convolve {
  const { tf, node, keep } = loading;
  const strides = pair(windows, ({ stride }) => stride);
  refuseUnless(node, strides[0] === strides[1], `a depthwise convolution with the strides ${strides.join(' and ')}`);
  const filter = keep(() => {
    const [outputs, , height, width] = weight.shape as [number, number, number, number];
    const byChannel = tf.reshape(weight, [channels, outputs / channels, height, width]);
    const transposed = tf.transpose(byChannel, [2, 3, 0, 1]) as Tensor4D;
    return spread(
      tf,
      transposed,
      pair(windows, ({ dilation }) => dilation),
    );
  });
  const fused = fusedWith(loading, bias && keep(() => tf.clone(bias)));
  return (x, placed) => {
    // The library's type omits explicit padding, but every backend takes it.
    const pad = padding(placed) as unknown as number;
    return tf.fused.depthwiseConv2d({ x, filter, strides, pad, ...fused });
  };
}

/** A kernel [kh, kw, I, m] that reaches as far as the dilated one does, with zeros between its weights. */
function spread(tf: TensorFlow, filter: Tensor4D, [down, across]: [number, number]): Tensor4D {
  const [height, width, inputs, outputs] = filter.shape;
  const rest = inputs * outputs;
  const rows = tf.pad(tf.reshape(filter, [height, 1, width * rest]), [NONE, [0, down - 1], NONE]);
  const cells = tf.pad(tf.reshape(rows, [height * down, width, 1, rest]), [NONE, NONE, [0, across - 1], NONE]);
  const wide = tf.reshape(cells, [height * down, width * across, inputs, outputs]);
  return tf.slice(wide, [0, 0, 0, 0], [(height - 1) * down + 1, (width - 1) * across + 1, inputs, outputs]) as Tensor4D;
}

const NONE: [number, number] = [0, 0];

function fusedWith({ node }: Loading, bias: Tensor | undefined): { bias?: Tensor; activation: 'relu' | 'linear' } {
  const activation = attribute(node, ACTIVATION, 'string') === 'relu' ? 'relu' : 'linear';
  return bias === undefined ? { activation } : { bias, activation };
}

function pair(windows: readonly Window[], value: (window: Window) => number): [number, number] {
  return [value(windows[0]!), value(windows[1]!)];
}

function padding([rows, columns]: readonly PlacedWindow[]): [[0, 0], [number, number], [number, number], [0, 0]] {
  return [
    [0, 0],
    [rows!.before, rows!.after],
    [columns!.before, columns!.after],
    [0, 0],
  ];
}
