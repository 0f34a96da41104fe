/**
 * VGG (Simonyan 2015, table 1, configurations A, B, D, E), with or without batch normalization: 3×3 convolutions, 2×2
 * max-poolings, three fully connected layers. Parameter names and layer numbers are torchvision's.
 *
 * torchvision pools the trunk's map to 7×7 before the head, the identity at the native size; it is left out, and so is
 * dropout, the identity at inference.
 */
import { int } from '../graph/attributes.js';
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn } from './layers.js';
import { resolveOptions, type ArchitectureOptions } from './options.js';

export interface VggOptions {
  readonly classes: number;
  /** Channels of the first convolutions; the later ones have 2, 4, 8 and 8 times as many. */
  readonly width: number;
  /** Width of the two hidden fully connected layers. */
  readonly hidden: number;
  /** 5, or 4 for small inputs: the last max-pooling is left out. */
  readonly poolings: number;
  /** Native side in pixels; the head covers inputSize / 2^poolings cells of the trunk's map in each direction. */
  readonly inputSize: number;
}

const DEFAULTS: VggOptions = { classes: 1000, width: 64, hidden: 4096, poolings: 5, inputSize: 224 };

/** Convolutions in each of the five stages. */
const STAGES: Readonly<Record<number, readonly number[]>> = {
  11: [1, 1, 2, 2, 2],
  13: [2, 2, 2, 2, 2],
  16: [2, 2, 3, 3, 3],
  19: [2, 2, 4, 4, 4],
};

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on options that do not fit. */
export function buildVgg(name: string, depth: number, batchNorm: boolean, given: ArchitectureOptions = {}): Graph {
  const options = resolveOptions(name, DEFAULTS, given);
  const { classes, width, hidden, poolings, inputSize } = options;
  const stages = STAGES[depth];
  if (stages === undefined) throw new Error(`there is no VGG of depth ${depth}`);
  if (poolings !== 5 && poolings !== 4) throw new Error(`${name}: option "poolings" must be 4 or 5, is ${poolings}`);
  const side = inputSize / 2 ** poolings;
  if (!Number.isInteger(side)) {
    throw new Error(`${name}: option "inputSize" must be a multiple of ${2 ** poolings}, is ${inputSize}`);
  }

  const builder = graphBuilder({ name });
  const layers = layersOn(builder);
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = 3;
  let index = 0;
  const next = (): string => `features.${index++}`;
  for (const [stage, convolutions] of stages.entries()) {
    const out = width * Math.min(2 ** stage, 8);
    for (let i = 0; i < convolutions; i += 1) {
      x = layers.conv(x, next(), { in: channels, out, kernel: 3, padding: 1, bias: true });
      if (batchNorm) x = layers.batchNorm(x, next(), out);
      x = layers.relu(x, next());
      channels = out;
    }
    if (stage < poolings) x = layers.maxPool(x, next(), { kernel: 2, stride: 2 });
  }

  x = builder.node('Flatten', [x], { name: 'flatten', attributes: { axis: int(1) } });
  x = layers.relu(layers.linear(x, 'classifier.0', { in: channels * side * side, out: hidden }), 'classifier.1');
  x = layers.relu(layers.linear(x, 'classifier.3', { in: hidden, out: hidden }), 'classifier.4');
  x = layers.linear(x, 'classifier.6', { in: hidden, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}
