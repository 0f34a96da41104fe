/**
 * The building blocks of Inception v3 and GoogLeNet, with torchvision's parameter names: a unit of convolution, batch
 * normalization (epsilon 1e-3) and activation; chains of units; branches side by side.
 */
import type { GraphBuilder } from '../graph/build.js';
import { layersOn, type ConvShape, type Layers, type PoolWindow } from './layers.js';
import type { CommonOptions } from './options.js';

/** A value [N, channels, H, W] of the graph under construction. */
export interface Features {
  readonly value: string;
  readonly channels: number;
}

/** [name, output channels, window]; the window defaults to 1×1. */
export type Unit = readonly [name: string, out: number, window?: Omit<ConvShape, 'in' | 'out' | 'kernel'> & Kernel];

interface Kernel {
  readonly kernel: ConvShape['kernel'];
}

export interface InceptionLayers extends Layers {
  /** Units one after another. */
  chain(x: Features, ...units: Unit[]): Features;
  /** Concatenates the branches along their channels. */
  join(name: string, ...branches: Features[]): Features;
  pool(x: Features, name: string, kind: 'max' | 'average', window: PoolWindow): Features;
}

export function inceptionLayersOn(
  builder: GraphBuilder,
  { activation, leakyAlpha, eluAlpha }: CommonOptions,
): InceptionLayers {
  const layers = layersOn(builder, { activation, leakyAlpha, eluAlpha, epsilon: 1e-3 });
  const unit = ({ value, channels }: Features, [name, out, window = { kernel: 1 }]: Unit): Features => {
    const convolved = layers.conv(value, `${name}.conv`, { in: channels, out, ...window });
    return { value: layers.activation(layers.batchNorm(convolved, `${name}.bn`, out), `${name}.relu`), channels: out };
  };
  return {
    ...layers,
    chain: (x, ...units) => units.reduce(unit, x),
    join: (name, ...branches) => ({
      value: layers.concat(
        branches.map(({ value }) => value),
        name,
      ),
      channels: branches.reduce((sum, { channels }) => sum + channels, 0),
    }),
    pool: ({ value, channels }, name, kind, window) => ({
      value: kind === 'max' ? layers.maxPool(value, name, window) : layers.averagePool(value, name, window),
      channels,
    }),
  };
}
