/**
 * EfficientNet-Lite 0 to 4 (Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite"): EfficientNet (Tan
 * 2019, table 1) without squeeze and excitation and with ReLU6, so that it quantizes well. It is made of inverted
 * residuals (Sandler 2018): a 1×1 convolution widens the channels, a depthwise one looks around, another 1×1 narrows
 * them again, without an activation. Depth and width are scaled; the stem, the head and the repeats of the first and
 * last stage stay.
 *
 * Each net has two forms, with timm's names for nets and parameters: `tf_efficientnet_lite0` pads as TensorFlow does
 * and has its epsilon, as the published weights need; `efficientnet_lite0` pads evenly, as nets trained in torch do.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type ConvShape, type Layers } from './layers.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';
import { paddingOf, type PaddingConvention } from './padding.js';

export interface EfficientNetLiteOptions extends CommonOptions {
  readonly padding: PaddingConvention;
  /** Epsilon of batch normalization. */
  readonly epsilon: number;
}

interface Variant {
  readonly defaults: EfficientNetLiteOptions;
  /** Multiplies the repeats of a stage. */
  readonly depth: number;
  /** Multiplies the channels. */
  readonly width: number;
}

/** Side in pixels, and the multipliers (timm's efficientnet.py and Liu 2020 agree). */
const SCALES = [
  { inputSize: 224, width: 1, depth: 1 },
  { inputSize: 240, width: 1, depth: 1.1 },
  { inputSize: 260, width: 1.1, depth: 1.2 },
  { inputSize: 280, width: 1.2, depth: 1.4 },
  { inputSize: 300, width: 1.4, depth: 1.8 },
] as const;

type Index = 0 | 1 | 2 | 3 | 4;

const lite = (index: Index, padding: PaddingConvention, epsilon: number): Variant => {
  const { inputSize, width, depth } = SCALES[index];
  return { defaults: { ...IMAGENET_FORM, activation: 'relu6', inputSize, padding, epsilon }, width, depth };
};
const inTorch = (index: Index): Variant => lite(index, 'torch', 1e-5);
const inTensorflow = (index: Index): Variant => lite(index, 'tensorflow', 1e-3);

export const EFFICIENTNET_LITES = {
  efficientnet_lite0: inTorch(0),
  efficientnet_lite1: inTorch(1),
  efficientnet_lite2: inTorch(2),
  efficientnet_lite3: inTorch(3),
  efficientnet_lite4: inTorch(4),
  tf_efficientnet_lite0: inTensorflow(0),
  tf_efficientnet_lite1: inTensorflow(1),
  tf_efficientnet_lite2: inTensorflow(2),
  tf_efficientnet_lite3: inTensorflow(3),
  tf_efficientnet_lite4: inTensorflow(4),
};

interface Stage {
  readonly repeats: number;
  readonly kernel: number;
  /** Stride of the stage's first block. */
  readonly stride: number;
  /** Channels inside a block, as a multiple of its input channels. */
  readonly expansion: number;
  readonly channels: number;
}

/** Tan 2019, table 1, stages 2 to 8. */
const STAGES: readonly Stage[] = [
  { repeats: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
  { repeats: 2, kernel: 3, stride: 2, expansion: 6, channels: 24 },
  { repeats: 2, kernel: 5, stride: 2, expansion: 6, channels: 40 },
  { repeats: 3, kernel: 3, stride: 2, expansion: 6, channels: 80 },
  { repeats: 3, kernel: 5, stride: 1, expansion: 6, channels: 112 },
  { repeats: 4, kernel: 5, stride: 2, expansion: 6, channels: 192 },
  { repeats: 1, kernel: 3, stride: 1, expansion: 6, channels: 320 },
];

const STEM_CHANNELS = 32;
const HEAD_CHANNELS = 1280;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildEfficientNetLite(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, inputSize } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  /** Side of `x` in cells, for an input of the native size. */
  let nativeSide = inputSize;
  /** The next window over `x` with its padding; call it once a layer, in order, because it updates `nativeSide`. */
  const windowOf = (kernel: number, stride: number): Window => {
    const padding = paddingOf(options.padding, { kernel, stride, nativeSide });
    nativeSide = Math.ceil(nativeSide / stride);
    return { kernel, stride, padding };
  };

  const image = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let x = layers.conv(image, 'conv_stem', { in: 3, out: STEM_CHANNELS, ...windowOf(3, 2) });
  x = layers.activation(layers.batchNorm(x, 'bn1', STEM_CHANNELS), 'act1');
  let channels = STEM_CHANNELS;

  for (const { name: block, out, expansion, kernel, stride } of blocksOf(variant)) {
    const inner = channels * expansion;
    const branch = residualBranch(layers, x, block, { in: channels, inner, out, window: windowOf(kernel, stride) });
    const isResidual = stride === 1 && channels === out;
    x = isResidual ? builder.node('Add', [branch, x], { name: `${block}.add` }) : branch;
    channels = out;
  }

  x = layers.conv(x, 'conv_head', { in: channels, out: HEAD_CHANNELS, kernel: 1 });
  x = layers.activation(layers.batchNorm(x, 'bn2', HEAD_CHANNELS), 'act2');
  x = layers.linear(layers.globalAverage(x), 'classifier', { in: HEAD_CHANNELS, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

type Window = Required<Pick<ConvShape, 'kernel' | 'stride' | 'padding'>>;

interface Block {
  readonly name: string;
  readonly out: number;
  readonly expansion: number;
  readonly kernel: number;
  readonly stride: number;
}

/** The blocks of all stages, scaled. Only the first block of a stage has the stage's stride. */
function blocksOf({ depth, width }: Variant): Block[] {
  return STAGES.flatMap(({ repeats, channels, stride, ...shape }, index) => {
    const isOuter = index === 0 || index === STAGES.length - 1;
    const count = isOuter ? repeats : Math.ceil(repeats * depth);
    return Array.from({ length: count }, (_, block) => ({
      ...shape,
      name: `blocks.${index}.${block}`,
      out: roundChannels(channels * width),
      stride: block === 0 ? stride : 1,
    }));
  });
}

/** Rounds to a multiple of 8 that is at most a tenth below `wanted` (Sandler 2018). */
function roundChannels(wanted: number): number {
  const rounded = Math.max(8, Math.floor((wanted + 4) / 8) * 8);
  return rounded < 0.9 * wanted ? rounded + 8 : rounded;
}

interface BranchShape {
  readonly in: number;
  /** Channels of the depthwise convolution. */
  readonly inner: number;
  readonly out: number;
  /** Window of the depthwise convolution. */
  readonly window: Window;
}

/**
 * Widen, look around, narrow. A block that does not widen lacks the first layer; its layers are numbered without it.
 */
function residualBranch(layers: Layers, x: string, name: string, shape: BranchShape): string {
  const { inner, out, window } = shape;
  const widens = inner !== shape.in;
  const [wide, deep, narrow] = widens ? (['bn1', 'bn2', 'bn3'] as const) : (['', 'bn1', 'bn2'] as const);
  let y = x;
  if (widens) {
    y = layers.conv(y, `${name}.conv_pw`, { in: shape.in, out: inner, kernel: 1 });
    y = layers.activation(layers.batchNorm(y, `${name}.${wide}`, inner), `${name}.${wide}.act`);
  }
  y = layers.conv(y, `${name}.conv_dw`, { in: inner, out: inner, groups: inner, ...window });
  y = layers.activation(layers.batchNorm(y, `${name}.${deep}`, inner), `${name}.${deep}.act`);
  y = layers.conv(y, `${name}.${widens ? 'conv_pwl' : 'conv_pw'}`, { in: inner, out, kernel: 1 });
  return layers.batchNorm(y, `${name}.${narrow}`, out);
}
