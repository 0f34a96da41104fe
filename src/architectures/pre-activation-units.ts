/**
 * What nets with batch normalization and activation before each convolution are made of (He 2016b, figure 4e): the
 * functions of a residual unit, and the end of the net. Parameter names are those of timm's resnetv2.
 */
import { int } from '../graph/attributes.js';
import type { GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import type { Layers } from './layers.js';

/** A residual function, from its activated input on. */
export interface Unit {
  readonly name: string;
  readonly in: number;
  /** Channels inside the function. */
  readonly inner: number;
  readonly out: number;
  readonly stride: number;
  /** The convolution of a bottleneck that has the stride. Default: the 3×3, `conv2`. */
  readonly strideOn?: 'conv1' | 'conv2';
  /** Whether the convolutions that no normalization follows have a bias. */
  readonly bias?: boolean;
  /** Name of the normalization between the convolutions of a basic function. Default: `norm2` of the unit. */
  readonly norm2?: string;
}

/** Normalization and activation. */
export function activate(layers: Layers, x: string, norm: string, channels: number): string {
  return layers.activation(layers.batchNorm(x, norm, channels), `${norm}.act`);
}

/** 3×3, 3×3, on the activated input. */
export function basicFunction(layers: Layers, active: string, unit: Unit): string {
  const { name, inner, out, stride, norm2 = `${name}.norm2` } = unit;
  let y = layers.conv(active, `${name}.conv1`, { in: unit.in, out: inner, kernel: 3, stride, padding: 1 });
  y = activate(layers, y, norm2, inner);
  return layers.conv(y, `${name}.conv2`, { in: inner, out, kernel: 3, padding: 1 });
}

/** 1×1, 3×3, 1×1, on the activated input. */
export function bottleneckFunction(layers: Layers, active: string, unit: Unit): string {
  const { name, inner, out, strideOn = 'conv2', bias = false } = unit;
  const strideOf = (layer: string): number => (layer === strideOn ? unit.stride : 1);
  let y = layers.conv(active, `${name}.conv1`, { in: unit.in, out: inner, kernel: 1, stride: strideOf('conv1') });
  y = activate(layers, y, `${name}.norm2`, inner);
  y = layers.conv(y, `${name}.conv2`, { in: inner, out: inner, kernel: 3, stride: strideOf('conv2'), padding: 1 });
  y = activate(layers, y, `${name}.norm3`, inner);
  return layers.conv(y, `${name}.conv3`, { in: inner, out, kernel: 1, bias });
}

/** The net's end: normalization, activation, global average pooling, and `head.fc` as a 1×1 convolution → `logits`. */
export function finishPreActivationNet(
  builder: GraphBuilder,
  layers: Layers,
  x: string,
  { channels, classes }: { readonly channels: number; readonly classes: number },
): Graph {
  const pooled = builder.node('GlobalAveragePool', [activate(layers, x, 'norm', channels)], { name: 'avgpool' });
  const scores = layers.conv(pooled, 'head.fc', { in: channels, out: classes, kernel: 1, bias: true });
  const logits = builder.node('Flatten', [scores], { name: 'flatten', output: 'logits', attributes: { axis: int(1) } });
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}
