/** Small nets in memory, with generated weights inline. */
import {
  buildArchitecture,
  nativeForm,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../src/architectures/index.js';
import { graphBuilder, type GraphBuilder } from '../../src/graph/build.js';
import type { Dim, Graph, ValueInfo } from '../../src/graph/graph.js';
import { withGeneratedWeights } from './ort.js';

export const CLASSES = 7;

/**
 * Options that make a published net narrow and leave the rest of its form. Nets without options have no width to
 * choose.
 */
const NARROW = {
  vgg11: { width: 4, hidden: 12 },
  vgg11_bn: { width: 4, hidden: 12 },
  vgg16: { width: 4, hidden: 12 },
  vgg16_bn: { width: 4, hidden: 12 },
  plain18: { width: 8 },
  resnet18: { width: 8 },
  resnet34: { width: 8 },
  resnet50: { width: 8 },
  resnet50_v1: { width: 8 },
  resnet20_cifar: { width: 6 },
  'wide_resnet18_1.5': { width: 8 },
  wide_resnet50_2: { width: 8 },
  resnext50_32x4d: { width: 16 },
  preresnet18: { width: 8 },
  preresnet50: { width: 8 },
  preresnet50_keras: { width: 8 },
  preresnet110_cifar: { width: 4 },
  preresnet164_cifar: { width: 4 },
  wide_resnet16_8_cifar: { width: 12 },
  multi_resnet: { width: 4 },
  multi_resnet_cifar: { width: 4, depth: 20, k: 2 },
  multi_resnet_basic_cifar: { width: 4, depth: 14, k: 2 },
  ror3_cifar: { width: 6, depth: 20 },
  ror3_wrn_cifar: { width: 6, depth: 10 },
  recurrent_resnet_cifar: { width: 6, steps: 3 },
  fractalnet: { width: 4 },
  fractalnet_cifar: { width: 4, columns: 3 },
  densenet121: { width: 8, growth: 4 },
  inception_v3: {},
  googlenet: {},
  squeezenet1_0: {},
  squeezenet1_1: {},
  efficientnet_lite0: {},
  tf_efficientnet_lite0: {},
  tf_efficientnet_lite2: {},
  plain20_cifar: { width: 6 },
  densenet40_k12_cifar: { width: 8, growth: 4 },
  inception_v4: { width: 4 },
  inception_resnet_v1_facenet: { width: 4 },
  inception_resnet_v2: { width: 4 },
  polynet: { width: 4, stageA: '1 x 2-way, poly-3', stageB: '1 x poly-2, mpoly-2', stageC: '1 x poly-3, 2-way' },
  nin_cifar: {},
  nin_imagenet: {},
  strided_cnn_b_cifar: { width: 8 },
  all_cnn_c_cifar: { width: 8 },
  highway19_cifar: { width: 8 },
} as const satisfies Partial<Record<ArchitectureName, ArchitectureOptions>>;

/** A net of `narrowNet`, and further options that differ from the published ones. */
export type NarrowNet = [name: keyof typeof NARROW, options?: ArchitectureOptions];

/**
 * A net of each kind of block: plain, basic, bottleneck, grouped, pre-activation, multi-residual, nested, recurrent,
 * fractal, dense, Inception, fire, inverted residual.
 */
export const EACH_BLOCK: readonly NarrowNet[] = [
  ['plain18'],
  ['resnet20_cifar'],
  ['resnet50_v1'],
  ['resnext50_32x4d'],
  ['wide_resnet16_8_cifar'],
  ['multi_resnet_basic_cifar'],
  ['ror3_cifar'],
  ['recurrent_resnet_cifar'],
  ['fractalnet_cifar'],
  ['densenet121'],
  ['googlenet'],
  ['squeezenet1_1'],
  ['efficientnet_lite0'],
  // Means that leave padding out, residual Inception, polynomials, convolutions in the place of poolings, gates.
  ['inception_v4'],
  ['inception_resnet_v1_facenet'],
  ['polynet'],
  ['all_cnn_c_cifar'],
  ['highway19_cifar'],
];

/** A side in pixels that holds several cells of a narrow net's map; nets that do not pad need more of them. */
export function smallSide(name: NarrowNet[0]): number {
  if (/^inception|^polynet/.test(name)) return 107;
  return nativeForm(name).inputSize === 32 ? 32 : 64;
}

/** A VGG for 64 pixels: fully connected head over 4×4 cells, output stride 16. */
export const VGG_AT_64 = { poolings: 4, inputSize: 64 } as const;

/** A classifier in narrow form. */
export function narrowNet(name: NarrowNet[0], options: ArchitectureOptions = {}): Graph {
  return withGeneratedWeights(buildArchitecture(name, { classes: CLASSES, ...NARROW[name], ...options }));
}

/** Native 64, fully connected head, output stride 16. */
export const tinyVgg = (): Graph => narrowNet('vgg11_bn', VGG_AT_64);

/** Global average pooling, output stride 16. */
export const tinyResNet = (): Graph => narrowNet('resnet18', { width: 4, stem: 'compact' });

/** A graph of one float32 input `x`; `make` adds nodes and returns the outputs. */
export function graphOf(dims: readonly Dim[], make: (builder: GraphBuilder, x: string) => ValueInfo[] | string): Graph {
  const builder = graphBuilder({ name: 'test' });
  const made = make(builder, builder.input('x', 'float32', dims));
  const outputs = typeof made === 'string' ? [output(made)] : made;
  return withGeneratedWeights(builder.finish(outputs));
}

/** An output without declared dimensions: `rank` free sizes. */
export function output(name: string, rank = 4, dataType: ValueInfo['dataType'] = 'float32'): ValueInfo {
  return { name, dataType, dims: Array.from({ length: rank }, (_, axis) => `${name}.${axis}`) };
}
