/**
 * GoogLeNet (Szegedy 2015, table 1) as torchvision has it: with batch normalization, and with a 3×3 where the paper has
 * a 5×5 convolution. The auxiliary classifiers, which only help training, and dropout are left out. Parameter names are
 * torchvision's.
 *
 * torchvision's trained weights expect `transform_input`, which turns ImageNet's mean and deviation into 0.5 and 0.5.
 * Set these in the manifest's `input`; nothing else changes.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { inceptionLayersOn, type Features, type InceptionLayers } from './inception-units.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export type GoogLeNetOptions = CommonOptions;

interface Variant {
  readonly defaults: GoogLeNetOptions;
}

export const GOOGLENETS = { googlenet: { defaults: IMAGENET_FORM } };

/** Channels by column of the paper's table: 1×1; 3×3 reduced, 3×3; "5×5" reduced, "5×5"; projected after pooling. */
type Module = readonly [
  name: string,
  one: number,
  threeReduced: number,
  three: number,
  fiveReduced: number,
  five: number,
  projected: number,
];

const STAGE_3: readonly Module[] = [
  ['inception3a', 64, 96, 128, 16, 32, 32],
  ['inception3b', 128, 128, 192, 32, 96, 64],
];
const STAGE_4: readonly Module[] = [
  ['inception4a', 192, 96, 208, 16, 48, 64],
  ['inception4b', 160, 112, 224, 24, 64, 64],
  ['inception4c', 128, 128, 256, 24, 64, 64],
  ['inception4d', 112, 144, 288, 32, 64, 64],
  ['inception4e', 256, 160, 320, 32, 128, 128],
];
const STAGE_5: readonly Module[] = [
  ['inception5a', 256, 160, 320, 32, 128, 128],
  ['inception5b', 384, 192, 384, 48, 128, 128],
];

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildGoogLeNet(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes } = options;
  const builder = graphBuilder({ name });
  const layers = inceptionLayersOn(builder, options);
  const stage = (from: Features, modules: readonly Module[]): Features =>
    modules.reduce((y, module) => inception(layers, y, module), from);

  const pool = { kernel: 3, stride: 2, ceil: true };
  let x: Features = { value: builder.input('input', 'float32', ['N', 3, 'H', 'W']), channels: 3 };
  x = layers.chain(x, ['conv1', 64, { kernel: 7, stride: 2, padding: 3 }]);
  x = layers.pool(x, 'maxpool1', 'max', pool);
  x = layers.chain(x, ['conv2', 64], ['conv3', 192, { kernel: 3, padding: 1 }]);
  x = stage(layers.pool(x, 'maxpool2', 'max', pool), STAGE_3);
  x = stage(layers.pool(x, 'maxpool3', 'max', pool), STAGE_4);
  x = stage(layers.pool(x, 'maxpool4', 'max', { ...pool, kernel: 2 }), STAGE_5);

  const shape = { in: x.channels, out: classes, output: 'logits' };
  const logits = layers.linear(layers.globalAverage(x.value), 'fc', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

function inception(layers: InceptionLayers, x: Features, module: Module): Features {
  const [name, one, threeReduced, three, fiveReduced, five, projected] = module;
  const window = { kernel: 3, padding: 1 };
  return layers.join(
    `${name}.concat`,
    layers.chain(x, [`${name}.branch1`, one]),
    layers.chain(x, [`${name}.branch2.0`, threeReduced], [`${name}.branch2.1`, three, window]),
    layers.chain(x, [`${name}.branch3.0`, fiveReduced], [`${name}.branch3.1`, five, window]),
    layers.chain(layers.pool(x, `${name}.branch4.0`, 'max', { ...window, stride: 1 }), [
      `${name}.branch4.1`,
      projected,
    ]),
  );
}
