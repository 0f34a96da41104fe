/**
 * Highway networks (Srivastava 2015) for CIFAR-10: layers whose input passes through a learned gate. With a convolution H
 * and the gate T, a convolution behind a sigmoid,
 *
 *   y = relu(H(x)) · T(x) + x · (1 − T(x))
 *
 * For training, the gates' biases begin at −2, so that layers first pass on what they get. The net has 19 layers (Highway B),
 * as the authors' definition for Caffe. Its names of layers are theirs; the blobs of a highway layer are called `cell` (H) and
 * `transform` (T).
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export interface HighwayOptions extends CommonOptions {
  /** Channels of the first convolution; all others keep their ratio to it. */
  readonly width: number;
}

interface Variant {
  readonly defaults: HighwayOptions;
  /** A 3×3 convolution and highway layers in each stage, in the published form; 2×2 max-poolings are between them. */
  readonly stages: readonly { readonly channels: number; readonly highways: number }[];
  /** Channels of the 1×1 convolution in front of the global average pooling. */
  readonly last: number;
}

const PUBLISHED_WIDTH = 32;

export const HIGHWAYS = {
  highway19_cifar: {
    defaults: { ...CIFAR_FORM, width: PUBLISHED_WIDTH },
    stages: [
      { channels: 32, highways: 4 },
      { channels: 80, highways: 5 },
      { channels: 128, highways: 5 },
    ],
    last: 100,
  },
} satisfies Record<string, Variant>;

const WINDOW = { kernel: 3, padding: 1 } as const;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildHighway(name: string, { defaults, stages, last }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width } = options;
  const inProportion = (published: number): number => Math.max(1, Math.round((published * width) / PUBLISHED_WIDTH));
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  let channels = 3;
  let index = 1;
  const next = (): string => `conv${index++}`;
  for (const [stage, shape] of stages.entries()) {
    if (stage > 0) x = layers.maxPool(x, `pool${stage}`, { kernel: 2, stride: 2 });
    const out = inProportion(shape.channels);
    x = convolve(layers, x, next(), { in: channels, out, ...WINDOW });
    channels = out;
    for (let i = 0; i < shape.highways; i += 1) x = highway(builder, layers, x, { name: next(), channels });
  }
  x = convolve(layers, x, next(), { in: channels, out: inProportion(last), kernel: 1 });
  const shape = { in: inProportion(last), out: classes, output: 'logits' };
  const logits = layers.linear(layers.globalAverage(x), 'ip2', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

type Shape = Parameters<Layers['conv']>[2];

function convolve(layers: Layers, x: string, name: string, shape: Shape): string {
  return layers.activation(layers.conv(x, name, { ...shape, bias: true }), `${name}.relu`);
}

/** The formula of the header, as x + (relu(H(x)) − x) · T(x). */
function highway(
  builder: GraphBuilder,
  layers: Layers,
  x: string,
  { name, channels }: { readonly name: string; readonly channels: number },
): string {
  const shape = { in: channels, out: channels, ...WINDOW, bias: true };
  const cell = layers.activation(layers.conv(x, `${name}.cell`, shape), `${name}.relu`);
  const gate = builder.node('Sigmoid', [layers.conv(x, `${name}.transform`, shape)], { name: `${name}.gate` });
  const change = builder.node('Sub', [cell, x], { name: `${name}.change` });
  const passed = builder.node('Mul', [change, gate], { name: `${name}.gated` });
  return builder.node('Add', [x, passed], { name: `${name}.add` });
}
