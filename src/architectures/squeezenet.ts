/**
 * SqueezeNet 1.0 (Iandola 2016, table 1) and 1.1: fire modules, which squeeze the channels by a 1×1 convolution and
 * expand them by 1×1 and 3×3 convolutions side by side. It has no fully connected layer: a 1×1 convolution scores every
 * place, and the logits are the mean over space. Parameter names and layer numbers are torchvision's.
 */
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type ConvShape, type Layers } from './layers.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

export type SqueezeNetOptions = CommonOptions;

interface Variant {
  readonly defaults: SqueezeNetOptions;
  readonly stem: { readonly out: number; readonly kernel: number };
  /** Squeezed channels of each fire module; `pool` is a max-pooling between two modules. */
  readonly modules: readonly (number | 'pool')[];
}

export const SQUEEZENETS = {
  squeezenet1_0: {
    defaults: IMAGENET_FORM,
    stem: { out: 96, kernel: 7 },
    modules: ['pool', 16, 16, 32, 'pool', 32, 48, 48, 64, 'pool', 64],
  },
  squeezenet1_1: {
    defaults: IMAGENET_FORM,
    stem: { out: 64, kernel: 3 },
    modules: ['pool', 16, 16, 'pool', 32, 32, 'pool', 48, 48, 64, 64],
  },
} satisfies Record<string, Variant>;

/** Channels of each expanding convolution, as a multiple of the squeezed ones. */
const EXPANSION = 4;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildSqueezeNet(name: string, { defaults, stem, modules }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes } = options;
  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);

  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  x = layers.conv(x, 'features.0', { in: 3, out: stem.out, kernel: stem.kernel, stride: 2, bias: true });
  x = layers.activation(x, 'features.1');
  let channels = stem.out;
  for (const [index, module] of modules.entries()) {
    const layer = `features.${index + 2}`;
    if (module === 'pool') {
      x = layers.maxPool(x, layer, { kernel: 3, stride: 2, ceil: true });
      continue;
    }
    x = fire(layers, x, layer, { in: channels, squeezed: module });
    channels = 2 * EXPANSION * module;
  }

  x = layers.conv(x, 'classifier.1', { in: channels, out: classes, kernel: 1, bias: true });
  x = layers.globalAverage(layers.activation(x, 'classifier.2'), 'logits');
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

/** Squeeze by 1×1; expand by 1×1 and 3×3, joined: 2 · EXPANSION times the squeezed channels. */
function fire(layers: Layers, x: string, name: string, shape: { in: number; squeezed: number }): string {
  const { squeezed } = shape;
  const active = (from: string, part: string, window: Omit<ConvShape, 'bias'>): string => {
    const convolved = layers.conv(from, `${name}.${part}`, { ...window, bias: true });
    return layers.activation(convolved, `${name}.${part}_activation`);
  };
  const y = active(x, 'squeeze', { in: shape.in, out: squeezed, kernel: 1 });
  const expanded = { in: squeezed, out: EXPANSION * squeezed };
  const branches = [
    active(y, 'expand1x1', { ...expanded, kernel: 1 }),
    active(y, 'expand3x3', { ...expanded, kernel: 3, padding: 1 }),
  ];
  return layers.concat(branches, `${name}.concat`);
}
