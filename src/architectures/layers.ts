/**
 * The layers that the architectures are made of, as ONNX nodes with torchvision's parameter names: a layer called
 * `layer1.0.conv1` reads the parameter `layer1.0.conv1.weight`. Each takes and returns value names. The activation and
 * the epsilon of batch normalization are set once for the whole net.
 */
import { float, int, ints } from '../graph/attributes.js';
import type { GraphBuilder } from '../graph/build.js';

/**
 * Values of the option `activation`, with f(x) for x < 0 (for x ≥ 0 all but `relu6` are x):
 * - `relu`: 0 (Nair 2010)
 * - `relu6`: 0, and 6 for x > 6 (Krizhevsky 2010)
 * - `leaky_relu`: α·x, α the option `leakyAlpha`, 0.01 as published (Maas 2013)
 * - `prelu`: a·x, a learned, one for all channels of a layer (He 2015, "channel-shared"; torch's default)
 * - `elu`: α·(exp(x) − 1), α the option `eluAlpha`, 1 as published (Clevert 2016)
 */
export const ACTIVATIONS = ['relu', 'relu6', 'leaky_relu', 'prelu', 'elu'] as const;

export type Activation = (typeof ACTIVATIONS)[number];

export interface Layers {
  /** [N, in, H, W] → [N, out, H', W']. */
  conv(x: string, name: string, shape: ConvShape): string;
  /** Batch normalization with running statistics. */
  batchNorm(x: string, name: string, channels: number): string;
  /** The net's activation. A PReLU has the parameter `name.weight`. */
  activation(x: string, name: string): string;
  maxPool(x: string, name: string, window: PoolWindow): string;
  averagePool(x: string, name: string, window: PoolWindow): string;
  /** Global average pooling; [N, C, H, W] → [N, C]. `output` names the resulting value. */
  globalAverage(x: string, output?: string): string;
  /** x times a number. */
  scale(x: string, name: string, factor: number): string;
  /** Concatenates along the channels. */
  concat(branches: readonly string[], name: string): string;
  /** Fully connected; [N, in] → [N, out], weight [out, in]. `output` names the resulting value. */
  linear(x: string, name: string, shape: { in: number; out: number; output?: string; bias?: boolean }): string;
}

export interface ConvShape {
  readonly in: number;
  readonly out: number;
  /** Side, or height and width. */
  readonly kernel: Extent;
  readonly stride?: number;
  /** The same at both ends of each axis, or `before` and `behind` for both axes alike. */
  readonly padding?: Extent | { readonly before: number; readonly behind: number };
  /** Groups of channels that are convolved separately (cardinality, Xie 2017). */
  readonly groups?: number;
  readonly bias?: boolean;
}

export interface PoolWindow {
  readonly kernel: number;
  readonly stride: number;
  readonly padding?: number;
  /** Whether a last, partial window gives a cell too. */
  readonly ceil?: boolean;
  /** Whether padding counts as zeros in a mean, which is torch's default. */
  readonly countsPadding?: boolean;
}

type Extent = number | readonly [height: number, width: number];

export interface LayerDefaults {
  readonly activation: Activation;
  /** α of leaky_relu and of elu. Default: ONNX's, which are the published ones. */
  readonly leakyAlpha?: number;
  readonly eluAlpha?: number;
  /** Epsilon of batch normalization. Default: torch's. */
  readonly epsilon?: number;
}

/** torch's default epsilon of batch normalization. */
export const BATCH_NORM_EPSILON = 1e-5;

const OPERATORS = { relu: 'Relu', relu6: 'Clip', leaky_relu: 'LeakyRelu', prelu: 'PRelu', elu: 'Elu' } as const;

export function layersOn(
  builder: GraphBuilder,
  { activation, leakyAlpha = 0.01, eluAlpha = 1, epsilon = BATCH_NORM_EPSILON }: LayerDefaults,
): Layers {
  const operator = OPERATORS[activation];
  const alphas: Partial<Record<Activation, number>> = { leaky_relu: leakyAlpha, elu: eluAlpha };
  const alpha = alphas[activation];
  const attributes = alpha === undefined ? {} : { alpha: float(alpha) };
  /** The constants 0 and 6, shared by all activations of the net. */
  let bounds: string[] | undefined;
  const activationInputs = (name: string): string[] => {
    if (activation === 'prelu') return [builder.parameter(`${name}.weight`, [1])];
    if (activation !== 'relu6') return [];
    return (bounds ??= [0, 6].map((bound) => builder.constant(`relu6.${bound}`, 'float32', [], [bound])));
  };
  return {
    conv(x, name, { in: channels, out, kernel, stride = 1, padding = 0, groups = 1, bias = false }) {
      const weight = builder.parameter(`${name}.weight`, [out, channels / groups, ...pair(kernel)]);
      const parameters = bias ? [weight, builder.parameter(`${name}.bias`, [out])] : [weight];
      const attributes = { ...window(kernel, stride, padding), ...(groups === 1 ? {} : { group: int(groups) }) };
      return builder.node('Conv', [x, ...parameters], { name, attributes });
    },
    batchNorm(x, name, channels) {
      const parameters = ['weight', 'bias', 'running_mean', 'running_var'].map((parameter) =>
        builder.parameter(`${name}.${parameter}`, [channels]),
      );
      return builder.node('BatchNormalization', [x, ...parameters], { name, attributes: { epsilon: float(epsilon) } });
    },
    activation(x, name) {
      return builder.node(operator, [x, ...activationInputs(name)], { name, attributes });
    },
    maxPool: (x, name, shape) => builder.node('MaxPool', [x], { name, attributes: pooling(shape) }),
    averagePool(x, name, { countsPadding = true, ...shape }) {
      const attributes = { ...pooling(shape), count_include_pad: int(countsPadding ? 1 : 0) };
      return builder.node('AveragePool', [x], { name, attributes });
    },
    scale: (x, name, factor) =>
      builder.node('Mul', [x, builder.constant(`${name}.factor`, 'float32', [], [factor])], { name }),
    globalAverage(x, output = 'flatten') {
      const pooled = builder.node('GlobalAveragePool', [x], { name: 'avgpool' });
      return builder.node('Flatten', [pooled], { name: 'flatten', output, attributes: { axis: int(1) } });
    },
    concat: (branches, name) => builder.node('Concat', branches, { name, attributes: { axis: int(1) } }),
    linear(x, name, { in: features, out, output = name, bias = true }) {
      const weight = builder.parameter(`${name}.weight`, [out, features]);
      const parameters = bias ? [weight, builder.parameter(`${name}.bias`, [out])] : [weight];
      return builder.node('Gemm', [x, ...parameters], { name, output, attributes: { transB: int(1) } });
    },
  };
}

function pooling({ kernel, stride, padding = 0, ceil = false }: PoolWindow) {
  return { ...window(kernel, stride, padding), ...(ceil ? { ceil_mode: int(1) } : {}) };
}

function window(kernel: Extent, stride: number, padding: NonNullable<ConvShape['padding']>) {
  return { kernel_shape: ints(...pair(kernel)), strides: ints(stride, stride), pads: ints(...padsOf(padding)) };
}

/** In ONNX's order: before both axes, then behind them. */
function padsOf(padding: NonNullable<ConvShape['padding']>): number[] {
  if (typeof padding === 'number' || 'length' in padding) return [...pair(padding), ...pair(padding)];
  const { before, behind } = padding;
  return [before, before, behind, behind];
}

function pair(extent: Extent): readonly [height: number, width: number] {
  return typeof extent === 'number' ? [extent, extent] : extent;
}
