/** Operators that work value by value: activations, arithmetic and comparisons with broadcasting, type casts. */
import { attribute, requiredAttribute } from '../../../graph/attributes.js';
import type { DataType, Node } from '../../../graph/graph.js';
import { dataTypeOf } from '../../../graph/onnx/data-types.js';
import {
  constantNumber,
  refuseOutputs,
  refuseUnless,
  requiredWeight,
  type Kernel,
  type Loading,
  type Operator,
} from '../operator.js';
import { inGraphOrder, inOneOrder, type Tensor, type TensorFlow } from '../tensors.js';

/** A function of one value, made for a node. */
type Function1 = (x: Tensor) => Tensor;

/** An operator of one value. The order of the tensor does not matter, so it stays. */
export function unary(make: (loading: Loading) => Function1): Operator {
  return (loading) => {
    const compute = make(loading);
    return (run) => {
      const { tensor, channelsLast } = run.input(0);
      return { tensor: compute(tensor), channelsLast };
    };
  };
}

/** A function of any number of values, two by two. */
export function broadcast(compute: (tf: TensorFlow, a: Tensor, b: Tensor) => Tensor): Operator {
  return ({ tf, node }) =>
    (run) => {
      const { tensors, channelsLast } = inOneOrder(
        tf,
        node.inputs.map((_, index) => run.input(index)),
      );
      return { tensor: tensors.reduce((a, b) => compute(tf, a, b)), channelsLast };
    };
}

export const where: Operator =
  ({ tf }) =>
  (run) => {
    const { tensors, channelsLast } = inOneOrder(
      tf,
      [0, 1, 2].map((index) => run.input(index)),
    );
    const [condition, a, b] = tensors as [Tensor, Tensor, Tensor];
    return { tensor: tf.where(condition, a, b), channelsLast };
  };

/** The mean of any number of values. */
export const meanOfAll: Operator = (loading) => {
  const sum = broadcast((tf, a, b) => tf.add(a, b))(loading);
  const { tf, node } = loading;
  return (run) => {
    const total = sum(run) as { tensor: Tensor; channelsLast: boolean };
    return { ...total, tensor: tf.div(total.tensor, node.inputs.length) };
  };
};

export const identity: Operator = (loading) => {
  refuseOutputs(loading.node, 1);
  return (run) => run.input(0);
};

/** Does nothing at inference. */
export const dropout: Operator = (loading) => {
  refuseUnless(loading.node, attribute(loading.node, 'is_test', 'int') !== 0 || loading.opset >= 7, 'training');
  return identity(loading);
};

export const clip = unary((loading) => {
  const low = constantNumber(loading, 1, 'min') ?? Number.NEGATIVE_INFINITY;
  const high = constantNumber(loading, 2, 'max') ?? Number.POSITIVE_INFINITY;
  const { tf } = loading;
  return (x) => tf.clipByValue(x, low, high);
});

/** Absent attributes have ONNX' defaults. */
const numberOf = (node: Node, name: string, fallback: number): number => attribute(node, name, 'float') ?? fallback;

export const leakyRelu = unary(({ tf, node }) => {
  const alpha = numberOf(node, 'alpha', 0.01);
  return (x) => tf.leakyRelu(x, alpha);
});

export const elu = unary(({ tf, node }) => {
  const alpha = numberOf(node, 'alpha', 1);
  if (alpha === 1) return (x) => tf.elu(x);
  return (x) => tf.where(tf.greater(x, 0), x, tf.mul(tf.expm1(x), alpha));
});

export const selu = unary(({ tf, node }) => {
  const alpha = numberOf(node, 'alpha', 1.6732632);
  const gamma = numberOf(node, 'gamma', 1.050701);
  return (x) => tf.mul(tf.where(tf.greater(x, 0), x, tf.mul(tf.expm1(x), alpha)), gamma);
});

export const hardSigmoid = unary(({ tf, node }) => {
  const alpha = numberOf(node, 'alpha', 0.2);
  const beta = numberOf(node, 'beta', 0.5);
  return (x) => tf.clipByValue(tf.add(tf.mul(x, alpha), beta), 0, 1);
});

export const hardSwish = unary(
  ({ tf }) =>
    (x) =>
      tf.mul(x, tf.clipByValue(tf.add(tf.mul(x, 1 / 6), 0.5), 0, 1)),
);

export const thresholdedRelu = unary(({ tf, node }) => {
  const alpha = numberOf(node, 'alpha', 1);
  return (x) => tf.where(tf.greater(x, alpha), x, tf.zerosLike(x));
});

export const softsign = unary(
  ({ tf }) =>
    (x) =>
      tf.div(x, tf.add(tf.abs(x), 1)),
);

export const mish = unary(
  ({ tf }) =>
    (x) =>
      tf.mul(x, tf.tanh(tf.softplus(x))),
);

export const gelu = unary(({ tf, node }) => {
  const half = (x: Tensor, inner: Tensor): Tensor => tf.mul(tf.mul(x, 0.5), tf.add(inner, 1));
  if (attribute(node, 'approximate', 'string') !== 'tanh') return (x) => half(x, tf.erf(tf.mul(x, Math.SQRT1_2)));
  const cubic = (x: Tensor): Tensor => tf.add(x, tf.mul(tf.pow(x, 3), 0.044715));
  return (x) => half(x, tf.tanh(tf.mul(cubic(x), Math.sqrt(2 / Math.PI))));
});

/** ONNX' types by TensorFlow.js'; half and double precision are computed in single. */
const TYPES: Readonly<Partial<Record<DataType, 'float32' | 'int32' | 'bool'>>> = {
  float32: 'float32',
  float16: 'float32',
  float64: 'float32',
  int32: 'int32',
  int64: 'int32',
  bool: 'bool',
};

export const cast = unary(({ tf, node }) => {
  const to = dataTypeOf(requiredAttribute(node, 'to', 'int'));
  const type = to && TYPES[to];
  refuseUnless(node, type !== undefined, `a cast to ${to ?? 'this type'}`);
  return (x) => tf.cast(x, type!);
});

/** (q − zero point) · scale, per channel or for all; 8-bit weights are restored by it once, at load. */
export function dequantizeLinear(loading: Loading): Kernel {
  const { tf, node, keep } = loading;
  const scale = requiredWeight(loading, 1);
  const zero = (node.inputs[2] ?? '') === '' ? undefined : requiredWeight(loading, 2);
  const given = attribute(node, 'axis', 'int') ?? 1;
  refuseUnless(node, scale.rank <= 1 && !attribute(node, 'block_size', 'int'), 'a scale for each block');
  const factor = keep(() => tf.clone(scale));
  const offset = keep(() => (zero === undefined ? tf.scalar(0) : tf.cast(zero, 'float32')));
  return (run) => {
    const q = tf.cast(inGraphOrder(tf, run.input(0)), 'float32');
    const axis = given < 0 ? given + q.rank : given;
    const along = q.shape.map((size, each) => (each === axis ? size : 1));
    const perAxis = (tensor: Tensor): Tensor => (tensor.size > 1 ? tf.reshape(tensor, along) : tf.reshape(tensor, []));
    return { tensor: tf.mul(tf.sub(q, perAxis(offset)), perAxis(factor)), channelsLast: false };
  };
}
