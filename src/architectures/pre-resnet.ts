/**
 * Residual networks with batch normalization and activation before each convolution (He 2016b, figure 4e), and the wide
 * ones for CIFAR-10 from the same blocks (Zagoruyko 2016, table 1). They end in a normalization, global average pooling
 * and a fully connected layer.
 *
 * Parameter names are those of timm's resnetv2: the fully connected layer is a 1×1 convolution, `head.fc`, on the
 * pooled map, and the stride of a bottleneck is on its 3×3 convolution. The nets `_keras` are Keras' ResNetV2, which
 * differs:
 *
 * - The last block of a stage has the stride; its shortcut is the identity, thinned out.
 * - The convolutions that no normalization follows (stem, the third of a block, shortcuts) have a bias.
 * - The stem's max-pooling pads with zeros, which can exceed its other inputs: no activation precedes it.
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';
import {
  activate,
  basicFunction,
  bottleneckFunction,
  finishPreActivationNet,
  type Unit,
} from './pre-activation-units.js';
import { STEM_WINDOWS, type Stem } from './stem.js';

export interface PreResNetOptions extends CommonOptions {
  /** Channels of the first stage; they double from stage to stage. */
  readonly width: number;
  readonly stem: Stem;
}

interface Variant {
  readonly defaults: PreResNetOptions;
  /** Blocks in each stage. */
  readonly blocks: readonly number[];
  readonly bottleneck: boolean;
  /** Channels of the stem. Default: those of the first stage. */
  readonly stemWidth?: number;
  /** Keras' form of the net: see the header. */
  readonly keras?: boolean;
}

const defaults: PreResNetOptions = { ...IMAGENET_FORM, width: 64, stem: 'imagenet' };

const basic = (...blocks: number[]): Variant => ({ defaults, blocks, bottleneck: false });
const bottleneck = (...blocks: number[]): Variant => ({ defaults, blocks, bottleneck: true });

const keras = (variant: Variant): Variant => ({ ...variant, keras: true });

const CIFAR_WIDTH = 16;

/** n blocks in each of three stages. */
function cifar(n: number, shape: { bottleneck?: boolean; width?: number }): Variant {
  const { bottleneck: isBottleneck = false, width = CIFAR_WIDTH } = shape;
  return {
    defaults: { ...CIFAR_FORM, width, stem: 'cifar' },
    blocks: [n, n, n],
    bottleneck: isBottleneck,
    stemWidth: CIFAR_WIDTH,
  };
}

/** WRN-depth-k: 6n + 4 convolutions, k times the channels. */
const wide = (depth: number, k: number): Variant => cifar((depth - 4) / 6, { width: CIFAR_WIDTH * k });

export const PRE_RESNETS = {
  preresnet18: basic(2, 2, 2, 2),
  preresnet34: basic(3, 4, 6, 3),
  preresnet50: bottleneck(3, 4, 6, 3),
  preresnet101: bottleneck(3, 4, 23, 3),
  preresnet152: bottleneck(3, 8, 36, 3),
  preresnet200: bottleneck(3, 24, 36, 3),
  preresnet50_keras: keras(bottleneck(3, 4, 6, 3)),
  preresnet101_keras: keras(bottleneck(3, 4, 23, 3)),
  preresnet152_keras: keras(bottleneck(3, 8, 36, 3)),
  preresnet110_cifar: cifar(18, {}),
  preresnet164_cifar: cifar(18, { bottleneck: true }),
  preresnet1001_cifar: cifar(111, { bottleneck: true }),
  wide_resnet40_1_cifar: wide(40, 1),
  wide_resnet40_2_cifar: wide(40, 2),
  wide_resnet40_4_cifar: wide(40, 4),
  wide_resnet40_8_cifar: wide(40, 8),
  wide_resnet28_10_cifar: wide(28, 10),
  wide_resnet28_12_cifar: wide(28, 12),
  wide_resnet22_8_cifar: wide(22, 8),
  wide_resnet22_10_cifar: wide(22, 10),
  wide_resnet16_8_cifar: wide(16, 8),
  wide_resnet16_10_cifar: wide(16, 10),
};

/** Output channels of a bottleneck, as a multiple of the stage's. */
const EXPANSION = 4;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildPreResNet(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, width, stem } = options;
  const { blocks, keras: bias = false } = variant;

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  let channels = variant.stemWidth ?? width;
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  x = layers.conv(x, 'stem.conv', { in: 3, out: channels, ...STEM_WINDOWS[stem], bias });
  if (stem === 'imagenet') x = stemPool(builder, layers, x, variant);

  for (const [stage, count] of blocks.entries()) {
    const inner = width * 2 ** stage;
    const out = variant.bottleneck ? inner * EXPANSION : inner;
    for (let i = 0; i < count; i += 1) {
      const halves = variant.keras ? stage < blocks.length - 1 && i === count - 1 : stage > 0 && i === 0;
      const stride = halves ? 2 : 1;
      const block: Unit = { name: `stages.${stage}.blocks.${i}`, in: channels, inner, out, stride, bias };
      const active = activate(layers, x, `${block.name}.norm1`, channels);
      const branch = variant.bottleneck
        ? bottleneckFunction(layers, active, block)
        : basicFunction(layers, active, block);
      const shortcut = shortcutOf(layers, { x, active }, block, variant);
      x = builder.node('Add', [branch, shortcut], { name: `${block.name}.add` });
      channels = out;
    }
  }

  return finishPreActivationNet(builder, layers, x, { channels, classes });
}

function stemPool(builder: GraphBuilder, layers: Layers, x: string, variant: Variant): string {
  const window = { kernel: 3, stride: 2 };
  if (!variant.keras) return layers.maxPool(x, 'stem.pool', { ...window, padding: 1 });
  // With `axes`: without them onnxruntime fuses the Pad into the pooling, which pads with −∞ (seen in 1.30).
  const axes = builder.constant('stem.pad.axes', 'int64', [2], [2, 3]);
  const pads = builder.constant('stem.pad.pads', 'int64', [4], [1, 1, 1, 1]);
  return layers.maxPool(builder.node('Pad', [x, pads, '', axes], { name: 'stem.pad' }), 'stem.pool', window);
}

/** The shortcut of a block: its input, thinned out in Keras' form, or projected if the shape changes. */
function shortcutOf(
  layers: Layers,
  { x, active }: { readonly x: string; readonly active: string },
  { name, in: channels, out, stride, bias = false }: Unit,
  variant: Variant,
): string {
  if (channels === out && stride === 1) return x;
  if (channels === out && variant.keras) return layers.maxPool(x, `${name}.downsample.thin`, { kernel: 1, stride });
  return layers.conv(active, `${name}.downsample.conv`, { in: channels, out, kernel: 1, stride, bias });
}
