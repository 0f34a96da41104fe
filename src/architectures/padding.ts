/** How a convolution that keeps or halves a map is padded: by the convention of the library that a net was trained in. */
import { leadingPad } from '../graph/windows.js';

/**
 * - `torch`: evenly, by half the kernel
 * - `tensorflow`: SAME at the native size, which pads less before an even side than behind it. Every other size is padded
 *   as the native one is, so that a cell has one place at all of them (graph/passes/resolve-auto-padding.ts)
 */
export const PADDINGS = ['torch', 'tensorflow'] as const;

export type PaddingConvention = (typeof PADDINGS)[number];

export interface SquareWindow {
  readonly kernel: number;
  readonly stride: number;
  /** Of the map that it moves over, in cells, where the net's input has its native size. */
  readonly nativeSide: number;
}

/** Padding of a window of odd side, so that a map of n cells becomes one of ⌈n / stride⌉. */
export function paddingOf(convention: PaddingConvention, { kernel, stride, nativeSide }: SquareWindow) {
  if (convention === 'torch') return Math.floor(kernel / 2);
  const same = { kernel, stride, dilation: 1, padBegin: 0, padEnd: 0, auto: 'SAME_UPPER', ceil: false } as const;
  const before = leadingPad(same, nativeSide);
  return { before, behind: kernel - 1 - before };
}
