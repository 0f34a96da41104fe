/**
 * Where a window lies on a concrete input: padding resolved for its size. TensorFlow's SAME splits padding differently
 * from ONNX' pads, so every padding is given in cells.
 */
import type { Window } from '../../../graph/windows.js';
import { leadingPad, outputSize, windowExtent } from '../../../graph/windows.js';

export interface PlacedWindow extends Window {
  /** Cells of the input along the axis, and of the output. */
  readonly input: number;
  readonly output: number;
  /** Cells before the input and after it; more than the node's own where ceil_mode wants a last, partial window. */
  readonly before: number;
  readonly after: number;
}

/** A window on `input` cells. */
export function placeWindow(window: Window, input: number): PlacedWindow {
  const output = outputSize(window, input);
  const before = leadingPad(window, input);
  const reach = (output - 1) * window.stride + windowExtent(window);
  return { ...window, input, output, before, after: Math.max(0, reach - before - input) };
}
