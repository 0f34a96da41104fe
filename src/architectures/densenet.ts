/**
 * DenseNet-BC (Huang 2017, table 1): every layer of a block reads the channels of all layers before it. Between blocks
 * a transition halves channels and resolution. Parameter names are torchvision's.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn } from './layers.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface DenseNetOptions extends CommonOptions {
  /** Channels of the stem. */
  readonly width: number;
  /** Channels that each layer adds. */
  readonly growth: number;
}

interface Variant {
  readonly defaults: DenseNetOptions;
  /** Layers in each of the four blocks. */
  readonly blocks: readonly number[];
}

const densenet = (blocks: readonly number[], growth = 32): Variant => ({
  blocks,
  defaults: { ...IMAGENET_FORM, width: 2 * growth, growth },
});

export const DENSENETS = {
  densenet121: densenet([6, 12, 24, 16]),
  densenet161: densenet([6, 12, 36, 24], 48),
  densenet169: densenet([6, 12, 32, 32]),
  densenet201: densenet([6, 12, 48, 32]),
};

/** Channels of a layer's 1×1 convolution, as a multiple of the growth. */
const BOTTLENECK = 4;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildDenseNet(name: string, { blocks, defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width, growth } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = width;
  x = layers.conv(x, 'features.conv0', { in: 3, out: channels, kernel: 7, stride: 2, padding: 3 });
  x = layers.activation(layers.batchNorm(x, 'features.norm0', channels), 'features.relu0');
  x = layers.maxPool(x, 'features.pool0', { kernel: 3, stride: 2, padding: 1 });

  for (const [index, count] of blocks.entries()) {
    for (let i = 1; i <= count; i += 1) {
      const layer = `features.denseblock${index + 1}.denselayer${i}`;
      const inner = BOTTLENECK * growth;
      let y = layers.activation(layers.batchNorm(x, `${layer}.norm1`, channels), `${layer}.relu1`);
      y = layers.conv(y, `${layer}.conv1`, { in: channels, out: inner, kernel: 1 });
      y = layers.activation(layers.batchNorm(y, `${layer}.norm2`, inner), `${layer}.relu2`);
      y = layers.conv(y, `${layer}.conv2`, { in: inner, out: growth, kernel: 3, padding: 1 });
      x = layers.concat([x, y], `${layer}.concat`);
      channels += growth;
    }
    if (index === blocks.length - 1) break;
    const transition = `features.transition${index + 1}`;
    const halved = Math.floor(channels / 2);
    x = layers.activation(layers.batchNorm(x, `${transition}.norm`, channels), `${transition}.relu`);
    x = layers.conv(x, `${transition}.conv`, { in: channels, out: halved, kernel: 1 });
    x = layers.averagePool(x, `${transition}.pool`, { kernel: 2, stride: 2 });
    channels = halved;
  }

  x = layers.activation(layers.batchNorm(x, 'features.norm5', channels), 'features.relu5');
  x = layers.linear(layers.globalAverage(x), 'classifier', { in: channels, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}
