/**
 * Operators that scale values by statistics: BatchNormalization (if it could not be folded into a convolution), LRN.
 */
import { attribute, requiredAttribute } from '../../../graph/attributes.js';
import { refuseOutputs, refuseUnless, requiredWeight, type Kernel, type Loading } from '../operator.js';
import { inGraphOrder, withChannelsLast, type Tensor } from '../tensors.js';

/** x·s + (β − μ·s) with s = γ / √(σ² + ε), both made once. */
export function batchNormalization(loading: Loading): Kernel {
  const { tf, node, keep } = loading;
  refuseUnless(node, attribute(node, 'training_mode', 'int') !== 1, 'training');
  refuseUnless(node, attribute(node, 'spatial', 'int') !== 0, 'statistics for each position');
  refuseOutputs(node, 1);
  const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((index) => requiredWeight(loading, index)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const epsilon = attribute(node, 'epsilon', 'float') ?? 1e-5;
  const scale = keep(() => tf.div(gamma, tf.sqrt(tf.add(variance, epsilon))));
  const shift = keep(() => tf.sub(beta, tf.mul(mean, scale)));
  return (run) => {
    const value = run.input(0);
    const { length: rank } = run.inputDims(0);
    if (rank === 4) {
      return { tensor: tf.add(tf.mul(withChannelsLast(tf, value), scale), shift), channelsLast: true };
    }
    const perChannel = [-1, ...Array<number>(Math.max(0, rank - 2)).fill(1)];
    const [factor, offset] = [tf.reshape(scale, perChannel), tf.reshape(shift, perChannel)];
    return { tensor: tf.add(tf.mul(inGraphOrder(tf, value), factor), offset), channelsLast: false };
  };
}

/** TensorFlow multiplies the sum of squares by alpha, ONNX their mean over the window. */
export function localResponseNormalization({ tf, node }: Loading): Kernel {
  const size = requiredAttribute(node, 'size', 'int');
  refuseUnless(node, size % 2 === 1, `a window of ${size} channels, which has no middle,`);
  const alpha = attribute(node, 'alpha', 'float') ?? 1e-4;
  const beta = attribute(node, 'beta', 'float') ?? 0.75;
  const bias = attribute(node, 'bias', 'float') ?? 1;
  return (run) => {
    const x = withChannelsLast(tf, run.input(0));
    const tensor = tf.localResponseNormalization(x, (size - 1) / 2, bias, alpha / size, beta);
    return { tensor, channelsLast: true };
  };
}
