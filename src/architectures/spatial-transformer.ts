/**
 * Spatial transformers (Jaderberg 2015): a small net, the localization net, reads the image and gives θ, an affine
 * transformation; the classifier behind it gets the image sampled anew at the places that θ says.
 *
 *     image [N, C, H, W] → localization net → θ [N, 6];   grid · θ → places [N, H, W, 2];   GridSample → image' → classifier
 *
 * Places lie in [−1, 1] from edge to edge: (x, y) of the source = θ · (x, y, 1) of the target, bilinear, zeros outside.
 * The grid is a constant of the native size, because the operator set written here has no AffineGrid; so the net takes
 * images of that size alone. θ moves each image by itself: no cell of a map behind it has a place in the image, and such
 * a net has no class map.
 *
 * The localization net is that of PyTorch's tutorial, for any side; `stn_mnist` is the tutorial's whole net. Parameter
 * names are the tutorial's: `localization.N`, `fc_loc.N`. A net that was not trained has the transformation 1, 0, 0, 0, 1, 0,
 * the identity.
 */
import { int } from '../graph/attributes.js';
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Attribute, Graph } from '../graph/graph.js';
import { renameReads } from '../graph/rewrite.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, requireOption, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface SpatialTransformerOptions extends CommonOptions {
  /** Whether −1 and 1 are the centres of the first and last pixel (the paper) or the image's edges (torch's default). */
  readonly alignCorners: boolean;
}

/** The parameters that an untrained net starts with, by name. */
export type InitialValues = Readonly<Record<string, readonly number[]>>;

/** θ of the identity. */
const IDENTITY = [1, 0, 0, 0, 1, 0];

const LOCALIZATION = { channels: [8, 10], kernels: [7, 5], hidden: 32 } as const;

/** The last layer of the localization net gives the identity whatever the image. */
const INITIAL: InitialValues = {
  'fc_loc.2.weight': Array<number>(IDENTITY.length * LOCALIZATION.hidden).fill(0),
  'fc_loc.2.bias': IDENTITY,
};

/** In front of another architecture, which the option `classifier` names; other options are the classifier's. */
export const SPATIAL_TRANSFORMERS = {
  spatial_transformer: {
    defaults: { ...CIFAR_FORM, alignCorners: false, classifier: 'resnet20_cifar' },
    initial: INITIAL,
  },
};

const MNIST_FORM: SpatialTransformerOptions = { ...CIFAR_FORM, inputSize: 28, alignCorners: false };

/** Of grey images. */
export const MNIST_TRANSFORMERS = {
  stn_mnist: { defaults: MNIST_FORM, channels: 1, initial: INITIAL },
};

/** The classifiers that a transformer can stand in front of. */
export interface Classifiers {
  /** Side of the images that it was made for; undefined if there is no such classifier. */
  nativeSide(name: string): number | undefined;
  /** Throws Error on invalid options. */
  build(name: string, options: ArchitectureOptions): Graph;
}

/** `input` float32 [N, 3, S, S] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildSpatialTransformer(
  name: string,
  { defaults }: { readonly defaults: SpatialTransformerOptions & { readonly classifier: string } },
  given: ArchitectureOptions,
  classifiers: Classifiers,
): Graph {
  const { classifier, alignCorners, ...ofClassifier } = given;
  const own = { ...(classifier !== undefined && { classifier }), ...(alignCorners !== undefined && { alignCorners }) };
  const options = resolveOptions(name, defaults, own);
  const nativeSide = classifiers.nativeSide(options.classifier);
  requireOption(name, 'classifier', options.classifier, {
    fits: nativeSide !== undefined,
    mustBe: 'an architecture that fullconv architectures lists, of images in colour and without a transformer',
  });
  const inputSize = Number(given['inputSize'] ?? nativeSide);
  const behind = classifiers.build(options.classifier, { ...ofClassifier, inputSize });

  const builder = graphBuilder({ name });
  const image = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  // The classifier's builder has checked them.
  const { activation, leakyAlpha, eluAlpha } = { ...defaults, ...ofClassifier } as CommonOptions;
  const net = { name, builder, layers: layersOn(builder, { activation, leakyAlpha, eluAlpha }) };
  const theta = localize(net, image, { channels: 3, side: inputSize });
  const moved = sampleAffine(builder, image, theta, { height: inputSize, width: inputSize, ...options });
  const front = builder.finish([{ name: moved, dataType: 'float32', dims: ['N', 3, inputSize, inputSize] }]);
  return inFrontOf(behind, front);
}

/** PyTorch's tutorial: `input` float32 [N, 1, S, S] → `logits` [N, classes]. Throws Error on invalid options. */
export function buildMnistTransformer(
  name: string,
  { defaults }: { readonly defaults: SpatialTransformerOptions },
  given: ArchitectureOptions,
): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, inputSize } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  const image = builder.input('input', 'float32', ['N', 1, 'H', 'W']);
  const theta = localize({ name, builder, layers }, image, { channels: 1, side: inputSize });
  let x = sampleAffine(builder, image, theta, { height: inputSize, width: inputSize, ...options });
  x = digitFeatures(layers, x, 1);
  x = builder.node('Flatten', [x], { name: 'flatten', attributes: { axis: int(1) } });
  const features = DIGIT_CHANNELS[1] * sideBehind(inputSize, [5, 5]) ** 2;
  x = layers.activation(layers.linear(x, 'fc1', { in: features, out: 50 }), 'fc1.relu');
  x = layers.linear(x, 'fc2', { in: 50, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

/** Channels of the tutorial's two convolutions. */
const DIGIT_CHANNELS = [10, 20] as const;

/** Its convolutions, each pooled: [N, channels, S, S] → [N, 20, s, s]. */
function digitFeatures(layers: Layers, x: string, channels: number): string {
  const [first, second] = DIGIT_CHANNELS;
  let y = layers.conv(x, 'conv1', { in: channels, out: first, kernel: 5, bias: true });
  y = layers.activation(layers.maxPool(y, 'pool1', HALVE), 'relu1');
  y = layers.conv(y, 'conv2', { in: first, out: second, kernel: 5, bias: true });
  return layers.activation(layers.maxPool(y, 'pool2', HALVE), 'relu2');
}

const HALVE = { kernel: 2, stride: 2 };

/** Side of a map behind unpadded convolutions with these kernels, each pooled by 2×2. */
function sideBehind(side: number, kernels: readonly number[]): number {
  return kernels.reduce((left, kernel) => Math.floor((left - kernel + 1) / 2), side);
}

// ---- the transformer ---------------------------------------------------------------------------------------------

interface Net {
  /** Of the architecture, for errors. */
  readonly name: string;
  readonly builder: GraphBuilder;
  readonly layers: Layers;
  /** In front of the parameters' names, where a net has several transformers. */
  readonly prefix?: string;
}

/**
 * The localization net: square images [N, C, S, S] → θ [N, 6], row-major 2 × 3. Throws Error naming the option
 * `inputSize` if the side is too small for its windows.
 */
export function localize(
  { name, builder, layers, prefix = '' }: Net,
  image: string,
  { channels, side }: { readonly channels: number; readonly side: number },
): string {
  const { kernels, hidden } = LOCALIZATION;
  const [first, second] = LOCALIZATION.channels;
  const left = sideBehind(side, kernels);
  requireOption(name, 'inputSize', side, { fits: left > 0, mustBe: 'at least 18' });
  const layer = (part: string): string => prefix + part;
  let x = layers.conv(image, layer('localization.0'), { in: channels, out: first, kernel: kernels[0], bias: true });
  x = layers.activation(layers.maxPool(x, layer('localization.1'), HALVE), layer('localization.2'));
  x = layers.conv(x, layer('localization.3'), { in: first, out: second, kernel: kernels[1], bias: true });
  x = layers.activation(layers.maxPool(x, layer('localization.4'), HALVE), layer('localization.5'));
  x = builder.node('Flatten', [x], { name: layer('localization.flatten'), attributes: { axis: int(1) } });
  x = layers.linear(x, layer('fc_loc.0'), { in: second * left ** 2, out: hidden });
  x = layers.activation(x, layer('fc_loc.1'));
  return layers.linear(x, layer('fc_loc.2'), { in: hidden, out: IDENTITY.length });
}

/** The images [N, C, H, W] at the places that θ [N, 6] says: [N, C, height, width]. */
export function sampleAffine(
  builder: GraphBuilder,
  images: string,
  theta: string,
  {
    height,
    width,
    alignCorners,
    name = 'transformer',
  }: { readonly height: number; readonly width: number; readonly alignCorners: boolean; readonly name?: string },
): string {
  const sizes = (part: string, values: readonly number[]): string =>
    builder.constant(`${name}.${part}`, 'int64', [values.length], values);
  const points = gridPoints(height, width, alignCorners);
  const grid = builder.constant(`${name}.grid`, 'float32', [height * width, 1, 3], points);
  // A product and a sum: a matrix product would count the grid's numbers as weights and its work as a layer's, and half
  // precision would round the places.
  const rows = builder.node('Reshape', [theta, sizes('rows', [0, 1, 2, 3])], { name: `${name}.theta` });
  const products = builder.node('Mul', [rows, grid], { name: `${name}.products` });
  const attributes: Record<string, Attribute> = { keepdims: int(0) };
  const sums = builder.node('ReduceSum', [products, sizes('axis', [3])], { name: `${name}.sums`, attributes });
  const places = builder.node('Reshape', [sums, sizes('size', [0, height, width, 2])], { name: `${name}.places` });
  return builder.node('GridSample', [images, places], {
    name,
    attributes: { mode: text('bilinear'), padding_mode: text('zeros'), align_corners: int(alignCorners ? 1 : 0) },
  });
}

const text = (value: string): Attribute => ({ type: 'string', value });

/** (x, y, 1) of each pixel, row by row. */
function gridPoints(height: number, width: number, alignCorners: boolean): number[] {
  const along = (count: number): number[] =>
    Array.from({ length: count }, (_, index) => {
      if (!alignCorners) return (2 * index + 1) / count - 1;
      return count === 1 ? 0 : (2 * index) / (count - 1) - 1;
    });
  const columns = along(width);
  return along(height).flatMap((y) => columns.flatMap((x) => [x, y, 1]));
}

/** The classifier on what `front` gives, in place of its image. */
function inFrontOf(classifier: Graph, front: Graph): Graph {
  const [image] = classifier.inputs;
  const [moved] = front.outputs;
  const nodes = classifier.nodes.map((node) =>
    renameReads(node, (value) => (value === image!.name ? moved!.name : value)),
  );
  return {
    ...front,
    outputs: classifier.outputs,
    nodes: [...front.nodes, ...nodes],
    initializers: new Map([...front.initializers, ...classifier.initializers]),
  };
}
