/**
 * VGG (Simonyan 2015, table 1, configurations A, B, D, E), with or without batch normalization: 3×3 convolutions, 2×2
 * max-poolings, three fully connected layers. Parameter names and layer numbers are torchvision's.
 *
 * Two layers of torchvision's net are left out: the pooling to 7×7 before the head, which is the identity at the native
 * size, and dropout, which is the identity at inference.
 */
import { int } from '../graph/attributes.js';
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn } from './layers.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

/** `inputSize`: the head covers inputSize / 2^poolings cells of the trunk's map in each direction. */
export interface VggOptions extends CommonOptions {
  /** Channels of the first convolutions; the later ones have 2, 4, 8 and 8 times as many. */
  readonly width: number;
  /** Width of the two hidden fully connected layers. */
  readonly hidden: number;
  /** 5, or 4 for small inputs, without the last max-pooling. */
  readonly poolings: number;
}

interface Variant {
  /** Convolutions in each of the five stages. */
  readonly stages: readonly number[];
  readonly batchNorm: boolean;
  readonly defaults: VggOptions;
}

const DEFAULTS: VggOptions = { ...IMAGENET_FORM, width: 64, hidden: 4096, poolings: 5 };

const vgg = (stages: readonly number[], batchNorm = false): Variant => ({ stages, batchNorm, defaults: DEFAULTS });

const A = [1, 1, 2, 2, 2];
const B = [2, 2, 2, 2, 2];
const D = [2, 2, 3, 3, 3];
const E = [2, 2, 4, 4, 4];

export const VGGS = {
  vgg11: vgg(A),
  vgg11_bn: vgg(A, true),
  vgg13: vgg(B),
  vgg13_bn: vgg(B, true),
  vgg16: vgg(D),
  vgg16_bn: vgg(D, true),
  vgg19: vgg(E),
  vgg19_bn: vgg(E, true),
};

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildVgg(name: string, { stages, batchNorm, defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width, hidden, poolings, inputSize } = options;
  if (poolings !== 5 && poolings !== 4) throw new Error(`${name}: option "poolings" must be 4 or 5, is ${poolings}`);
  const side = inputSize / 2 ** poolings;
  if (!Number.isInteger(side)) {
    throw new Error(`${name}: option "inputSize" must be a multiple of ${2 ** poolings}, is ${inputSize}`);
  }

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = 3;
  let index = 0;
  const next = (): string => `features.${index++}`;
  for (const [stage, convolutions] of stages.entries()) {
    const out = width * Math.min(2 ** stage, 8);
    for (let i = 0; i < convolutions; i += 1) {
      x = layers.conv(x, next(), { in: channels, out, kernel: 3, padding: 1, bias: true });
      if (batchNorm) x = layers.batchNorm(x, next(), out);
      x = layers.activation(x, next());
      channels = out;
    }
    if (stage < poolings) x = layers.maxPool(x, next(), { kernel: 2, stride: 2 });
  }

  x = builder.node('Flatten', [x], { name: 'flatten', attributes: { axis: int(1) } });
  x = layers.activation(layers.linear(x, 'classifier.0', { in: channels * side * side, out: hidden }), 'classifier.1');
  x = layers.activation(layers.linear(x, 'classifier.3', { in: hidden, out: hidden }), 'classifier.4');
  x = layers.linear(x, 'classifier.6', { in: hidden, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}
