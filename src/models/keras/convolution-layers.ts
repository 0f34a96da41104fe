/**
 * Convolutions and fully connected layers. Keras's kernels are [h, w, in, out] and [in, out]. ONNX's are [out, in, h,
 * w] and, in the form that the convolutionalizing passes know, [out, in].
 */
import { z } from 'zod';
import { int } from '../../graph/attributes.js';
import { activate } from './activations.js';
import {
  activationName,
  channelsLast,
  extent,
  layerOnMap,
  layerOnOne,
  map,
  optional,
  padding,
  type LayerTools,
  type Value,
} from './layer.js';
import { windowAttributes } from './windows.js';

const useBias = optional(z.boolean(), true);
const convolution = z.object({
  kernel_size: extent,
  strides: optional(extent, [1, 1]),
  dilation_rate: optional(extent, [1, 1]),
  padding,
  data_format: channelsLast,
  groups: optional(z.number().int().positive(), 1),
  use_bias: useBias,
  activation: activationName,
});
type Convolution = z.output<typeof convolution>;

function attributesOf({ kernel_size: kernel, strides, dilation_rate: dilation, padding: mode }: Convolution) {
  return windowAttributes({ kernel, strides, dilation, padding: mode });
}

function biasOf(tools: LayerTools, uses: boolean): string[] {
  if (!uses) return [];
  const bias = tools.weight(1, 'bias');
  return [tools.parameter(bias, bias.dims)];
}

export const conv2d = layerOnMap(convolution, (config, tools, x) => {
  const kernel = tools.weight(4, 'kernel');
  const [h, w, channels, out] = kernel.dims as [number, number, number, number];
  const weight = tools.parameter(kernel, [out, channels, h, w], [3, 2, 0, 1]);
  const attributes = { ...attributesOf(config), group: int(config.groups) };
  const y = tools.node('Conv', [x, weight, ...biasOf(tools, config.use_bias)], attributes);
  return activate(tools, map(y), config.activation);
});

/** Each channel has `multiplier` kernels: [h, w, C, M] → C·M output channels, those of one input channel in a row. */
function depthwise(tools: LayerTools, x: string, config: Convolution, bias: readonly string[]): string {
  const kernel = tools.weight(4, 'depthwise_kernel', 'kernel');
  const [h, w, channels, multiplier] = kernel.dims as [number, number, number, number];
  const weight = tools.parameter(kernel, [channels * multiplier, 1, h, w], [2, 3, 0, 1]);
  return tools.node('Conv', [x, weight, ...bias], { ...attributesOf(config), group: int(channels) });
}

export const depthwiseConv2d = layerOnMap(convolution, (config, tools, x) => {
  const y = depthwise(tools, x, config, biasOf(tools, config.use_bias));
  return activate(tools, map(y), config.activation);
});

export const separableConv2d = layerOnMap(convolution, (config, tools, x) => {
  const spatial = depthwise(tools, x, config, []);
  const kernel = tools.weight(4, 'pointwise_kernel');
  const [h, w, channels, out] = kernel.dims as [number, number, number, number];
  const weight = tools.parameter(kernel, [out, channels, h, w], [3, 2, 0, 1]);
  const y = tools.node('Conv', [spatial, weight, ...biasOf(tools, config.use_bias)]);
  return activate(tools, map(y), config.activation);
});

/** Works along the last axis of its input, so on a map it is a 1×1 convolution. */
export const dense = layerOnOne(z.object({ use_bias: useBias, activation: activationName }), (config, tools, x) => {
  const kernel = tools.weight(2, 'kernel');
  const [channels, out] = kernel.dims as [number, number];
  const bias = biasOf(tools, config.use_bias);
  const y: Value = { ...x, name: multiply() };
  return activate(tools, y, config.activation);

  function multiply(): string {
    switch (x.rank) {
      case 4:
        return tools.node('Conv', [x.name, tools.parameter(kernel, [out, channels, 1, 1], [1, 0]), ...bias]);
      case 2:
        return tools.node('Gemm', [x.name, tools.parameter(kernel, [out, channels], [1, 0]), ...bias], {
          transB: int(1),
        });
      default: {
        const product = tools.node('MatMul', [x.name, tools.parameter(kernel, [channels, out])]);
        return bias.length === 0 ? product : tools.node('Add', [product, ...bias]);
      }
    }
  }
});
