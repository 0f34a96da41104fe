/**
 * Network in Network (Lin 2014): each convolution is followed by two of 1×1, a small fully connected net at every place.
 * There is no layer behind the global average pooling: the last convolution has a map for each class. All convolutions
 * have a bias and an activation, also the last; there is no batch normalization.
 *
 * - `nin_cifar`: poolings are padded, and the average counts the padding; names are pytorchcv's. The net of Caffe's model
 *   zoo has the same weights and rounds the size up in the place of padding.
 * - `nin_imagenet`: the net of Caffe's model zoo, with its names of layers.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type ConvShape, type PoolWindow } from './layers.js';
import { CIFAR_FORM, IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export type NinOptions = CommonOptions;

/** A convolution: its name, output channels (undefined: one for each class) and window, which defaults to 1×1. */
type Convolution = readonly [
  name: string,
  out: number | undefined,
  window?: Pick<ConvShape, 'kernel' | 'stride' | 'padding'>,
];

interface Stage {
  readonly convolutions: readonly Convolution[];
  /** The pooling behind them. */
  readonly pool?: { readonly kind: 'max' | 'average'; readonly window: PoolWindow };
}

interface Variant {
  readonly defaults: NinOptions;
  readonly stages: readonly Stage[];
}

const THREE = { kernel: 3, padding: 1 } as const;
const FIVE = { kernel: 5, padding: 2 } as const;

const PADDED: PoolWindow = { kernel: 3, stride: 2, padding: 1 };
const ROUNDED_UP: PoolWindow = { kernel: 3, stride: 2, ceil: true };

const CIFAR: readonly Stage[] = [
  {
    convolutions: [
      ['features.stage1.unit1.conv', 192, FIVE],
      ['features.stage1.unit2.conv', 160],
      ['features.stage1.unit3.conv', 96],
    ],
    pool: { kind: 'max', window: PADDED },
  },
  {
    convolutions: [
      ['features.stage2.unit1.conv', 192, FIVE],
      ['features.stage2.unit2.conv', 192],
      ['features.stage2.unit3.conv', 192],
    ],
    pool: { kind: 'average', window: PADDED },
  },
  {
    convolutions: [
      ['features.stage3.unit1.conv', 192, THREE],
      ['features.stage3.unit2.conv', 192],
      ['output.final_conv.conv', undefined],
    ],
  },
];

const IMAGENET: readonly Stage[] = [
  {
    convolutions: [
      ['conv1', 96, { kernel: 11, stride: 4 }],
      ['cccp1', 96],
      ['cccp2', 96],
    ],
    pool: { kind: 'max', window: ROUNDED_UP },
  },
  {
    convolutions: [
      ['conv2', 256, FIVE],
      ['cccp3', 256],
      ['cccp4', 256],
    ],
    pool: { kind: 'max', window: ROUNDED_UP },
  },
  {
    convolutions: [
      ['conv3', 384, THREE],
      ['cccp5', 384],
      ['cccp6', 384],
    ],
    pool: { kind: 'max', window: ROUNDED_UP },
  },
  {
    convolutions: [
      ['conv4-1024', 1024, THREE],
      ['cccp7-1024', 1024],
      ['cccp8-1000', undefined],
    ],
  },
];

export const NINS = {
  nin_cifar: { defaults: CIFAR_FORM, stages: CIFAR },
  nin_imagenet: { defaults: IMAGENET_FORM, stages: IMAGENET },
} satisfies Record<string, Variant>;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildNin(name: string, { defaults, stages }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = 3;
  for (const [index, { convolutions, pool }] of stages.entries()) {
    for (const [layer, out = classes, window = { kernel: 1 }] of convolutions) {
      x = layers.conv(x, layer, { in: channels, out, ...window, bias: true });
      x = layers.activation(x, `${layer}.relu`);
      channels = out;
    }
    if (pool?.kind === 'max') x = layers.maxPool(x, `pool${index + 1}`, pool.window);
    if (pool?.kind === 'average') x = layers.averagePool(x, `pool${index + 1}`, pool.window);
  }
  return builder.finish([{ name: layers.globalAverage(x, 'logits'), dataType: 'float32', dims: ['N', classes] }]);
}
