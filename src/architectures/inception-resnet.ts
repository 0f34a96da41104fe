/**
 * Inception-ResNet (Szegedy 2017) for images of 299 pixels: the branches of an Inception module are joined, brought to
 * the channels of the input by a 1×1 convolution with a bias and without normalization, scaled, and added to the input.
 *
 * - `inception_resnet_v1`: figures 10 to 15.
 * - `inception_resnet_v1_facenet`: with another module at the end that is neither scaled nor activated, and with a head
 *   of two fully connected layers, the first normalized (Schroff 2015 calls its output the embedding).
 * - `inception_resnet_v2`: the form of the published weights, 10, 20 and 10 modules. Figures 16 to 19 of the paper draw a
 *   smaller net of 5, 10 and 5 modules behind the stem of Inception-v4.
 *
 * Parameter names are timm's. The mean of the one average pooling leaves padding out.
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import {
  COLUMN_OF_3,
  COLUMN_OF_7,
  FIVE,
  HALVING,
  inceptionLayersOn,
  ROW_OF_3,
  ROW_OF_7,
  THREE,
  UNPADDED,
  type Features,
  type InceptionLayers,
  type Step,
} from './inception-units.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface InceptionResNetOptions extends CommonOptions {
  /** Channels of the first convolution; all others keep their ratio to it. */
  readonly width: number;
}

/** The steps of each branch. */
type Branches = readonly (readonly Step[])[];

interface Stage {
  readonly repeats: number;
  /** Factor of the branches' sum. */
  readonly scale: number;
  readonly branches: Branches;
}

interface Variant {
  readonly defaults: InceptionResNetOptions;
  /** From the first layers to 35 cells a side. */
  readonly stem: (layers: InceptionLayers, image: Features) => Features;
  /** Modules on maps of 35, 17 and 8 cells a side. */
  readonly stages: readonly [Stage, Stage, Stage];
  /** What stands between the stages, besides a max-pooling. */
  readonly reductions: readonly [Branches, Branches];
  /** Whether a module of the last stage follows that is neither scaled nor activated. */
  readonly closing: boolean;
  /** Channels of a unit behind the last module. */
  readonly last?: number;
  /** Width of a first fully connected layer, which is normalized. */
  readonly embedding?: number;
}

const PUBLISHED_WIDTH = 32;
const defaults: InceptionResNetOptions = { ...IMAGENET_FORM, inputSize: 299, width: PUBLISHED_WIDTH };

const V1: Variant = {
  defaults,
  stem: (layers, image) => layers.chain(entry(layers, image), ['conv2d_4b', 256, HALVING]),
  stages: [
    { repeats: 5, scale: 0.17, branches: [[[32]], [[32], [32, THREE]], [[32], [32, THREE], [32, THREE]]] },
    { repeats: 10, scale: 0.1, branches: [[[128]], [[128], [128, ROW_OF_7], [128, COLUMN_OF_7]]] },
    { repeats: 5, scale: 0.2, branches: [[[192]], [[192], [192, ROW_OF_3], [192, COLUMN_OF_3]]] },
  ],
  reductions: [
    [[[384, HALVING]], [[192], [192, THREE], [256, HALVING]]],
    [
      [[256], [384, HALVING]],
      [[256], [256, HALVING]],
      [[256], [256, THREE], [256, HALVING]],
    ],
  ],
  closing: false,
};

const V2: Variant = {
  defaults,
  stem(layers, image) {
    const x = layers.pool(entry(layers, image), 'maxpool_5a', 'max', HALVING);
    const averaged = layers.pool(x, 'mixed_5b.branch3.0', 'average', {
      kernel: 3,
      stride: 1,
      padding: 1,
      countsPadding: false,
    });
    return layers.join(
      'mixed_5b',
      layers.sequence(x, 'mixed_5b.branch0', [96]),
      layers.sequence(x, 'mixed_5b.branch1', [48], [64, FIVE]),
      layers.sequence(x, 'mixed_5b.branch2', [64], [96, THREE], [96, THREE]),
      layers.chain(averaged, ['mixed_5b.branch3.1', 64]),
    );
  },
  stages: [
    { repeats: 10, scale: 0.17, branches: [[[32]], [[32], [32, THREE]], [[32], [48, THREE], [64, THREE]]] },
    { repeats: 20, scale: 0.1, branches: [[[192]], [[128], [160, ROW_OF_7], [192, COLUMN_OF_7]]] },
    { repeats: 9, scale: 0.2, branches: [[[192]], [[192], [224, ROW_OF_3], [256, COLUMN_OF_3]]] },
  ],
  reductions: [
    [[[384, HALVING]], [[256], [256, THREE], [384, HALVING]]],
    [
      [[256], [384, HALVING]],
      [[256], [288, HALVING]],
      [[256], [288, THREE], [320, HALVING]],
    ],
  ],
  closing: true,
  last: 1536,
};

export const INCEPTION_RESNETS = {
  inception_resnet_v1: V1,
  inception_resnet_v1_facenet: { ...V1, closing: true, embedding: 512 },
  inception_resnet_v2: V2,
} satisfies Record<string, Variant>;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildInceptionResNet(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { classes, width } = options;
  const builder = graphBuilder({ name });
  const layers = inceptionLayersOn(builder, { ...options, scale: width / PUBLISHED_WIDTH });

  let x: Features = { value: builder.input('input', 'float32', ['N', 3, 'H', 'W']), channels: 3 };
  x = variant.stem(layers, x);
  for (const [index, { repeats, scale, branches }] of variant.stages.entries()) {
    const stage = index === 0 ? 'repeat' : `repeat_${index}`;
    for (let i = 0; i < repeats; i += 1) {
      x = activated(layers, residual(builder, layers, x, { name: `${stage}.${i}`, scale, branches }), `${stage}.${i}`);
    }
    const reduction = variant.reductions[index];
    if (reduction !== undefined) x = reduce(layers, x, index === 0 ? 'mixed_6a' : 'mixed_7a', reduction);
  }
  const [, , { branches }] = variant.stages;
  if (variant.closing) x = residual(builder, layers, x, { name: 'block8', scale: 1, branches });
  if (variant.last !== undefined) x = layers.chain(x, ['conv2d_7b', variant.last]);

  const logits = head(layers, x, { classes, embedding: variant.embedding });
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** The first layers, which both versions have: to 71 cells a side. */
function entry(layers: InceptionLayers, image: Features): Features {
  const x = layers.chain(image, ['conv2d_1a', 32, HALVING], ['conv2d_2a', 32, UNPADDED], ['conv2d_2b', 64, THREE]);
  const pooled = layers.pool(x, 'maxpool_3a', 'max', HALVING);
  return layers.chain(pooled, ['conv2d_3b', 80], ['conv2d_4a', 192, UNPADDED]);
}

interface Module extends Omit<Stage, 'repeats'> {
  readonly name: string;
}

/** The input plus the branches, joined, projected and scaled. */
function residual(
  builder: GraphBuilder,
  layers: InceptionLayers,
  x: Features,
  { name, scale, branches }: Module,
): Features {
  const joined = layers.join(`${name}.concat`, ...branchesOf(layers, x, name, branches));
  const shape = { in: joined.channels, out: x.channels, kernel: 1, bias: true };
  const projected = layers.conv(joined.value, `${name}.conv2d`, shape);
  const scaled = scale === 1 ? projected : layers.scale(projected, `${name}.scale`, scale);
  return { value: builder.node('Add', [x.value, scaled], { name: `${name}.add` }), channels: x.channels };
}

function activated(layers: InceptionLayers, { value, channels }: Features, name: string): Features {
  return { value: layers.activation(value, `${name}.relu`), channels };
}

/** Halves the map by branches and a max-pooling side by side. */
function reduce(layers: InceptionLayers, x: Features, name: string, branches: Branches): Features {
  const pooled = layers.pool(x, `${name}.branch${branches.length}`, 'max', HALVING);
  return layers.join(name, ...branchesOf(layers, x, name, branches), pooled);
}

function branchesOf(layers: InceptionLayers, x: Features, name: string, branches: Branches): Features[] {
  return branches.map((steps, index) => layers.sequence(x, `${name}.branch${index}`, ...steps));
}

/** Global average pooling and a fully connected layer, or two. */
function head(
  layers: InceptionLayers,
  { value, channels }: Features,
  { classes, embedding }: { readonly classes: number; readonly embedding: number | undefined },
): string {
  const pooled = layers.globalAverage(value);
  if (embedding === undefined) {
    return layers.linear(pooled, 'classif', { in: channels, out: classes, output: 'logits' });
  }
  const embedded = layers.linear(pooled, 'embedding', { in: channels, out: embedding, bias: false });
  const normalized = layers.batchNorm(embedded, 'embedding.bn', embedding);
  return layers.linear(normalized, 'classif', { in: embedding, out: classes, output: 'logits' });
}
