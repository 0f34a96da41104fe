/**
 * MaxPool, AveragePool and their global forms. Padding is added beforehand, −∞ for a maximum and 0 for a mean, because
 * TensorFlow's kernels have no padding but SAME and VALID; a mean over windows that are partly padding is then divided
 * by the cells that count. Windows without a TensorFlow kernel are reduced axis by axis, over shifted strided slices.
 */
import { attribute } from '../../../graph/attributes.js';
import { windowsOf, type Window } from '../../../graph/windows.js';
import { refuseOutputs, refuseUnless, type Kernel, type Loading } from '../operator.js';
import { withChannelsLast, type Tensor, type Tensor4D, type TensorFlow } from '../tensors.js';
import { placeWindow, type PlacedWindow } from './windows.js';

export function maxPool(loading: Loading): Kernel {
  const { tf, node } = loading;
  refuseOutputs(node, 1);
  const windows = spatialWindows(loading);
  return (run) => {
    const x = withChannelsLast(tf, run.input(0));
    const placed = place(windows, x);
    const padded = pad(tf, x, placed, Number.NEGATIVE_INFINITY);
    const tensor = isPlain(placed)
      ? tf.maxPool(
          padded,
          pair(placed, ({ kernel }) => kernel),
          pair(placed, ({ stride }) => stride),
          'valid',
        )
      : slide(tf, padded, placed, (a, b) => tf.maximum(a, b));
    return { tensor, channelsLast: true };
  };
}

export function averagePool(loading: Loading): Kernel {
  const { tf, node } = loading;
  const windows = spatialWindows(loading);
  const countsPadding = attribute(node, 'count_include_pad', 'int') === 1;
  return (run) => {
    const x = withChannelsLast(tf, run.input(0));
    const placed = place(windows, x);
    const padded = pad(tf, x, placed, 0);
    const area = placed.reduce((product, { kernel }) => product * kernel, 1);
    const means = isPlain(placed)
      ? tf.avgPool(
          padded,
          pair(placed, ({ kernel }) => kernel),
          pair(placed, ({ stride }) => stride),
          'valid',
        )
      : tf.div<Tensor4D>(
          slide(tf, padded, placed, (a, b) => tf.add(a, b)),
          area,
        );
    const shares = shareOfCells(placed, countsPadding);
    if (shares.every((share) => share === 1)) return { tensor: means, channelsLast: true };
    const [, height, width] = means.shape;
    return { tensor: tf.div(means, tf.tensor4d(shares, [1, height, width, 1])), channelsLast: true };
  };
}

export function globalAveragePool({ tf }: Loading): Kernel {
  return (run) => ({ tensor: tf.mean(withChannelsLast(tf, run.input(0)), [1, 2], true), channelsLast: true });
}

export function globalMaxPool({ tf }: Loading): Kernel {
  return (run) => ({ tensor: tf.max(withChannelsLast(tf, run.input(0)), [1, 2], true), channelsLast: true });
}

function spatialWindows({ node }: Loading): readonly Window[] {
  const windows = windowsOf(node);
  refuseUnless(node, windows.length === 2, `a window of rank ${windows.length}`);
  return windows;
}

function place(windows: readonly Window[], x: Tensor4D): readonly PlacedWindow[] {
  return windows.map((window, axis) => placeWindow(window, x.shape[axis + 1]!));
}

function pad(tf: TensorFlow, x: Tensor4D, [rows, columns]: readonly PlacedWindow[], value: number): Tensor4D {
  const amounts = [rows!.before, rows!.after, columns!.before, columns!.after] as const;
  if (amounts.every((amount) => amount === 0)) return x;
  const [top, bottom, left, right] = amounts;
  const none: [number, number] = [0, 0];
  return tf.pad(x, [none, [top, bottom], [left, right], none], value);
}

/**
 * Whether TensorFlow's kernels take these windows: XNNPACK, behind the WebAssembly backend, has none for a window of
 * one cell.
 */
function isPlain(windows: readonly PlacedWindow[]): boolean {
  return windows.every(({ dilation }) => dilation === 1) && windows.some(({ kernel }) => kernel > 1);
}

/** Combine the cells of each window, first along the rows, then along the columns. */
function slide(
  tf: TensorFlow,
  x: Tensor4D,
  windows: readonly PlacedWindow[],
  combine: (a: Tensor, b: Tensor) => Tensor,
): Tensor4D {
  return windows.reduce<Tensor>((input, { kernel, dilation, stride, output }, index) => {
    const axis = index + 1;
    const shifted = Array.from({ length: kernel }, (_, cell) => {
      const begin = input.shape.map((_size, each) => (each === axis ? cell * dilation : 0));
      const end = input.shape.map((size, each) => (each === axis ? begin[axis]! + (output - 1) * stride + 1 : size));
      return tf.stridedSlice(
        input,
        begin,
        end,
        input.shape.map((_size, each) => (each === axis ? stride : 1)),
      );
    });
    return shifted.reduce(combine);
  }, x) as Tensor4D;
}

/** The fraction of each window's cells that counts, row-major over the output. */
function shareOfCells([rows, columns]: readonly PlacedWindow[], countsPadding: boolean): Float32Array {
  const across = alongAxis(columns!, countsPadding);
  const shares = alongAxis(rows!, countsPadding).flatMap((down) => across.map((share) => down * share));
  return Float32Array.from(shares);
}

/** Cells that ceil_mode adds behind the node's own padding never count. */
function alongAxis(
  { kernel, dilation, stride, input, output, before, auto, padEnd, after }: PlacedWindow,
  countsPadding: boolean,
) {
  const own = auto === 'NOTSET' ? padEnd : after;
  const [first, end] = countsPadding ? [0, before + input + own] : [before, before + input];
  return Array.from({ length: output }, (_, position) => {
    const cells = Array.from({ length: kernel }, (_cell, cell) => position * stride + cell * dilation);
    return cells.filter((cell) => cell >= first && cell < end).length / kernel;
  });
}

function pair(windows: readonly Window[], value: (window: Window) => number): [number, number] {
  return [value(windows[0]!), value(windows[1]!)];
}
