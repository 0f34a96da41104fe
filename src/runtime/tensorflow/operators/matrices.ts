/** Products of matrices: Gemm, MatMul. A constant second matrix is transposed once if the node requires it. */
import { attribute } from '../../../graph/attributes.js';
import type { Kernel, Loading } from '../operator.js';
import { inGraphOrder, type Tensor } from '../tensors.js';

/** α·A·B + β·C. */
export function gemm(loading: Loading): Kernel {
  const { tf, node, keep } = loading;
  const [transposesA, transposesB] = ['transA', 'transB'].map((name) => attribute(node, name, 'int') === 1);
  const alpha = attribute(node, 'alpha', 'float') ?? 1;
  const beta = attribute(node, 'beta', 'float') ?? 1;
  const weight = loading.weight(1);
  const kept = weight && keep(() => (transposesB ? tf.transpose(weight) : tf.clone(weight)));
  const hasBias = (node.inputs[2] ?? '') !== '';
  const scaled = (tensor: Tensor, factor: number): Tensor => (factor === 1 ? tensor : tf.mul(tensor, factor));
  return (run) => {
    const a = inGraphOrder(tf, run.input(0));
    const product = kept
      ? tf.matMul(a, kept, transposesA)
      : tf.matMul(a, inGraphOrder(tf, run.input(1)), transposesA, transposesB);
    const result = scaled(product, alpha);
    const tensor = hasBias ? tf.add(result, scaled(inGraphOrder(tf, run.input(2)), beta)) : result;
    return { tensor, channelsLast: false };
  };
}

/** As NumPy's matmul: leading axes are broadcast, and a vector is a matrix of one row or column. */
export function matMul({ tf }: Loading): Kernel {
  return (run) => {
    const [a, b] = [0, 1].map((index) => inGraphOrder(tf, run.input(index))) as [Tensor, Tensor];
    const row = a.rank === 1 ? tf.reshape(a, [1, a.size]) : a;
    const column = b.rank === 1 ? tf.reshape(b, [b.size, 1]) : b;
    return { tensor: tf.reshape(tf.matMul(row, column), [...run.outputDims(0)]), channelsLast: false };
  };
}
