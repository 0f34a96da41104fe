/**
 * FractalNet (Larsson 2017): no shortcuts, but paths of many lengths. f₁ is a convolution; f_{C+1}(x) is the mean of
 * f_C(f_C(x)) and a convolution of x. In a block of C columns, column c (from 0) has 2^c convolutions, at every
 * 2^(C−1−c)-th level. What ends at a level is joined by its mean, and the mean is the next input of those columns.
 *
 * Each block ends in 2×2 max-pooling, the last for ImageNet in none. The authors' generator pools each column and joins
 * then; the paper's formulas, and pytorchcv, join first: another function of the same parameters (`poolFirst`). Dropout
 * and drop-path are training's. A convolution has a bias and a normalization without scale and shift, as the authors'
 * Caffe layers, or no bias and all four (`affine`).
 *
 * Parameter names are the authors': `conv{c}_{i}`, `batch_conv{c}_{i}`, `prediction0`; i counts through all blocks. Source:
 * gustavla/fractalnet, generation/fractalnet.py.
 */
import { float } from '../graph/attributes.js';
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import { inlineConstant } from '../graph/constants.js';
import type { Graph } from '../graph/graph.js';
import { BATCH_NORM_EPSILON, layersOn, type ConvShape, type Layers } from './layers.js';
import {
  CIFAR_FORM,
  IMAGENET_FORM,
  requireOption,
  resolveOptions,
  type ArchitectureOptions,
  type CommonOptions,
} from './options.js';

/** What the name of a published net says, and options of the nets that are not published ones. */
interface Form {
  readonly columns: number;
  readonly blocks: number;
}

export interface FractalNetOptions extends CommonOptions, Partial<Form> {
  /** Channels of the first block; they double from block to block, three times at most. */
  readonly width: number;
  /** Pool each column before they are joined; otherwise join, then pool. */
  readonly poolFirst: boolean;
  /** Normalization with scale and shift behind convolutions without bias. */
  readonly affine: boolean;
  /** This column alone, from 1, the shortest. Not given: all, joined. */
  readonly column: number;
}

interface Variant {
  readonly defaults: FractalNetOptions;
  readonly form: Form;
  /** 7×7 and a max-pooling, as for large images. */
  readonly hasStem: boolean;
}

const CIFAR: FractalNetOptions = { ...CIFAR_FORM, width: 64, poolFirst: true, affine: false, column: 0 };
const THIN: FractalNetOptions = { ...CIFAR, classes: 100, width: 16, affine: true };
const IMAGENET: FractalNetOptions = { ...IMAGENET_FORM, width: 128, poolFirst: true, affine: false, column: 0 };

const cifar = (columns: number, defaults = CIFAR): Variant => {
  return { defaults, form: { columns, blocks: 5 }, hasStem: false };
};
const imagenet = (columns: number): Variant => {
  return { defaults: IMAGENET, form: { columns, blocks: 4 }, hasStem: true };
};
/** Columns and blocks are options. */
const parametric = (variant: Variant): Variant => {
  return { ...variant, defaults: { ...variant.defaults, ...variant.form } };
};

/** The number is that of the convolutions on the longest path, for ImageNet with the stem and the last layer. */
export const FRACTALNETS = {
  fractalnet20_cifar: cifar(3),
  fractalnet20_cifar_pytorchcv: cifar(3, { ...CIFAR, poolFirst: false, affine: true }),
  fractalnet5_thin_cifar100: cifar(1, THIN),
  fractalnet10_thin_cifar100: cifar(2, THIN),
  fractalnet20_thin_cifar100: cifar(3, THIN),
  fractalnet40_thin_cifar100: cifar(4, THIN),
  fractalnet80_thin_cifar100: cifar(5, THIN),
  fractalnet160_thin_cifar100: cifar(6, THIN),
  fractalnet34: imagenet(4),
  fractalnet_cifar: parametric(cifar(2)),
  fractalnet: parametric(imagenet(2)),
};

const MAX_COLUMNS = 8;
const MAX_DOUBLINGS = 3;
const STEM_WIDTH = 64;

/** The net with its options checked. */
type Net = FractalNetOptions &
  Form & {
    readonly builder: GraphBuilder;
    readonly layers: Layers;
    readonly normalize: (x: string, name: string, channels: number) => string;
  };

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildFractalNet(name: string, { defaults, form, hasStem }: Variant, given: ArchitectureOptions): Graph {
  const options = { ...form, ...resolveOptions(name, defaults, given) };
  checkOptions(name, options, hasStem);
  const { classes, width, blocks } = options;

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  const normalize: Net['normalize'] = options.affine
    ? (value, layer, channels) => layers.batchNorm(value, layer, channels)
    : plainNormalization(builder);
  const net: Net = { ...options, builder, layers, normalize };
  let channels = 3;
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  if (hasStem) {
    x = convolve(net, x, '_stem', { in: channels, out: STEM_WIDTH, kernel: 7, stride: 2, padding: 3 });
    x = layers.maxPool(x, 'pool_stem', { kernel: 3, stride: 2, padding: 1 });
    channels = STEM_WIDTH;
  }
  for (let block = 0; block < blocks; block += 1) {
    const out = width * 2 ** Math.min(block, MAX_DOUBLINGS);
    const pools = !hasStem || block < blocks - 1;
    x = addBlock(net, x, { block, in: channels, out, pools });
    channels = out;
  }
  x = layers.linear(layers.globalAverage(x), 'prediction0', { in: channels, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

function checkOptions(name: string, options: FractalNetOptions & Form, hasStem: boolean): void {
  const { columns, blocks, column, inputSize } = options;
  requireOption(name, 'columns', columns, { fits: columns <= MAX_COLUMNS, mustBe: `at most ${MAX_COLUMNS}` });
  requireOption(name, 'column', column, { fits: column <= columns, mustBe: `one of ${columns} columns` });
  // The stem halves twice, and the last block behind it does not.
  const halvings = hasStem ? blocks + 1 : blocks;
  const fits = 2 ** halvings <= inputSize;
  requireOption(name, 'blocks', blocks, { fits, mustBe: `fewer: ${halvings} halvings leave nothing of ${inputSize}` });
}

interface Block {
  readonly block: number;
  readonly in: number;
  readonly out: number;
  readonly pools: boolean;
}

function addBlock(net: Net, x: string, { block, in: channels, out, pools }: Block): string {
  const { builder, layers, columns, column, poolFirst } = net;
  const levels = 2 ** (columns - 1);
  const pool = (value: string, name: string): string => layers.maxPool(value, name, { kernel: 2, stride: 2 });
  const present = Array.from({ length: columns }, (_, c) => c).filter((c) => column === 0 || c === column - 1);
  /** The next input of each column, and its channels. */
  const inputs = new Map(present.map((c) => [c, { value: x, channels }]));
  for (let level = 1; level <= levels; level += 1) {
    const isLast = level === levels;
    const ending = present.filter((c) => (level * 2 ** c) % levels === 0);
    const made = ending.map((c) => {
      const from = inputs.get(c)!;
      const index = block * 2 ** c + (level * 2 ** c) / levels - 1;
      const layer = `${c}_${index}`;
      const y = convolve(net, from.value, layer, { in: from.channels, out, kernel: 3, padding: 1 });
      return isLast && pools && poolFirst ? pool(y, `pool${c}_${block}`) : y;
    });
    const [first, ...others] = made;
    if (first === undefined) continue;
    const name = `join${block}_${level}`;
    const joined = others.length === 0 ? first : builder.node('Mean', made, { name });
    for (const c of ending) inputs.set(c, { value: joined, channels: out });
  }
  // Every column ends at the last level.
  const joined = inputs.get(present[0]!)!.value;
  return pools && !poolFirst ? pool(joined, `pool_${block}`) : joined;
}

/** Convolution, normalization, activation: `conv{layer}`, `batch_conv{layer}`. */
function convolve({ layers, normalize, affine }: Net, x: string, layer: string, shape: ConvShape): string {
  const y = layers.conv(x, `conv${layer}`, { ...shape, bias: !affine });
  return layers.activation(normalize(y, `batch_conv${layer}`, shape.out), `relu${layer}`);
}

/**
 * Batch normalization without scale and shift. ONNX's has both, so they are 1 and 0: as values of Constant nodes, because
 * no training changes them, and what is an initializer there counts as a parameter.
 */
function plainNormalization(builder: GraphBuilder): Net['normalize'] {
  const constants = new Map<number, readonly [ones: string, zeros: string]>();
  const constant = (name: string, channels: number, value: number): string => {
    const tensor = inlineConstant(name, 'float32', [channels], Array<number>(channels).fill(value));
    return builder.node('Constant', [], { name, attributes: { value: { type: 'tensor', value: tensor } } });
  };
  return (x, name, channels) => {
    const known = constants.get(channels) ?? [
      constant(`ones_${channels}`, channels, 1),
      constant(`zeros_${channels}`, channels, 0),
    ];
    constants.set(channels, known);
    const statistics = ['running_mean', 'running_var'].map((one) => builder.parameter(`${name}.${one}`, [channels]));
    const attributes = { epsilon: float(BATCH_NORM_EPSILON) };
    return builder.node('BatchNormalization', [x, ...known, ...statistics], { name, attributes });
  };
}
