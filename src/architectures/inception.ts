/**
 * Inception v3 (Szegedy 2016, table 1) as torchvision has it, for images of 299 pixels. Parameter names are
 * torchvision's.
 *
 * The auxiliary classifier only helps training. It is a separate graph, so that the published parameter count, which
 * includes it, can be checked. torchvision's trained weights expect `transform_input`, which turns ImageNet's mean and
 * deviation into 0.5 and 0.5. Set these in the manifest's `input`; nothing else changes.
 */
import { graphBuilder } from '../graph/build.js';
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
  type Features,
  type InceptionLayers,
} from './inception-units.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export type InceptionOptions = CommonOptions;

interface Variant {
  readonly defaults: InceptionOptions;
}

export const INCEPTIONS = { inception_v3: { defaults: { ...IMAGENET_FORM, inputSize: 299 } } };

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildInception(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes } = options;
  const builder = graphBuilder({ name });
  const layers = inceptionLayersOn(builder, options);

  let x: Features = { value: builder.input('input', 'float32', ['N', 3, 'H', 'W']), channels: 3 };
  x = layers.chain(
    x,
    ['Conv2d_1a_3x3', 32, HALVING],
    ['Conv2d_2a_3x3', 32, { kernel: 3 }],
    ['Conv2d_2b_3x3', 64, THREE],
  );
  x = layers.pool(x, 'maxpool1', 'max', HALVING);
  x = layers.chain(x, ['Conv2d_3b_1x1', 80], ['Conv2d_4a_3x3', 192, { kernel: 3 }]);
  x = layers.pool(x, 'maxpool2', 'max', HALVING);

  x = wide(layers, x, 'Mixed_5b', 32);
  x = wide(layers, x, 'Mixed_5c', 64);
  x = wide(layers, x, 'Mixed_5d', 64);
  x = halveTo17(layers, x, 'Mixed_6a');
  x = factorized(layers, x, 'Mixed_6b', 128);
  x = factorized(layers, x, 'Mixed_6c', 160);
  x = factorized(layers, x, 'Mixed_6d', 160);
  x = factorized(layers, x, 'Mixed_6e', 192);
  x = halveTo8(layers, x, 'Mixed_7a');
  x = expanded(layers, x, 'Mixed_7b');
  x = expanded(layers, x, 'Mixed_7c');

  const shape = { in: x.channels, out: classes, output: 'logits' };
  const logits = layers.linear(layers.globalAverage(x.value), 'fc', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** The auxiliary classifier: `features` [N, 768, h, w], the output of Mixed_6e, → `aux_logits` [N, classes]. */
export function buildInceptionAuxiliary(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes } = options;
  const builder = graphBuilder({ name: `${name}.AuxLogits` });
  const layers = inceptionLayersOn(builder, options);
  let x: Features = { value: builder.input('features', 'float32', ['N', 768, 'h', 'w']), channels: 768 };
  x = layers.pool(x, 'AuxLogits.pool', 'average', { kernel: 5, stride: 3 });
  x = layers.chain(x, ['AuxLogits.conv0', 128], ['AuxLogits.conv1', 768, { kernel: 5 }]);
  const shape = { in: x.channels, out: classes, output: 'aux_logits' };
  const logits = layers.linear(layers.globalAverage(x.value), 'AuxLogits.fc', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** Figure 5 of the paper, but with one 5×5 convolution kept. */
function wide(layers: InceptionLayers, x: Features, name: string, pooled: number): Features {
  return layers.join(
    name,
    layers.chain(x, [`${name}.branch1x1`, 64]),
    layers.chain(x, [`${name}.branch5x5_1`, 48], [`${name}.branch5x5_2`, 64, FIVE]),
    layers.chain(
      x,
      [`${name}.branch3x3dbl_1`, 64],
      [`${name}.branch3x3dbl_2`, 96, THREE],
      [`${name}.branch3x3dbl_3`, 96, THREE],
    ),
    layers.chain(average(layers, x, name), [`${name}.branch_pool`, pooled]),
  );
}

/** Figure 6: convolutions factorized into rows and columns of 7. */
function factorized(layers: InceptionLayers, x: Features, name: string, inner: number): Features {
  return layers.join(
    name,
    layers.chain(x, [`${name}.branch1x1`, 192]),
    layers.chain(
      x,
      [`${name}.branch7x7_1`, inner],
      [`${name}.branch7x7_2`, inner, ROW_OF_7],
      [`${name}.branch7x7_3`, 192, COLUMN_OF_7],
    ),
    layers.chain(
      x,
      [`${name}.branch7x7dbl_1`, inner],
      [`${name}.branch7x7dbl_2`, inner, COLUMN_OF_7],
      [`${name}.branch7x7dbl_3`, inner, ROW_OF_7],
      [`${name}.branch7x7dbl_4`, inner, COLUMN_OF_7],
      [`${name}.branch7x7dbl_5`, 192, ROW_OF_7],
    ),
    layers.chain(average(layers, x, name), [`${name}.branch_pool`, 192]),
  );
}

/** Figure 7: rows and columns of 3 side by side. */
function expanded(layers: InceptionLayers, x: Features, name: string): Features {
  const three = layers.chain(x, [`${name}.branch3x3_1`, 384]);
  const double = layers.chain(x, [`${name}.branch3x3dbl_1`, 448], [`${name}.branch3x3dbl_2`, 384, THREE]);
  return layers.join(
    name,
    layers.chain(x, [`${name}.branch1x1`, 320]),
    layers.chain(three, [`${name}.branch3x3_2a`, 384, ROW_OF_3]),
    layers.chain(three, [`${name}.branch3x3_2b`, 384, COLUMN_OF_3]),
    layers.chain(double, [`${name}.branch3x3dbl_3a`, 384, ROW_OF_3]),
    layers.chain(double, [`${name}.branch3x3dbl_3b`, 384, COLUMN_OF_3]),
    layers.chain(average(layers, x, name), [`${name}.branch_pool`, 192]),
  );
}

/** Figure 10: from 35 cells a side to 17. */
function halveTo17(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.chain(x, [`${name}.branch3x3`, 384, HALVING]),
    layers.chain(
      x,
      [`${name}.branch3x3dbl_1`, 64],
      [`${name}.branch3x3dbl_2`, 96, THREE],
      [`${name}.branch3x3dbl_3`, 96, HALVING],
    ),
    layers.pool(x, `${name}.branch_pool`, 'max', HALVING),
  );
}

/** From 17 cells a side to 8. */
function halveTo8(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.join(
    name,
    layers.chain(x, [`${name}.branch3x3_1`, 192], [`${name}.branch3x3_2`, 320, HALVING]),
    layers.chain(
      x,
      [`${name}.branch7x7x3_1`, 192],
      [`${name}.branch7x7x3_2`, 192, ROW_OF_7],
      [`${name}.branch7x7x3_3`, 192, COLUMN_OF_7],
      [`${name}.branch7x7x3_4`, 192, HALVING],
    ),
    layers.pool(x, `${name}.branch_pool`, 'max', HALVING),
  );
}

function average(layers: InceptionLayers, x: Features, name: string): Features {
  return layers.pool(x, `${name}.average`, 'average', { kernel: 3, stride: 1, padding: 1 });
}
