/** Keras's options for sliding windows as ONNX attributes. */
import { ints } from '../../graph/attributes.js';
import type { Attribute } from '../../graph/graph.js';

type Extent = readonly [height: number, width: number];

/**
 * `same` padding gives ⌈size / stride⌉ windows; the missing cells are added half before and half after, the larger half
 * after. At stride 1 the padding does not depend on the size of the input. At other strides it is ONNX's SAME_UPPER,
 * which is exactly TensorFlow's rule.
 */
export function windowAttributes({
  kernel,
  strides,
  dilation = [1, 1],
  padding,
}: {
  readonly kernel: Extent;
  readonly strides: Extent;
  readonly dilation?: Extent;
  readonly padding: 'valid' | 'same';
}): Record<string, Attribute> {
  const window = { kernel_shape: ints(...kernel), strides: ints(...strides), dilations: ints(...dilation) };
  if (padding === 'valid') return window;
  if (strides.some((stride) => stride !== 1)) return { ...window, auto_pad: { type: 'string', value: 'SAME_UPPER' } };
  const missing = kernel.map((size, axis) => (size - 1) * dilation[axis]!);
  const before = missing.map((cells) => Math.floor(cells / 2));
  return { ...window, pads: ints(...before, ...missing.map((cells, axis) => cells - before[axis]!)) };
}
