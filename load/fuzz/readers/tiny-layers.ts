/** A tiny classifier as TensorFlow.js saves it. */
import { generatedValues } from '../../../src/models/networks/generated-weights.js';
import { TINY } from './tiny-onnx.js';

const { size: SIZE, classes: CLASSES } = TINY;

/** Classes of layers. */
export const LAYERS = [
  ...[
    'Conv2D',
    'DepthwiseConv2D',
    'SeparableConv2D',
    'Dense',
    'Flatten',
    'Reshape',
    'Add',
    'Concatenate',
    'Sequential',
  ],
  ...['AveragePooling2D', 'GlobalMaxPooling2D', 'LeakyReLU', 'PReLU', 'Rescaling', 'Permute', 'Dropout', 'Model'],
];

const layer = (name: string, type: string, config: object, from?: string): object => ({
  class_name: type,
  name,
  config: { name, ...config },
  inbound_nodes: from === undefined ? [] : [[[from, 0, 0, {}]]],
});

/** As TensorFlow.js saves a functional model. */
export const TOPOLOGY = {
  class_name: 'Model',
  keras_version: 'tfjs-layers 4.22.0',
  config: {
    name: 'tiny',
    layers: [
      layer('image', 'InputLayer', { batch_input_shape: [null, SIZE, SIZE, 3], dtype: 'float32' }),
      layer(
        'conv',
        'Conv2D',
        { filters: 4, kernel_size: [3, 3], strides: [2, 2], padding: 'same', use_bias: true },
        'image',
      ),
      layer('bn', 'BatchNormalization', { axis: 3, epsilon: 0.001, center: true, scale: true }, 'conv'),
      layer('relu', 'Activation', { activation: 'relu' }, 'bn'),
      layer('pool', 'MaxPooling2D', { pool_size: [2, 2], strides: [2, 2], padding: 'valid' }, 'relu'),
      layer(
        'pad',
        'ZeroPadding2D',
        {
          padding: [
            [1, 1],
            [1, 1],
          ],
        },
        'pool',
      ),
      layer('gap', 'GlobalAveragePooling2D', {}, 'pad'),
      layer('dense', 'Dense', { units: CLASSES, activation: 'softmax', use_bias: true }, 'gap'),
    ],
    input_layers: [['image', 0, 0]],
    output_layers: [['dense', 0, 0]],
  },
};

export const WEIGHTS = [
  ...[
    { name: 'conv/kernel', shape: [3, 3, 3, 4] },
    { name: 'conv/bias', shape: [4] },
  ],
  ...['gamma', 'beta', 'moving_mean', 'moving_variance'].map((kind) => ({ name: `bn/${kind}`, shape: [4] })),
  ...[
    { name: 'dense/kernel', shape: [4, CLASSES] },
    { name: 'dense/bias', shape: [CLASSES] },
  ],
].map((weight) => ({ ...weight, dtype: 'float32' }));

/** Files of the weights. */
export const SHARDS = ['shard1.bin', 'shard2.bin'];

/** The JSON file. */
export const layersModel = (): Buffer =>
  Buffer.from(
    JSON.stringify({
      format: 'layers-model',
      modelTopology: TOPOLOGY,
      weightsManifest: [{ paths: SHARDS, weights: WEIGHTS }],
    }),
  );

/** The contents of the files of weights; the second begins inside of a number. */
export function shards(): [Buffer, Buffer] {
  const bytes = Buffer.concat(WEIGHTS.map(({ name, shape }) => Buffer.from(generatedValues(name, shape).buffer)));
  return [bytes.subarray(0, 301), bytes.subarray(301)];
}
