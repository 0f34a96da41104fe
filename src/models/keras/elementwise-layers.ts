/** Layers that work element by element: activations, normalizations, and layers that join branches. */
import { z } from 'zod';
import { float, int } from '../../graph/attributes.js';
import { elementCount } from '../../tensor.js';
import { activate, clip, leakyRelu } from './activations.js';
import {
  activationName,
  axisList,
  checkChannels,
  layer,
  layerOnOne,
  optional,
  type LayerClass,
  type LayerTools,
  type Value,
} from './layer.js';

// ---- activations -------------------------------------------------------------------------------------------------

const number = z.number();

/** For layers that do nothing at inference. */
export const identity = layerOnOne(z.unknown(), (_, _tools, x) => x);

export const activation = layerOnOne(z.object({ activation: activationName }), (config, tools, x) =>
  activate(tools, x, config.activation),
);

/** min(max_value, x) for x ≥ `threshold`, negative_slope·(x − threshold) below. */
export const relu = layerOnOne(
  z.object({ max_value: number.nullish(), negative_slope: optional(number, 0), threshold: optional(number, 0) }),
  ({ max_value: most, negative_slope: slope, threshold }, tools, x) => {
    if (slope !== 0 && threshold !== 0) throw tools.fail('threshold', 'cannot be combined with negative_slope');
    const bounded = most ?? undefined;
    if (threshold !== 0) {
      const above = tools.node('ThresholdedRelu', [x.name], { alpha: float(threshold) });
      return { ...x, name: bounded === undefined ? above : clip(tools, above, undefined, bounded) };
    }
    if (slope !== 0) {
      const leaky = leakyRelu(tools, x.name, slope);
      return { ...x, name: bounded === undefined ? leaky : clip(tools, leaky, undefined, bounded) };
    }
    return { ...x, name: bounded === undefined ? tools.node('Relu', [x.name]) : clip(tools, x.name, 0, bounded) };
  },
);

/** The slope is called `alpha` before Keras 3, and `negative_slope` since then. */
export const leakyReLU = layerOnOne(
  z.object({ alpha: number.nullish(), negative_slope: number.nullish() }),
  ({ alpha, negative_slope: slope }, tools, x) => ({ ...x, name: leakyRelu(tools, x.name, slope ?? alpha ?? 0.3) }),
);

export const elu = layerOnOne(z.object({ alpha: optional(number, 1) }), ({ alpha }, tools, x) => ({
  ...x,
  name: tools.node('Elu', [x.name], { alpha: float(alpha) }),
}));

export const thresholdedRelu = layerOnOne(z.object({ theta: optional(number, 1) }), ({ theta }, tools, x) => ({
  ...x,
  name: tools.node('ThresholdedRelu', [x.name], { alpha: float(theta) }),
}));

/** The slopes have the shape of an image, with size 1 along shared axes. */
export const prelu = layerOnOne(z.unknown(), (_, tools, x) => {
  const alpha = tools.weight(x.rank - 1, 'alpha');
  if (elementCount(alpha.dims) === 1) return { ...x, name: tools.node('PRelu', [x.name, tools.parameter(alpha, [1])]) };
  const [h, w, channels] = alpha.dims as [number, number, number];
  const slope = x.rank === 4 ? tools.parameter(alpha, [channels, h, w], [2, 0, 1]) : tools.parameter(alpha, alpha.dims);
  return { ...x, name: tools.node('PRelu', [x.name, slope]) };
});

export const softmax = layerOnOne(z.object({ axis: optional(axisList, [-1]) }), ({ axis }, tools, x) => {
  checkChannels(tools, axis, x.rank);
  return activate(tools, x, 'softmax');
});

// ---- normalizations ----------------------------------------------------------------------------------------------

export const batchNormalization = layerOnOne(
  z.object({
    axis: optional(axisList, [-1]),
    epsilon: optional(number, 1e-3),
    center: optional(z.boolean(), true),
    scale: optional(z.boolean(), true),
  }),
  ({ axis, epsilon, center, scale }, tools, x) => {
    checkChannels(tools, axis, x.rank);
    if (x.rank !== 2 && x.rank !== 4) throw tools.fail('inbound_nodes', `its input has rank ${x.rank}, not 2 or 4`);
    const mean = tools.weight(1, 'moving_mean');
    const channels = mean.dims[0]!;
    const vector = (name: string): string => {
      const weight = tools.weight(1, name);
      return tools.parameter(weight, weight.dims);
    };
    const all = (value: number): string => tools.constant('float32', [channels], Array<number>(channels).fill(value));
    const [gamma, beta] = [scale ? vector('gamma') : all(1), center ? vector('beta') : all(0)];
    const inputs = [x.name, gamma, beta, vector('moving_mean'), vector('moving_variance')];
    return { ...x, name: tools.node('BatchNormalization', inputs, { epsilon: float(epsilon) }) };
  },
);

const perChannel = z.union([number.transform((value) => [value]), z.array(number)]);

/** A constant of one number for all channels or one for each, shaped to broadcast along the channels of `x`. */
function channelConstant(tools: LayerTools, x: Value, values: readonly number[]): string {
  return tools.constant('float32', channelDims(x, values.length), values);
}

const channelDims = ({ rank }: Value, channels: number): number[] => (rank === 4 ? [channels, 1, 1] : [channels]);

/** x·scale + offset. */
export const rescaling = layerOnOne(
  z.object({ scale: perChannel, offset: optional(perChannel, [0]) }),
  ({ scale, offset }, tools, x) => {
    const scaled = tools.node('Mul', [x.name, channelConstant(tools, x, scale)]);
    return { ...x, name: tools.node('Add', [scaled, channelConstant(tools, x, offset)]) };
  },
);

/** Keras's epsilon, the smallest deviation that it divides by. */
const SMALLEST_DEVIATION = 1e-7;

/** (x − mean) / max(√variance, epsilon) for each channel; the moments are options or, if learned, weights. */
export const normalization = layerOnOne(
  z.object({
    axis: axisList.nullish(),
    mean: perChannel.nullish(),
    variance: perChannel.nullish(),
    invert: z.literal(false, 'cannot be read').nullish(),
  }),
  ({ axis, mean, variance }, tools, x) => {
    if (axis && axis.length > 0) checkChannels(tools, axis, x.rank);
    if (mean && variance) {
      const deviations = variance.map((value) => Math.max(Math.sqrt(value), SMALLEST_DEVIATION));
      const centred = tools.node('Sub', [x.name, channelConstant(tools, x, mean)]);
      return { ...x, name: tools.node('Div', [centred, channelConstant(tools, x, deviations)]) };
    }
    const moment = (name: string): string => {
      const weight = tools.weight(axis && axis.length > 0 ? 1 : 0, name);
      return tools.parameter(weight, channelDims(x, elementCount(weight.dims)));
    };
    const centred = tools.node('Sub', [x.name, moment('mean')]);
    const smallest = tools.constant('float32', [], [SMALLEST_DEVIATION]);
    const deviation = tools.node('Max', [tools.node('Sqrt', [moment('variance')]), smallest]);
    return { ...x, name: tools.node('Div', [centred, deviation]) };
  },
);

// ---- branches ----------------------------------------------------------------------------------------------------

/** A class of layers that join any number of inputs, brought to the same rank. */
function joining(join: (tools: LayerTools, names: readonly string[]) => string): LayerClass {
  return layer(z.unknown(), (_, tools, inputs) => {
    const rank = Math.max(...inputs.map((input) => input.rank));
    if (inputs.length === 0) throw tools.fail('inbound_nodes', 'has no inputs');
    return {
      name: join(
        tools,
        inputs.map((input) => withRank(tools, input, rank)),
      ),
      rank,
    };
  });
}

/** A vector joins a map as one value for each channel. Throws GraphError for other ranks. */
function withRank(tools: LayerTools, { name, rank }: Value, wanted: number): string {
  if (rank === wanted) return name;
  if (rank === 2 && wanted === 4) return tools.node('Unsqueeze', [name, tools.constant('int64', [2], [2, 3])]);
  throw tools.fail('inbound_nodes', `a value of rank ${rank} cannot join one of rank ${wanted}`);
}

const pairwise = (op: string): LayerClass =>
  joining((tools, names) => names.reduce((sum, name) => tools.node(op, [sum, name])));
const atOnce = (op: string): LayerClass => joining((tools, names) => tools.node(op, names));

export const add = pairwise('Add');
export const multiply = pairwise('Mul');
export const subtract = joining((tools, names) => {
  if (names.length !== 2) throw tools.fail('inbound_nodes', `has ${names.length} inputs, not two`);
  return tools.node('Sub', names);
});
export const average = atOnce('Mean');
export const maximum = atOnce('Max');
export const minimum = atOnce('Min');

export const concatenate = layer(z.object({ axis: optional(axisList, [-1]) }), ({ axis }, tools, inputs) => {
  const rank = inputs[0]?.rank ?? 0;
  if (inputs.some((input) => input.rank !== rank)) throw tools.fail('inbound_nodes', 'its inputs differ in rank');
  checkChannels(tools, axis, rank);
  const names = inputs.map(({ name }) => name);
  return { name: tools.node('Concat', names, { axis: int(rank === 4 ? 1 : rank - 1) }), rank };
});
