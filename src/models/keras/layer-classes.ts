/** The classes of layers that can be read, by their names in Keras and TensorFlow.js. */
import { conv2d, dense, depthwiseConv2d, separableConv2d } from './convolution-layers.js';
import {
  activation,
  add,
  average,
  batchNormalization,
  concatenate,
  elu,
  identity,
  leakyReLU,
  maximum,
  minimum,
  multiply,
  normalization,
  prelu,
  relu,
  rescaling,
  softmax,
  subtract,
  thresholdedRelu,
} from './elementwise-layers.js';
import type { LayerClass } from './layer.js';
import { averagePooling2d, globalAveragePooling2d, globalMaxPooling2d, maxPooling2d } from './pooling-layers.js';
import { cropping2d, flatten, permute, reshape, zeroPadding2d } from './shape-layers.js';

export const LAYER_CLASSES: ReadonlyMap<string, LayerClass> = new Map<string, LayerClass>([
  ['Conv2D', conv2d],
  ['DepthwiseConv2D', depthwiseConv2d],
  ['SeparableConv2D', separableConv2d],
  ['Dense', dense],

  ['MaxPooling2D', maxPooling2d],
  ['AveragePooling2D', averagePooling2d],
  ['GlobalAveragePooling2D', globalAveragePooling2d],
  ['GlobalMaxPooling2D', globalMaxPooling2d],

  ['Flatten', flatten],
  ['Reshape', reshape],
  ['Permute', permute],
  ['ZeroPadding2D', zeroPadding2d],
  ['Cropping2D', cropping2d],

  ['Activation', activation],
  ['ReLU', relu],
  ['LeakyReLU', leakyReLU],
  ['PReLU', prelu],
  ['ELU', elu],
  ['ThresholdedReLU', thresholdedRelu],
  ['Softmax', softmax],

  ['BatchNormalization', batchNormalization],
  // TensorFlow 1's names, and the form for training on several devices.
  ['BatchNormalizationV1', batchNormalization],
  ['BatchNormalizationV2', batchNormalization],
  ['SyncBatchNormalization', batchNormalization],
  ['Rescaling', rescaling],
  ['Normalization', normalization],

  ['Add', add],
  ['Multiply', multiply],
  ['Subtract', subtract],
  ['Average', average],
  ['Maximum', maximum],
  ['Minimum', minimum],
  ['Concatenate', concatenate],

  // Regularization and augmentation, which do nothing at inference.
  ...[
    ...['Dropout', 'SpatialDropout2D', 'AlphaDropout', 'GaussianDropout', 'GaussianNoise', 'ActivityRegularization'],
    ...['RandomFlip', 'RandomRotation', 'RandomZoom', 'RandomTranslation', 'RandomContrast', 'RandomBrightness'],
  ].map((name): [string, LayerClass] => [name, identity]),
]);
