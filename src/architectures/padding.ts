/** Padding of a convolution that keeps or halves a map, by the convention of the library that trained the net. */

/**
 * - `torch`: evenly, by half the kernel
 * - `tensorflow`: at every size, the padding that SAME gives the native size. An even map gets less padding before than
 *   behind. With one padding for all sizes each cell has one place; SAME itself shifts all windows by a pixel from one
 *   size to the next
 */
export const PADDINGS = ['torch', 'tensorflow'] as const;

export type PaddingConvention = (typeof PADDINGS)[number];

export interface SquareWindow {
  /** Side of the window, odd. */
  readonly kernel: number;
  readonly stride: number;
  /** Side of the map that the window moves over, in cells, for an input of the native size. */
  readonly nativeSide: number;
}

/** Padding before and behind, so that a map of `nativeSide` cells becomes one of ⌈nativeSide / stride⌉. */
export function paddingOf(convention: PaddingConvention, { kernel, stride, nativeSide }: SquareWindow) {
  const half = Math.floor(kernel / 2);
  if (convention === 'torch') return { before: half, behind: half };
  const total = Math.max(0, (Math.ceil(nativeSide / stride) - 1) * stride + kernel - nativeSide);
  const before = Math.floor(total / 2);
  return { before, behind: total - before };
}
