/**
 * The building blocks of the Inception nets, of GoogLeNet and of PolyNet: a unit of convolution, batch normalization and
 * activation; units one after another; branches side by side. Parameter names are torchvision's and timm's: a unit
 * `name` has `name.conv` and `name.bn`.
 */
import type { GraphBuilder } from '../graph/build.js';
import { layersOn, type ConvShape, type Layers, type PoolWindow } from './layers.js';
import type { CommonOptions } from './options.js';

/** A value [N, channels, H, W] of the graph under construction. */
export interface Features {
  readonly value: string;
  readonly channels: number;
}

type Window = Omit<ConvShape, 'in' | 'out' | 'groups' | 'bias'>;

/** [name, output channels, window]; the window defaults to 1×1. */
export type Unit = readonly [name: string, out: number, window?: Window];

/** A unit whose name is its place among others. */
export type Step = readonly [out: number, window?: Window];

/** Windows; those of stride 2 are not padded. */
const ONE = { kernel: 1 } as const;
export const HALVING = { kernel: 3, stride: 2 } as const;
export const UNPADDED = { kernel: 3 } as const;
export const THREE = { kernel: 3, padding: 1 } as const;
export const FIVE = { kernel: 5, padding: 2 } as const;
export const ROW_OF_3 = { kernel: [1, 3], padding: [0, 1] } as const;
export const COLUMN_OF_3 = { kernel: [3, 1], padding: [1, 0] } as const;
export const ROW_OF_7 = { kernel: [1, 7], padding: [0, 3] } as const;
export const COLUMN_OF_7 = { kernel: [7, 1], padding: [3, 0] } as const;

export interface InceptionLayers extends Layers {
  /** A unit. `norm` names its batch normalization where several units share a convolution. */
  unit(x: Features, unit: Unit, norm?: string): Features;
  /** Units one after another. */
  chain(x: Features, ...units: Unit[]): Features;
  /** Steps one after another: `name.0`, `name.1`, …, or `name` if there is one. */
  sequence(x: Features, name: string, ...steps: Step[]): Features;
  /** Concatenates the branches along their channels. */
  join(name: string, ...branches: Features[]): Features;
  pool(x: Features, name: string, kind: 'max' | 'average', window: PoolWindow): Features;
}

export interface UnitOptions extends Pick<CommonOptions, 'activation' | 'leakyAlpha' | 'eluAlpha'> {
  /** Of batch normalization. Default: 1e-3. */
  readonly epsilon?: number;
  /** Multiplies the channels of all units. Default: 1. */
  readonly scale?: number;
}

export function inceptionLayersOn(
  builder: GraphBuilder,
  { activation, leakyAlpha, eluAlpha, epsilon = 1e-3, scale = 1 }: UnitOptions,
): InceptionLayers {
  const layers = layersOn(builder, { activation, leakyAlpha, eluAlpha, epsilon });
  const unit: InceptionLayers['unit'] = ({ value, channels }, [name, wanted, window = ONE], norm = `${name}.bn`) => {
    const out = Math.max(1, Math.round(wanted * scale));
    const convolved = layers.conv(value, `${name}.conv`, { in: channels, out, ...window });
    return { value: layers.activation(layers.batchNorm(convolved, norm, out), `${name}.relu`), channels: out };
  };
  return {
    ...layers,
    unit,
    chain: (x, ...units) => units.reduce((y, each) => unit(y, each), x),
    sequence: (x, name, ...steps) =>
      steps.reduce((y, step, index) => unit(y, [steps.length === 1 ? name : `${name}.${index}`, ...step]), x),
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
