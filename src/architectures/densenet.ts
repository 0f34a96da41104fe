/**
 * DenseNet (Huang 2017): every layer of a block reads the channels of all layers before it. Between blocks a transition
 * halves the resolution.
 *
 * - For ImageNet (table 1), and `_bc` for CIFAR-10: DenseNet-BC, whose layers narrow what they read by a 1×1 convolution
 *   (B), and whose transitions halve the channels too (C).
 * - `densenet40_k12_cifar`: without either.
 *
 * Parameter names are torchvision's.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface DenseNetOptions extends CommonOptions {
  /** Channels of the stem. */
  readonly width: number;
  /** Channels that each layer adds. */
  readonly growth: number;
}

interface Variant {
  readonly defaults: DenseNetOptions;
  /** Layers in each block. */
  readonly blocks: readonly number[];
  /** Whether the stem halves the resolution twice, as for ImageNet; for CIFAR it keeps it. */
  readonly halvingStem: boolean;
  /** Whether the net is a DenseNet-BC. */
  readonly bc: boolean;
}

const densenet = (blocks: readonly number[], growth = 32): Variant => ({
  blocks,
  defaults: { ...IMAGENET_FORM, width: 2 * growth, growth },
  halvingStem: true,
  bc: true,
});

/** Three blocks with as many layers as the depth has convolutions for. */
function cifar(depth: number, growth: number, bc: boolean): Variant {
  return {
    blocks: Array<number>(3).fill((depth - 4) / (bc ? 6 : 3)),
    defaults: { ...CIFAR_FORM, width: bc ? 2 * growth : 16, growth },
    halvingStem: false,
    bc,
  };
}

export const DENSENETS = {
  densenet121: densenet([6, 12, 24, 16]),
  densenet161: densenet([6, 12, 36, 24], 48),
  densenet169: densenet([6, 12, 32, 32]),
  densenet201: densenet([6, 12, 48, 32]),
  densenet40_k12_cifar: cifar(40, 12, false),
  densenet100_k12_bc_cifar: cifar(100, 12, true),
};

/** Channels of a layer's 1×1 convolution, as a multiple of the growth. */
const BOTTLENECK = 4;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildDenseNet(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const { blocks, halvingStem, bc } = variant;
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, width, growth } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = width;
  if (halvingStem) {
    x = layers.conv(x, 'features.conv0', { in: 3, out: channels, kernel: 7, stride: 2, padding: 3 });
    x = layers.activation(layers.batchNorm(x, 'features.norm0', channels), 'features.relu0');
    x = layers.maxPool(x, 'features.pool0', { kernel: 3, stride: 2, padding: 1 });
  } else {
    x = layers.conv(x, 'features.conv0', { in: 3, out: channels, kernel: 3, padding: 1 });
  }

  for (const [index, count] of blocks.entries()) {
    for (let i = 1; i <= count; i += 1) {
      const layer = `features.denseblock${index + 1}.denselayer${i}`;
      const active = layers.activation(layers.batchNorm(x, `${layer}.norm1`, channels), `${layer}.relu1`);
      const added = bc
        ? bottleneckBranch(layers, active, layer, { in: channels, growth })
        : layers.conv(active, `${layer}.conv1`, { in: channels, out: growth, kernel: 3, padding: 1 });
      x = layers.concat([x, added], `${layer}.concat`);
      channels += growth;
    }
    if (index === blocks.length - 1) break;
    const transition = `features.transition${index + 1}`;
    const out = bc ? Math.floor(channels / 2) : channels;
    x = layers.activation(layers.batchNorm(x, `${transition}.norm`, channels), `${transition}.relu`);
    x = layers.conv(x, `${transition}.conv`, { in: channels, out, kernel: 1 });
    x = layers.averagePool(x, `${transition}.pool`, { kernel: 2, stride: 2 });
    channels = out;
  }

  x = layers.activation(layers.batchNorm(x, 'features.norm5', channels), 'features.relu5');
  x = layers.linear(layers.globalAverage(x), 'classifier', { in: channels, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

/** 1×1 and 3×3, on the activated input. */
function bottleneckBranch(
  layers: Layers,
  active: string,
  layer: string,
  shape: { in: number; growth: number },
): string {
  const inner = BOTTLENECK * shape.growth;
  let y = layers.conv(active, `${layer}.conv1`, { in: shape.in, out: inner, kernel: 1 });
  y = layers.activation(layers.batchNorm(y, `${layer}.norm2`, inner), `${layer}.relu2`);
  return layers.conv(y, `${layer}.conv2`, { in: inner, out: shape.growth, kernel: 3, padding: 1 });
}
