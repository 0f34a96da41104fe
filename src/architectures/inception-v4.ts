/**
 * Inception-v4 (Szegedy 2017, figures 3 to 9) for images of 299 pixels, in the form of the published weights: rows and
 * columns stand in another order than in figures 3 and 6. The mean of an average pooling leaves padding out. Parameter
 * names are timm's.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import {
  COLUMN_OF_3,
  COLUMN_OF_7,
  HALVING,
  inceptionLayersOn,
  ROW_OF_3,
  ROW_OF_7,
  THREE,
  UNPADDED,
  type Features,
  type InceptionLayers,
} from './inception-units.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface InceptionV4Options extends CommonOptions {
  /** Channels of the first convolution; all others keep their ratio to it. */
  readonly width: number;
}

interface Variant {
  readonly defaults: InceptionV4Options;
}

const PUBLISHED_WIDTH = 32;

export const INCEPTION_V4S = {
  inception_v4: { defaults: { ...IMAGENET_FORM, inputSize: 299, width: PUBLISHED_WIDTH } },
};

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildInceptionV4(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width } = options;
  const builder = graphBuilder({ name });
  const layers = inceptionLayersOn(builder, { ...options, scale: width / PUBLISHED_WIDTH });

  let x: Features = { value: builder.input('input', 'float32', ['N', 3, 'H', 'W']), channels: 3 };
  x = stem(layers, x);
  let index = 6;
  const next = (): string => `features.${index++}`;
  for (let i = 0; i < 4; i += 1) x = moduleA(layers, x, next());
  x = reductionA(layers, x, next());
  for (let i = 0; i < 7; i += 1) x = moduleB(layers, x, next());
  x = reductionB(layers, x, next());
  for (let i = 0; i < 3; i += 1) x = moduleC(layers, x, next());

  const shape = { in: x.channels, out: classes, output: 'logits' };
  const logits = layers.linear(layers.globalAverage(x.value), 'last_linear', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** Figure 3: to 35 cells a side. */
function stem(layers: InceptionLayers, image: Features): Features {
  let x = layers.chain(image, ['features.0', 32, HALVING], ['features.1', 32, UNPADDED], ['features.2', 64, THREE]);
  x = layers.join(
    'features.3',
    layers.pool(x, 'features.3.maxpool', 'max', HALVING),
    layers.chain(x, ['features.3.conv', 96, HALVING]),
  );
  x = layers.join(
    'features.4',
    layers.sequence(x, 'features.4.branch0', [64], [96, UNPADDED]),
    layers.sequence(x, 'features.4.branch1', [64], [64, ROW_OF_7], [64, COLUMN_OF_7], [96, UNPADDED]),
  );
  return layers.join(
    'features.5',
    layers.chain(x, ['features.5.conv', 192, HALVING]),
    layers.pool(x, 'features.5.maxpool', 'max', HALVING),
  );
}

/** Figure 4. */
function moduleA(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.sequence(x, `${name}.branch0`, [96]),
    layers.sequence(x, `${name}.branch1`, [64], [96, THREE]),
    layers.sequence(x, `${name}.branch2`, [64], [96, THREE], [96, THREE]),
    averaged(layers, x, name, 96),
  );
}

/** Figure 7: from 35 cells a side to 17. */
function reductionA(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.sequence(x, `${name}.branch0`, [384, HALVING]),
    layers.sequence(x, `${name}.branch1`, [192], [224, THREE], [256, HALVING]),
    layers.pool(x, `${name}.branch2`, 'max', HALVING),
  );
}

/** Figure 5. */
function moduleB(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.sequence(x, `${name}.branch0`, [384]),
    layers.sequence(x, `${name}.branch1`, [192], [224, ROW_OF_7], [256, COLUMN_OF_7]),
    layers.sequence(
      x,
      `${name}.branch2`,
      [192],
      [192, COLUMN_OF_7],
      [224, ROW_OF_7],
      [224, COLUMN_OF_7],
      [256, ROW_OF_7],
    ),
    averaged(layers, x, name, 128),
  );
}

/** Figure 8: from 17 cells a side to 8. */
function reductionB(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.sequence(x, `${name}.branch0`, [192], [192, HALVING]),
    layers.sequence(x, `${name}.branch1`, [256], [256, ROW_OF_7], [320, COLUMN_OF_7], [320, HALVING]),
    layers.pool(x, `${name}.branch2`, 'max', HALVING),
  );
}

/** Figure 6: rows and columns of 3 side by side. */
function moduleC(layers: InceptionLayers, x: Features, name: string): Features {
  const short = layers.chain(x, [`${name}.branch1_0`, 384]);
  const long = layers.chain(
    x,
    [`${name}.branch2_0`, 384],
    [`${name}.branch2_1`, 448, COLUMN_OF_3],
    [`${name}.branch2_2`, 512, ROW_OF_3],
  );
  return layers.join(
    name,
    layers.sequence(x, `${name}.branch0`, [256]),
    layers.chain(short, [`${name}.branch1_1a`, 256, ROW_OF_3]),
    layers.chain(short, [`${name}.branch1_1b`, 256, COLUMN_OF_3]),
    layers.chain(long, [`${name}.branch2_3a`, 256, ROW_OF_3]),
    layers.chain(long, [`${name}.branch2_3b`, 256, COLUMN_OF_3]),
    averaged(layers, x, name, 256),
  );
}

/** The branch of average pooling and a 1×1 convolution. */
function averaged(layers: InceptionLayers, x: Features, name: string, out: number): Features {
  const window = { kernel: 3, stride: 1, padding: 1, countsPadding: false };
  return layers.chain(layers.pool(x, `${name}.branch3.0`, 'average', window), [`${name}.branch3.1`, out]);
}
