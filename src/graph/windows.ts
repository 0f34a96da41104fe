/**
 * The sliding windows of convolutions and poolings: how attributes become kernel, stride, padding and output size along
 * one axis. Source: the ONNX operators Conv, MaxPool, AveragePool (opset 18), and onnxruntime's PoolAttributes for
 * ceil_mode.
 */
import { attribute } from './attributes.js';
import type { Node } from './graph.js';
import { nodeError } from './graph-error.js';

/** A window along one axis. */
export interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Cells of padding before and after; resolved from the size where `auto` is not NOTSET. */
  readonly padBegin: number;
  readonly padEnd: number;
  readonly auto: 'NOTSET' | 'SAME_UPPER' | 'SAME_LOWER' | 'VALID';
  /** A last, partial window counts (ceil_mode), as long as it starts inside the input. */
  readonly ceil: boolean;
}

/**
 * The windows of a node along its spatial axes. `kernel` is used if the node has no kernel_shape (Conv). Throws
 * GraphError for attributes that are missing, unknown or do not fit.
 */
export function windowsOf(node: Node, kernel?: readonly number[]): readonly Window[] {
  const sizes = attribute(node, 'kernel_shape', 'ints') ?? kernel;
  if (sizes === undefined) throw nodeError(node, 'attribute "kernel_shape" is missing');
  const rank = sizes.length;
  const strides = attribute(node, 'strides', 'ints') ?? Array<number>(rank).fill(1);
  const dilations = attribute(node, 'dilations', 'ints') ?? Array<number>(rank).fill(1);
  const pads = attribute(node, 'pads', 'ints') ?? Array<number>(2 * rank).fill(0);
  if (strides.length !== rank || dilations.length !== rank || pads.length !== 2 * rank) {
    throw nodeError(node, `strides, dilations and pads do not fit a kernel of rank ${rank}`);
  }
  if (kernel?.some((size, axis) => size !== sizes[axis])) {
    throw nodeError(node, `kernel_shape [${sizes.join(', ')}] is not the weight's [${kernel.join(', ')}]`);
  }
  if (![...sizes, ...strides, ...dilations].every((value) => value > 0)) {
    throw nodeError(node, 'kernel, strides and dilations must be positive');
  }
  const auto = attribute(node, 'auto_pad', 'string') ?? 'NOTSET';
  if (auto !== 'NOTSET' && auto !== 'SAME_UPPER' && auto !== 'SAME_LOWER' && auto !== 'VALID') {
    throw nodeError(node, `unknown auto_pad "${auto}"`);
  }
  const ceil = attribute(node, 'ceil_mode', 'int') === 1;
  const padded = auto === 'NOTSET';
  return sizes.map((size, axis) => ({
    kernel: size,
    stride: strides[axis]!,
    dilation: dilations[axis]!,
    padBegin: padded ? pads[axis]! : 0,
    padEnd: padded ? pads[rank + axis]! : 0,
    auto,
    ceil,
  }));
}

/** Cells that a window spans: dilation · (kernel − 1) + 1. */
export function windowExtent({ kernel, dilation }: Window): number {
  return dilation * (kernel - 1) + 1;
}

/** Cells of the output along the axis; 0 where the input is smaller than one window. */
export function outputSize(window: Window, input: number): number {
  const { stride, padBegin, padEnd, ceil } = window;
  if (window.auto === 'SAME_UPPER' || window.auto === 'SAME_LOWER') return Math.ceil(input / stride);
  const last = (input + padBegin + padEnd - windowExtent(window)) / stride;
  if (last < 0) return 0;
  if (!ceil) return Math.floor(last) + 1;
  const size = Math.ceil(last) + 1;
  return (size - 1) * stride >= input + padBegin ? size - 1 : size;
}

/** Padding before an input of this size; it depends on the size only with auto_pad SAME. */
export function leadingPad(window: Window, input: number): number {
  const { stride, auto } = window;
  if (auto !== 'SAME_UPPER' && auto !== 'SAME_LOWER') return window.padBegin;
  const total = Math.max(0, (Math.ceil(input / stride) - 1) * stride + windowExtent(window) - input);
  return auto === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
}

/** Padding before and after an input of this size; if that is not known, only what does not depend on it. */
export function paddingOf(window: Window, input: number | undefined): [before: number, after: number] {
  const { padBegin, padEnd, stride, auto } = window;
  if (input === undefined || (auto !== 'SAME_UPPER' && auto !== 'SAME_LOWER')) return [padBegin, padEnd];
  const total = Math.max(0, (Math.ceil(input / stride) - 1) * stride + windowExtent(window) - input);
  const before = leadingPad(window, input);
  return [before, total - before];
}

/** Whether a pooling is global at this size [h, w]: one window sees the whole map, and no padding counts. */
export function coversMap(node: Node, map: readonly number[]): boolean {
  const countsPadding = attribute(node, 'count_include_pad', 'int') === 1;
  return windowsOf(node).every((window, axis) => {
    const { kernel, dilation, padBegin, auto } = window;
    const size = map[axis]!;
    const sees = countsPadding ? kernel === size && padBegin === 0 : kernel - padBegin >= size && padBegin >= 0;
    return sees && outputSize(window, size) === 1 && dilation === 1 && (auto === 'NOTSET' || auto === 'VALID');
  });
}
