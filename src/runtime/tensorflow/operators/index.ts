/** The operators of ONNX that this engine has, each with its kernel. Any other is refused when a session is opened. */
import type { Operator } from '../operator.js';
import { conv } from './convolution.js';
import * as elementwise from './elementwise.js';
import { broadcast, unary } from './elementwise.js';
import { gather, gatherElements, gatherND } from './indexing.js';
import { gemm, matMul } from './matrices.js';
import { batchNormalization, localResponseNormalization } from './normalization.js';
import { averagePool, globalAveragePool, globalMaxPool, maxPool } from './pooling.js';
import * as rearrangement from './rearrangement.js';
import { view } from './rearrangement.js';
import { argMax, reduce, softmax, topK } from './reductions.js';
import { gridSample } from './sampling.js';

/** By operator name. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  // Windows, channels, matrices.
  ['Conv', conv],
  ['MaxPool', maxPool],
  ['AveragePool', averagePool],
  ['GlobalAveragePool', globalAveragePool],
  ['GlobalMaxPool', globalMaxPool],
  ['Gemm', gemm],
  ['MatMul', matMul],
  ['BatchNormalization', batchNormalization],
  ['LRN', localResponseNormalization],
  ['DequantizeLinear', elementwise.dequantizeLinear],

  // Of one value.
  [
    'Abs',
    unary(
      ({ tf }) =>
        (x) =>
          tf.abs(x),
    ),
  ],
  ['Cast', elementwise.cast],
  [
    'Ceil',
    unary(
      ({ tf }) =>
        (x) =>
          tf.ceil(x),
    ),
  ],
  ['Clip', elementwise.clip],
  [
    'Cos',
    unary(
      ({ tf }) =>
        (x) =>
          tf.cos(x),
    ),
  ],
  ['Dropout', elementwise.dropout],
  ['Elu', elementwise.elu],
  [
    'Erf',
    unary(
      ({ tf }) =>
        (x) =>
          tf.erf(x),
    ),
  ],
  [
    'Exp',
    unary(
      ({ tf }) =>
        (x) =>
          tf.exp(x),
    ),
  ],
  [
    'Floor',
    unary(
      ({ tf }) =>
        (x) =>
          tf.floor(x),
    ),
  ],
  ['Gelu', elementwise.gelu],
  ['HardSigmoid', elementwise.hardSigmoid],
  ['HardSwish', elementwise.hardSwish],
  ['Identity', elementwise.identity],
  ['LeakyRelu', elementwise.leakyRelu],
  [
    'Log',
    unary(
      ({ tf }) =>
        (x) =>
          tf.log(x),
    ),
  ],
  ['Mish', elementwise.mish],
  [
    'Neg',
    unary(
      ({ tf }) =>
        (x) =>
          tf.neg(x),
    ),
  ],
  [
    'Not',
    unary(
      ({ tf }) =>
        (x) =>
          tf.logicalNot(x),
    ),
  ],
  [
    'Reciprocal',
    unary(
      ({ tf }) =>
        (x) =>
          tf.reciprocal(x),
    ),
  ],
  [
    'Relu',
    unary(
      ({ tf }) =>
        (x) =>
          tf.relu(x),
    ),
  ],
  [
    'Round',
    unary(
      ({ tf }) =>
        (x) =>
          tf.round(x),
    ),
  ],
  ['Selu', elementwise.selu],
  [
    'Sigmoid',
    unary(
      ({ tf }) =>
        (x) =>
          tf.sigmoid(x),
    ),
  ],
  [
    'Sign',
    unary(
      ({ tf }) =>
        (x) =>
          tf.sign(x),
    ),
  ],
  [
    'Sin',
    unary(
      ({ tf }) =>
        (x) =>
          tf.sin(x),
    ),
  ],
  [
    'Softplus',
    unary(
      ({ tf }) =>
        (x) =>
          tf.softplus(x),
    ),
  ],
  ['Softsign', elementwise.softsign],
  [
    'Sqrt',
    unary(
      ({ tf }) =>
        (x) =>
          tf.sqrt(x),
    ),
  ],
  [
    'Tanh',
    unary(
      ({ tf }) =>
        (x) =>
          tf.tanh(x),
    ),
  ],
  ['ThresholdedRelu', elementwise.thresholdedRelu],

  // Of several values, with broadcasting.
  ['Add', broadcast((tf, a, b) => tf.add(a, b))],
  ['Sub', broadcast((tf, a, b) => tf.sub(a, b))],
  ['Mul', broadcast((tf, a, b) => tf.mul(a, b))],
  ['Div', broadcast((tf, a, b) => tf.div(a, b))],
  ['Pow', broadcast((tf, a, b) => tf.pow(a, b))],
  // tf.prelu is wrong in the WebAssembly backend (4.22) for slopes that are not by channel.
  ['PRelu', broadcast((tf, x, slope) => tf.add(tf.relu(x), tf.mul(tf.minimum(x, 0), slope)))],
  ['Sum', broadcast((tf, a, b) => tf.add(a, b))],
  ['Max', broadcast((tf, a, b) => tf.maximum(a, b))],
  ['Min', broadcast((tf, a, b) => tf.minimum(a, b))],
  ['Mean', elementwise.meanOfAll],
  ['Equal', broadcast((tf, a, b) => tf.equal(a, b))],
  ['Greater', broadcast((tf, a, b) => tf.greater(a, b))],
  ['GreaterOrEqual', broadcast((tf, a, b) => tf.greaterEqual(a, b))],
  ['Less', broadcast((tf, a, b) => tf.less(a, b))],
  ['LessOrEqual', broadcast((tf, a, b) => tf.lessEqual(a, b))],
  ['And', broadcast((tf, a, b) => tf.logicalAnd(a, b))],
  ['Or', broadcast((tf, a, b) => tf.logicalOr(a, b))],
  ['Where', elementwise.where],

  // Over axes.
  ['ReduceL1', reduce((tf, x, axes, keep) => tf.sum(tf.abs(x), axes, keep))],
  ['ReduceL2', reduce((tf, x, axes, keep) => tf.sqrt(tf.sum(tf.square(x), axes, keep)))],
  ['ReduceLogSumExp', reduce((tf, x, axes, keep) => tf.logSumExp(x, axes, keep))],
  ['ReduceMax', reduce((tf, x, axes, keep) => tf.max(x, axes, keep))],
  ['ReduceMean', reduce((tf, x, axes, keep) => tf.mean(x, axes, keep))],
  ['ReduceMin', reduce((tf, x, axes, keep) => tf.min(x, axes, keep))],
  ['ReduceProd', reduce((tf, x, axes, keep) => tf.prod(x, axes, keep))],
  ['ReduceSum', reduce((tf, x, axes, keep) => tf.sum(x, axes, keep))],
  ['ReduceSumSquare', reduce((tf, x, axes, keep) => tf.sum(tf.square(x), axes, keep))],
  ['ArgMax', argMax],
  ['TopK', topK],
  ['Softmax', softmax((tf, x) => tf.softmax(x))],
  ['LogSoftmax', softmax((tf, x) => tf.logSoftmax(x))],

  // Rearrangement.
  ['Reshape', view],
  ['Flatten', view],
  ['Squeeze', view],
  ['Unsqueeze', view],
  ['Transpose', rearrangement.transpose],
  ['Concat', rearrangement.concat],
  ['Split', rearrangement.split],
  ['Slice', rearrangement.slice],
  ['Pad', rearrangement.pad],
  ['Expand', rearrangement.expand],
  ['Tile', rearrangement.tile],
  ['Shape', rearrangement.sizes],
  ['ConstantOfShape', rearrangement.constantOfShape],

  // Indexing.
  ['Gather', gather],
  ['GatherElements', gatherElements],
  ['GatherND', gatherND],
  ['GridSample', gridSample],
]);

/** Operators that are left out, and why: for the message. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  QuantizeLinear: 'TensorFlow.js has no 8-bit kernels; serve quantized models with FULLCONV_ENGINE=onnxruntime',
};
