/**
 * The layers that the architectures are made of, as ONNX nodes with torchvision's parameter names: a layer called
 * `layer1.0.conv1` reads the parameter `layer1.0.conv1.weight`. Each takes and returns value names.
 */
import { float, int, ints } from '../graph/attributes.js';
import type { GraphBuilder } from '../graph/build.js';

export interface Layers {
  /** A square convolution with symmetric padding; [N, in, H, W] → [N, out, H', W']. */
  conv(x: string, name: string, shape: ConvShape): string;
  /** Batch normalization with running statistics, epsilon 1e-5 (torch's default). */
  batchNorm(x: string, name: string, channels: number): string;
  relu(x: string, name: string): string;
  maxPool(x: string, name: string, window: { kernel: number; stride: number; padding?: number }): string;
  /** Fully connected; [N, in] → [N, out], weight [out, in]. `output` names the value it makes. */
  linear(x: string, name: string, shape: { in: number; out: number; output?: string }): string;
}

export interface ConvShape {
  readonly in: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly bias?: boolean;
}

const EPSILON = 1e-5;

export function layersOn(builder: GraphBuilder): Layers {
  return {
    conv(x, name, { in: channels, out, kernel, stride = 1, padding = 0, bias = false }) {
      const weight = builder.parameter(`${name}.weight`, [out, channels, kernel, kernel]);
      const parameters = bias ? [weight, builder.parameter(`${name}.bias`, [out])] : [weight];
      return builder.node('Conv', [x, ...parameters], { name, attributes: window(kernel, stride, padding) });
    },
    batchNorm(x, name, channels) {
      const parameters = ['weight', 'bias', 'running_mean', 'running_var'].map((parameter) =>
        builder.parameter(`${name}.${parameter}`, [channels]),
      );
      return builder.node('BatchNormalization', [x, ...parameters], { name, attributes: { epsilon: float(EPSILON) } });
    },
    relu: (x, name) => builder.node('Relu', [x], { name }),
    maxPool: (x, name, { kernel, stride, padding = 0 }) =>
      builder.node('MaxPool', [x], { name, attributes: window(kernel, stride, padding) }),
    linear(x, name, { in: features, out, output = name }) {
      const weight = builder.parameter(`${name}.weight`, [out, features]);
      const bias = builder.parameter(`${name}.bias`, [out]);
      return builder.node('Gemm', [x, weight, bias], { name, output, attributes: { transB: int(1) } });
    },
  };
}

function window(kernel: number, stride: number, padding: number) {
  return {
    kernel_shape: ints(kernel, kernel),
    strides: ints(stride, stride),
    pads: ints(padding, padding, padding, padding),
  };
}
