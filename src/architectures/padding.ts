/** How a convolution that keeps or halves a map is padded: by the convention of the library that a net was trained in. */

/**
 * - `torch`: evenly, by half the kernel
 * - `tensorflow`: as SAME pads the native size, at every size. A map of even side is padded less before than behind. One
 *   padding for all sizes gives each cell one place; SAME itself moves all windows by a pixel from one size to the next
 */
export const PADDINGS = ['torch', 'tensorflow'] as const;

export type PaddingConvention = (typeof PADDINGS)[number];

export interface SquareWindow {
  /** Odd. */
  readonly kernel: number;
  readonly stride: number;
  /** Of the map that it moves over, in cells, where the net's input has its native size. */
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
