/**
 * The architectures that can be built by name. Each builder returns an unbound graph `input` [N, 3, H, W], or [N, 1, H, W]
 * for grey images, → `logits` [N, classes]. Its parameters have the state-dict names of torchvision, or of the implementation that the family's
 * file names.
 */
import { countParameters } from '../graph/cost.js';
import type { Graph } from '../graph/graph.js';
import { ALL_CNNS, buildAllCnn } from './all-cnn.js';
import { buildDenseNet, DENSENETS } from './densenet.js';
import { buildEfficientNetLite, EFFICIENTNET_LITES } from './efficientnet-lite.js';
import { buildFractalNet, FRACTALNETS } from './fractalnet.js';
import { buildGoogLeNet, GOOGLENETS } from './googlenet.js';
import { buildHighway, HIGHWAYS } from './highway.js';
import { buildInception, buildInceptionAuxiliary, INCEPTIONS } from './inception.js';
import { buildInceptionResNet, INCEPTION_RESNETS } from './inception-resnet.js';
import { buildInceptionV4, INCEPTION_V4S } from './inception-v4.js';
import { buildMultiResNet, MULTI_RESNETS } from './multi-resnet.js';
import { buildNin, NINS } from './nin.js';
import type { ArchitectureOptions, CommonOptions } from './options.js';
import { buildPolyNet, POLYNETS } from './polynet.js';
import { buildPreResNet, PRE_RESNETS } from './pre-resnet.js';
import { buildRecurrentResNet, RECURRENT_RESNETS } from './recurrent-resnet.js';
import { buildResNet, RESNETS } from './resnet.js';
import { buildRor, RORS } from './ror.js';
import {
  buildMnistTransformer,
  buildSpatialTransformer,
  MNIST_TRANSFORMERS,
  SPATIAL_TRANSFORMERS,
  type InitialValues,
} from './spatial-transformer.js';
import { buildSqueezeNet, SQUEEZENETS } from './squeezenet.js';
import { buildVgg, VGGS } from './vgg.js';

export { ACTIVATIONS, BATCH_NORM_EPSILON } from './layers.js';
export type { ArchitectureOptions } from './options.js';

interface Architecture {
  /** The published form. */
  readonly defaults: CommonOptions;
  /** Of its images. Default: 3. */
  readonly channels?: number;
  /** Parameters that mean something before any training. */
  readonly initial?: InitialValues;
  build(given: ArchitectureOptions): Graph;
  /** A classifier used in training only: it is not part of the graph, but the published count includes it. */
  auxiliary?(given: ArchitectureOptions): Graph;
}

type Builder<V> = (name: string, variant: V, given: ArchitectureOptions) => Graph;

/** The architectures of a family, by name. */
function family<N extends string, V extends Pick<Architecture, 'defaults' | 'channels' | 'initial'>>(
  variants: Readonly<Record<N, V>>,
  build: Builder<V>,
  auxiliary?: Builder<V>,
): Record<N, Architecture> {
  const entries = Object.entries<V>(variants).map(([name, variant]): [string, Architecture] => [
    name,
    {
      defaults: variant.defaults,
      ...(variant.channels === undefined ? {} : { channels: variant.channels }),
      ...(variant.initial === undefined ? {} : { initial: variant.initial }),
      build: (given) => build(name, variant, given),
      ...(auxiliary === undefined ? {} : { auxiliary: (given) => auxiliary(name, variant, given) }),
    },
  ]);
  return Object.fromEntries(entries) as Record<N, Architecture>;
}

/** A spatial transformer in front of any classifier of this table that is none itself. */
function buildTransformed(
  name: string,
  variant: (typeof SPATIAL_TRANSFORMERS)['spatial_transformer'],
  given: ArchitectureOptions,
): Graph {
  const isTransformer = (classifier: string): boolean =>
    classifier in SPATIAL_TRANSFORMERS || classifier in MNIST_TRANSFORMERS;
  return buildSpatialTransformer(name, variant, given, {
    nativeSide: (classifier) =>
      isArchitecture(classifier) && !isTransformer(classifier) ? nativeForm(classifier).inputSize : undefined,
    build: (classifier, options) => buildArchitecture(classifier as ArchitectureName, options),
  });
}

const ARCHITECTURES = {
  ...family(VGGS, buildVgg),
  ...family(RESNETS, buildResNet),
  ...family(PRE_RESNETS, buildPreResNet),
  ...family(MULTI_RESNETS, buildMultiResNet),
  ...family(RORS, buildRor),
  ...family(RECURRENT_RESNETS, buildRecurrentResNet),
  ...family(FRACTALNETS, buildFractalNet),
  ...family(SPATIAL_TRANSFORMERS, buildTransformed),
  ...family(MNIST_TRANSFORMERS, buildMnistTransformer),
  ...family(DENSENETS, buildDenseNet),
  ...family(INCEPTIONS, buildInception, buildInceptionAuxiliary),
  ...family(INCEPTION_V4S, buildInceptionV4),
  ...family(INCEPTION_RESNETS, buildInceptionResNet),
  ...family(POLYNETS, buildPolyNet),
  ...family(GOOGLENETS, buildGoogLeNet),
  ...family(SQUEEZENETS, buildSqueezeNet),
  ...family(NINS, buildNin),
  ...family(ALL_CNNS, buildAllCnn),
  ...family(HIGHWAYS, buildHighway),
  ...family(EFFICIENTNET_LITES, buildEfficientNetLite),
};

export type ArchitectureName = keyof typeof ARCHITECTURES;

export const ARCHITECTURE_NAMES = Object.keys(ARCHITECTURES) as readonly ArchitectureName[];

export function isArchitecture(name: string): name is ArchitectureName {
  return Object.hasOwn(ARCHITECTURES, name);
}

/** Build by name; missing options take their published values. Throws Error naming the invalid option. */
export function buildArchitecture(name: ArchitectureName, options: ArchitectureOptions = {}): Graph {
  return ARCHITECTURES[name].build(options);
}

/** The published form: native side in pixels, and number of classes. */
export function nativeForm(name: ArchitectureName): { readonly inputSize: number; readonly classes: number } {
  const { inputSize, classes } = ARCHITECTURES[name].defaults;
  return { inputSize, classes };
}

/** Channels of the images: 3, or 1 for grey ones. */
export function imageChannels(name: ArchitectureName): number {
  const { channels = 3 }: Architecture = ARCHITECTURES[name];
  return channels;
}

/** Values that parameters have before any training, where any others would make no sense. */
export function initialValues(name: ArchitectureName): InitialValues {
  const { initial = {} }: Architecture = ARCHITECTURES[name];
  return initial;
}

/** The auxiliary classifier (features → `aux_logits`), used in training only; undefined if the net has none. */
export function buildAuxiliary(name: ArchitectureName, options: ArchitectureOptions = {}): Graph | undefined {
  return ARCHITECTURES[name].auxiliary?.(options);
}

/** Trainable parameters as published, with those of the auxiliary classifier. */
export function countPublishedParameters(name: ArchitectureName, options: ArchitectureOptions = {}): number {
  const graphs = [buildArchitecture(name, options), buildAuxiliary(name, options)];
  return graphs.reduce((sum, graph) => sum + (graph === undefined ? 0 : countParameters(graph)), 0);
}

/** The parameters that need weights, running statistics included, in the order of the layers. */
export function parametersOf(graph: Graph): { name: string; dims: readonly number[] }[] {
  return [...graph.initializers.values()]
    .filter(({ data }) => data.kind === 'unbound')
    .map(({ name, dims }) => ({ name, dims }));
}
