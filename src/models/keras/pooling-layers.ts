/** Pooling over windows and over whole maps. Averages do not count padding, in both Keras and ONNX. */
import { z } from 'zod';
import { int } from '../../graph/attributes.js';
import { channelsLast, extent, layerOnMap, map, optional, padding, type LayerClass } from './layer.js';
import { windowAttributes } from './windows.js';

const pool = z.object({
  pool_size: optional(extent, [2, 2]),
  strides: extent.nullish(),
  padding,
  data_format: channelsLast,
});

export const maxPooling2d = windowed('MaxPool');
export const averagePooling2d = windowed('AveragePool');

function windowed(op: 'MaxPool' | 'AveragePool'): LayerClass {
  return layerOnMap(pool, ({ pool_size: kernel, strides, padding: mode }, tools, x) => {
    // AveragePool has no dilations before opset 19.
    const { dilations: _, ...attributes } = windowAttributes({ kernel, strides: strides ?? kernel, padding: mode });
    return map(tools.node(op, [x], attributes));
  });
}

const globalPool = z.object({ keepdims: optional(z.boolean(), false), data_format: channelsLast });

export const globalAveragePooling2d = global('GlobalAveragePool');
export const globalMaxPooling2d = global('GlobalMaxPool');

function global(op: 'GlobalAveragePool' | 'GlobalMaxPool'): LayerClass {
  return layerOnMap(globalPool, ({ keepdims }, tools, x) => {
    const pooled = tools.node(op, [x]);
    return keepdims ? map(pooled) : { name: tools.node('Flatten', [pooled], { axis: int(1) }), rank: 2 };
  });
}
