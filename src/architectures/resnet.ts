/**
 * Residual networks with the activation after the addition, and their plain counterparts. All end in global average
 * pooling and one fully connected layer.
 *
 * - ResNet (He 2016a, table 1), in torchvision's form "v1.5": in a bottleneck the stride is on the 3×3
 *   convolution; `_v1` is the paper's own, with the stride on the first 1×1.
 * - plain: the same without shortcuts (He 2016a, figure 3, middle; figure 6, left, for CIFAR-10).
 * - Wide ResNet for ImageNet (Zagoruyko 2016, tables 7 and 8), ResNeXt (Xie 2017, table 1).
 * - ResNet for CIFAR-10 (He 2016a, section 4.2): three stages, shortcuts without parameters (option A).
 *
 * Parameter names are torchvision's; those for CIFAR are akamaster's (pytorch_resnet_cifar10).
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';
import { STEM_WINDOWS, type Stem } from './stem.js';

export interface ResNetOptions extends CommonOptions {
  /** Channels of the first stage, and of the stem unless the net is a wide one; they double from stage to stage. */
  readonly width: number;
  readonly stem: Stem;
}

interface Variant {
  readonly defaults: ResNetOptions;
  /** Blocks in each stage. */
  readonly blocks: readonly number[];
  readonly bottleneck: boolean;
  /** Channels of the stem. Default: those of the first stage. */
  readonly stemWidth?: number;
  /**
   * The shortcut if the shape changes: option A (`padding`) or B (`projection`) of He 2016a; `none`: no shortcut at
   * all.
   */
  readonly shortcut: 'projection' | 'padding' | 'none';
  /** The convolution of a bottleneck to which its stride belongs. */
  readonly strideOn: 'conv1' | 'conv2';
  /** Groups of the 3×3 convolution of a bottleneck, and channels of each at width 64 (Xie 2017). */
  readonly groups: number;
  readonly groupWidth: number;
  /** Name of the fully connected layer. */
  readonly head: string;
}

const DEFAULTS: ResNetOptions = { ...IMAGENET_FORM, width: 64, stem: 'imagenet' };

const residual: Omit<Variant, 'blocks' | 'bottleneck'> = {
  defaults: DEFAULTS,
  shortcut: 'projection',
  strideOn: 'conv2',
  groups: 1,
  groupWidth: 64,
  head: 'fc',
};

const BLOCKS_18 = [2, 2, 2, 2];
const BLOCKS_34 = [3, 4, 6, 3];
const BLOCKS_50 = [3, 4, 6, 3];
const BLOCKS_101 = [3, 4, 23, 3];
const BLOCKS_152 = [3, 8, 36, 3];

const basic = (blocks: readonly number[]): Variant => ({ ...residual, blocks, bottleneck: false });
const bottleneck = (blocks: readonly number[]): Variant => ({ ...residual, blocks, bottleneck: true });

const plain = (variant: Variant): Variant => ({ ...variant, shortcut: 'none' });
const v1 = (variant: Variant): Variant => ({ ...variant, strideOn: 'conv1' });
/** `factor` times as many channels in the stages, and the stem as it was (Zagoruyko 2016). */
const widened = (variant: Variant, factor: number): Variant => ({
  ...variant,
  defaults: { ...variant.defaults, width: variant.defaults.width * factor },
  stemWidth: variant.defaults.width,
});
const grouped = (variant: Variant, groups: number, groupWidth: number): Variant => ({ ...variant, groups, groupWidth });

/** The net of 6n + 2 layers, n blocks in each stage. */
const cifar = (depth: number): Variant => ({
  ...basic(Array<number>(3).fill((depth - 2) / 6)),
  defaults: { ...CIFAR_FORM, width: 16, stem: 'cifar' },
  shortcut: 'padding',
  head: 'linear',
});

export const RESNETS = {
  plain18: plain(basic(BLOCKS_18)),
  plain34: plain(basic(BLOCKS_34)),
  resnet18: basic(BLOCKS_18),
  resnet34: basic(BLOCKS_34),
  resnet50: bottleneck(BLOCKS_50),
  resnet101: bottleneck(BLOCKS_101),
  resnet152: bottleneck(BLOCKS_152),
  resnet50_v1: v1(bottleneck(BLOCKS_50)),
  resnet101_v1: v1(bottleneck(BLOCKS_101)),
  resnet152_v1: v1(bottleneck(BLOCKS_152)),
  resnet20_cifar: cifar(20),
  resnet32_cifar: cifar(32),
  resnet44_cifar: cifar(44),
  resnet56_cifar: cifar(56),
  resnet110_cifar: cifar(110),
  resnet1202_cifar: cifar(1202),
  plain20_cifar: plain(cifar(20)),
  plain32_cifar: plain(cifar(32)),
  plain44_cifar: plain(cifar(44)),
  plain56_cifar: plain(cifar(56)),
  plain110_cifar: plain(cifar(110)),
  wide_resnet50_2: grouped(bottleneck(BLOCKS_50), 1, 128),
  wide_resnet101_2: grouped(bottleneck(BLOCKS_101), 1, 128),
  'wide_resnet18_1.5': widened(basic(BLOCKS_18), 1.5),
  wide_resnet18_2: widened(basic(BLOCKS_18), 2),
  wide_resnet18_3: widened(basic(BLOCKS_18), 3),
  wide_resnet18_4: widened(basic(BLOCKS_18), 4),
  'wide_resnet34_1.5': widened(basic(BLOCKS_34), 1.5),
  wide_resnet34_2: widened(basic(BLOCKS_34), 2),
  wide_resnet34_3: widened(basic(BLOCKS_34), 3),
  wide_resnet34_4: widened(basic(BLOCKS_34), 4),
  resnext50_32x4d: grouped(bottleneck(BLOCKS_50), 32, 4),
  resnext101_32x8d: grouped(bottleneck(BLOCKS_101), 32, 8),
  resnext101_64x4d: grouped(bottleneck(BLOCKS_101), 64, 4),
};

/** Output channels of a bottleneck, as a multiple of the stage's. */
const EXPANSION = 4;

interface Block {
  readonly name: string;
  readonly in: number;
  /** Channels inside the block. */
  readonly inner: number;
  readonly out: number;
  readonly stride: number;
}

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildResNet(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, width, stem } = options;
  if (variant.bottleneck && innerWidth(width, variant) === 0) {
    throw new Error(`${name}: option "width" is too small for groups of ${variant.groupWidth} channels, is ${width}`);
  }

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = variant.stemWidth ?? width;
  x = layers.conv(x, 'conv1', { in: 3, out: channels, ...STEM_WINDOWS[stem] });
  x = layers.activation(layers.batchNorm(x, 'bn1', channels), 'relu');
  if (stem === 'imagenet') x = layers.maxPool(x, 'maxpool', { kernel: 3, stride: 2, padding: 1 });

  for (const [stage, count] of variant.blocks.entries()) {
    const stageWidth = width * 2 ** stage;
    for (let i = 0; i < count; i += 1) {
      const block: Block = {
        name: `layer${stage + 1}.${i}`,
        in: channels,
        inner: variant.bottleneck ? innerWidth(stageWidth, variant) : stageWidth,
        out: variant.bottleneck ? stageWidth * EXPANSION : stageWidth,
        stride: stage > 0 && i === 0 ? 2 : 1,
      };
      const branch = variant.bottleneck ? bottleneckBranch(layers, x, block, variant) : basicBranch(layers, x, block);
      x =
        variant.shortcut === 'none'
          ? branch
          : join(builder, branch, shortcut(builder, layers, x, block, variant), block);
      x = layers.activation(x, `${block.name}.relu`);
      channels = block.out;
    }
  }
  x = layers.linear(layers.globalAverage(x), variant.head, { in: channels, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

function innerWidth(stageWidth: number, { groups, groupWidth }: Variant): number {
  return Math.floor((stageWidth * groupWidth) / 64) * groups;
}

/** 3×3, 3×3. */
function basicBranch(layers: Layers, x: string, { name, inner, out, stride, ...block }: Block): string {
  let y = layers.conv(x, `${name}.conv1`, { in: block.in, out: inner, kernel: 3, stride, padding: 1 });
  y = layers.activation(layers.batchNorm(y, `${name}.bn1`, inner), `${name}.relu1`);
  y = layers.conv(y, `${name}.conv2`, { in: inner, out, kernel: 3, padding: 1 });
  return layers.batchNorm(y, `${name}.bn2`, out);
}

/** 1×1, 3×3 in groups, 1×1. */
function bottleneckBranch(layers: Layers, x: string, block: Block, { strideOn, groups }: Variant): string {
  const { name, inner, out } = block;
  const strideOf = (layer: string): number => (layer === strideOn ? block.stride : 1);
  let y = layers.conv(x, `${name}.conv1`, { in: block.in, out: inner, kernel: 1, stride: strideOf('conv1') });
  y = layers.activation(layers.batchNorm(y, `${name}.bn1`, inner), `${name}.relu1`);
  const stride = strideOf('conv2');
  y = layers.conv(y, `${name}.conv2`, { in: inner, out: inner, kernel: 3, stride, padding: 1, groups });
  y = layers.activation(layers.batchNorm(y, `${name}.bn2`, inner), `${name}.relu2`);
  y = layers.conv(y, `${name}.conv3`, { in: inner, out, kernel: 1 });
  return layers.batchNorm(y, `${name}.bn3`, out);
}

function join(builder: GraphBuilder, branch: string, other: string, { name }: Block): string {
  return builder.node('Add', [branch, other], { name: `${name}.add` });
}

/** The identity if the shape stays; otherwise a 1×1 convolution, or every other cell, with channels of zeros around. */
function shortcut(builder: GraphBuilder, layers: Layers, x: string, block: Block, { shortcut: kind }: Variant): string {
  const { name, out, stride } = block;
  if (stride === 1 && block.in === out) return x;
  if (kind === 'projection') {
    const projected = layers.conv(x, `${name}.downsample.0`, { in: block.in, out, kernel: 1, stride });
    return layers.batchNorm(projected, `${name}.downsample.1`, out);
  }
  const thinned = layers.maxPool(x, `${name}.downsample.thin`, { kernel: 1, stride });
  const before = Math.floor((out - block.in) / 2);
  const amounts = [0, before, 0, 0, 0, out - block.in - before, 0, 0];
  const pads = builder.constant(`${name}.downsample.pads`, 'int64', [8], amounts);
  return builder.node('Pad', [thinned, pads], { name: `${name}.downsample.pad` });
}
