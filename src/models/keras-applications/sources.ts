/**
 * Where the HDF5 files of Keras' applications hold the parameters of a built-in net, and how Keras' values become the
 * parameter's. The conversion is exact:
 *
 * - A kernel is [h, w, in, out] there, a fully connected one [in, out]; after a Flatten its inputs are in the order
 *   (row, column, channel) there, (channel, row, column) here. Both are one transposition of [h, w, in, out].
 * - ResNet's convolutions have a bias there, none here: BN(c + b) with mean m is BN(c) with mean m − b.
 * - ResNet's batch normalization has epsilon 1.001e-5 there, torch's 1e-5 here: the difference goes to the variance.
 *
 * Sources: keras/src/applications/vgg16.py, vgg19.py, resnet.py, resnet_v2.py; test/fixtures/weight-names has the
 * layers that Keras writes.
 */
import { BATCH_NORM_EPSILON, type ArchitectureName } from '../../architectures/index.js';
import { renameBy, type NamingRules } from '../networks/naming-rules.js';

/** The source of a parameter's values. */
export interface KerasSource {
  readonly name: string;
  readonly dims: readonly number[];
  readonly layer: string;
  /** Index among the layer's weights: their order is the same in old and new files, their names are not. */
  readonly index: number;
  /** For a kernel: its dimensions in Keras. */
  readonly kernel?: readonly [height: number, width: number, inputs: number, outputs: number];
  /** A convolution whose bias is subtracted from the values. */
  readonly minusBiasOf?: string;
  /** A number that is added to each value. */
  readonly plus?: number;
}

/** From a builder's parameter to Keras' layer and the kind of weight, e.g. `conv1_conv.weight`. */
const RESNET: NamingRules = [
  [/^conv1\./, 'conv1_conv.'],
  [/^bn1\./, 'conv1_bn.'],
  [/^layer(\d+)\.(\d+)\.conv(\d)\./, (stage, block, i) => `${blockName(Number(stage) + 1, block)}_${i}_conv.`],
  [/^layer(\d+)\.(\d+)\.bn(\d)\./, (stage, block, i) => `${blockName(Number(stage) + 1, block)}_${i}_bn.`],
  [/^layer(\d+)\.(\d+)\.downsample\.0\./, (stage, block) => `${blockName(Number(stage) + 1, block)}_0_conv.`],
  [/^layer(\d+)\.(\d+)\.downsample\.1\./, (stage, block) => `${blockName(Number(stage) + 1, block)}_0_bn.`],
  [/^fc\./, 'predictions.'],
];

const RESNET_V2: NamingRules = [
  [/^stem\.conv\./, 'conv1_conv.'],
  [/^stages\.(\d+)\.blocks\.(\d+)\.norm1\./, (stage, block) => `${blockName(Number(stage) + 2, block)}_preact_bn.`],
  [
    /^stages\.(\d+)\.blocks\.(\d+)\.norm(\d)\./,
    (stage, block, i) => `${blockName(Number(stage) + 2, block)}_${Number(i) - 1}_bn.`,
  ],
  [
    /^stages\.(\d+)\.blocks\.(\d+)\.conv(\d)\./,
    (stage, block, i) => `${blockName(Number(stage) + 2, block)}_${i}_conv.`,
  ],
  [
    /^stages\.(\d+)\.blocks\.(\d+)\.downsample\.conv\./,
    (stage, block) => `${blockName(Number(stage) + 2, block)}_0_conv.`,
  ],
  [/^norm\./, 'post_bn.'],
  [/^head\.fc\./, 'predictions.'],
];

const vgg = (...convolutions: number[]): NamingRules => [
  [/^features\.(\d+)\./, (layer) => vggLayer(Number(layer), convolutions)],
  [/^classifier\.0\./, 'fc1.'],
  [/^classifier\.3\./, 'fc2.'],
  [/^classifier\.6\./, 'predictions.'],
];

const RULES: ReadonlyMap<string, NamingRules> = new Map<ArchitectureName, NamingRules>([
  ['vgg16', vgg(2, 2, 3, 3, 3)],
  ['vgg19', vgg(2, 2, 4, 4, 4)],
  ['resnet50_v1', RESNET],
  ['resnet101_v1', RESNET],
  ['resnet152_v1', RESNET],
  ['preresnet50_keras', RESNET_V2],
  ['preresnet101_keras', RESNET_V2],
  ['preresnet152_keras', RESNET_V2],
]);

/** The architectures for which Keras' applications have weights. */
export const KERAS_ARCHITECTURES: readonly string[] = [...RULES.keys()];

/** Keras counts blocks from 1, the builders from 0. */
function blockName(stage: number, block = ''): string {
  return `conv${stage}_block${Number(block) + 1}`;
}

/**
 * torchvision numbers convolutions, activations and poolings in one sequence; Keras numbers the convolutions of each
 * block.
 */
function vggLayer(layer: number, convolutions: readonly number[]): string {
  let inBlock = layer;
  let block = 0;
  while (inBlock > 2 * convolutions[block]!) inBlock -= 2 * convolutions[block++]! + 1;
  return `block${block + 1}_conv${inBlock / 2 + 1}.`;
}

const PLACES = new Map([
  ['weight', 0],
  ['bias', 1],
  ['running_mean', 2],
  ['running_var', 3],
]);

/** Index of the bias among a convolution's weights. */
export const BIAS_INDEX = 1;

const KERAS_EPSILON = 1.001e-5;

/**
 * Sources of a built-in net's parameters, which must be in the order of its layers; undefined if Keras has no such net.
 */
export function kerasSources(
  architecture: string,
  parameters: readonly { readonly name: string; readonly dims: readonly number[] }[],
): KerasSource[] | undefined {
  const rules = RULES.get(architecture);
  if (rules === undefined) return undefined;
  let channels = 3;
  return parameters.map(({ name, dims }) => {
    const [layer = '', kind = ''] = renameBy(rules, name).split('.');
    const source = { name, dims, layer, index: PLACES.get(kind) ?? -1 };
    if (dims.length >= 2) {
      const kernel = kernelOf(dims, channels);
      channels = dims[0]!;
      return { ...source, kernel };
    }
    if (kind === 'running_var') return { ...source, plus: KERAS_EPSILON - BATCH_NORM_EPSILON };
    return kind === 'running_mean' && rules === RESNET
      ? { ...source, minusBiasOf: layer.replace(/_bn$/, '_conv') }
      : source;
  });
}

/**
 * `channels`: output channels of the layer before. A fully connected layer with more inputs than that reads a square
 * map.
 */
function kernelOf(dims: readonly number[], channels: number): readonly [number, number, number, number] {
  const [outputs = 0, inputs = 0, height, width] = dims;
  if (height !== undefined && width !== undefined) return [height, width, inputs, outputs];
  const side = Math.sqrt(inputs / channels);
  return [side, side, channels, outputs];
}
