/**
 * The All Convolutional Net (Springenberg 2015). A convolution of stride 2 does what a pooling does, and learns how. All
 * convolutions have a bias and an activation, also the last, which has a map for each class; global average pooling
 * follows it.
 *
 * For CIFAR-10 (tables 1 and 2) there are three nets, and four forms of each. In front of a halving the nets have
 *
 * - A: a 5×5 convolution
 * - B: a 5×5 and a 1×1 convolution
 * - C: two 3×3 convolutions
 *
 * and the forms halve the map by
 *
 * - `cnn_*`: 3×3 max-pooling
 * - `strided_cnn_*`: the last of these convolutions
 * - `convpool_cnn_*`: 3×3 max-pooling behind one more 3×3 convolution
 * - `all_cnn_*`: a 3×3 convolution of stride 2
 *
 * `all_cnn_imagenet` is the authors' net for ImageNet. Layers are called `conv1`, `conv2`, …
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn } from './layers.js';
import { CIFAR_FORM, IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface AllCnnOptions extends CommonOptions {
  /** Channels of the first convolution; all others keep their ratio to it. */
  readonly width: number;
}

interface Convolution {
  /** In the published form; undefined: one for each class. */
  readonly out: number | undefined;
  readonly kernel: number;
  readonly stride?: number;
  /** Default: half the kernel. */
  readonly padding?: number;
}

type Layer = Convolution | 'pool';

interface Variant {
  readonly defaults: AllCnnOptions;
  readonly layers: readonly Layer[];
}

const PUBLISHED_WIDTH = 96;

/** What halves the map. */
type Form = 'base' | 'strided' | 'convpool' | 'all';

/** Sides of the kernels in front of a halving. */
const KERNELS = { a: [5], b: [5, 1], c: [3, 3] } as const;

function cifar(model: keyof typeof KERNELS, form: Form): Variant {
  return {
    defaults: { ...CIFAR_FORM, width: PUBLISHED_WIDTH },
    layers: [
      ...halving(96, KERNELS[model], form),
      ...halving(192, KERNELS[model], form),
      { out: 192, kernel: 3, padding: 0 },
      { out: 192, kernel: 1 },
      { out: undefined, kernel: 1 },
    ],
  };
}

/** Convolutions, and what halves the map behind them. */
function halving(out: number, kernels: readonly number[], form: Form): Layer[] {
  const convolutions = kernels.map((kernel): Convolution => ({ out, kernel }));
  switch (form) {
    case 'base':
      return [...convolutions, 'pool'];
    case 'strided':
      return convolutions.with(-1, { ...convolutions.at(-1)!, stride: 2 });
    case 'convpool':
      return [...convolutions, { out, kernel: 3 }, 'pool'];
    case 'all':
      return [...convolutions, { out, kernel: 3, stride: 2 }];
  }
}

const IMAGENET: readonly Layer[] = [
  { out: 96, kernel: 11, stride: 4, padding: 0 },
  { out: 96, kernel: 1 },
  { out: 96, kernel: 3, stride: 2 },
  { out: 256, kernel: 5 },
  { out: 256, kernel: 1 },
  { out: 256, kernel: 3, stride: 2 },
  { out: 384, kernel: 3 },
  { out: 384, kernel: 1 },
  { out: 384, kernel: 3, stride: 2 },
  { out: 1024, kernel: 3 },
  { out: 1024, kernel: 1 },
  { out: undefined, kernel: 1 },
];

export const ALL_CNNS = {
  cnn_a_cifar: cifar('a', 'base'),
  cnn_b_cifar: cifar('b', 'base'),
  cnn_c_cifar: cifar('c', 'base'),
  strided_cnn_a_cifar: cifar('a', 'strided'),
  strided_cnn_b_cifar: cifar('b', 'strided'),
  strided_cnn_c_cifar: cifar('c', 'strided'),
  convpool_cnn_a_cifar: cifar('a', 'convpool'),
  convpool_cnn_b_cifar: cifar('b', 'convpool'),
  convpool_cnn_c_cifar: cifar('c', 'convpool'),
  all_cnn_a_cifar: cifar('a', 'all'),
  all_cnn_b_cifar: cifar('b', 'all'),
  all_cnn_c_cifar: cifar('c', 'all'),
  all_cnn_imagenet: { defaults: { ...IMAGENET_FORM, width: PUBLISHED_WIDTH }, layers: IMAGENET },
} satisfies Record<string, Variant>;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildAllCnn(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, width } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = 3;
  let convolutions = 0;
  for (const layer of variant.layers) {
    if (layer === 'pool') {
      x = layers.maxPool(x, `conv${convolutions}.pool`, { kernel: 3, stride: 2, padding: 1 });
      continue;
    }
    convolutions += 1;
    const { kernel, stride = 1, padding = Math.floor(kernel / 2) } = layer;
    const out = layer.out === undefined ? classes : Math.max(1, Math.round((layer.out * width) / PUBLISHED_WIDTH));
    x = layers.conv(x, `conv${convolutions}`, { in: channels, out, kernel, stride, padding, bias: true });
    x = layers.activation(x, `conv${convolutions}.relu`);
    channels = out;
  }
  return builder.finish([{ name: layers.globalAverage(x, 'logits'), dataType: 'float32', dims: ['N', classes] }]);
}
