/** The first layers of a residual net: a convolution, and for large images a max-pooling after it. */

/**
 * - `imagenet`: 7×7 stride 2 and 3×3 max-pooling stride 2; output stride 32 with four stages
 * - `compact`: 3×3 stride 2; output stride 16
 * - `cifar`: 3×3 stride 1; output stride 8, or 4 with three stages
 */
export const STEMS = ['imagenet', 'compact', 'cifar'] as const;

export type Stem = (typeof STEMS)[number];

/** The convolution of each stem. */
export const STEM_WINDOWS = {
  imagenet: { kernel: 7, stride: 2, padding: 3 },
  compact: { kernel: 3, stride: 2, padding: 1 },
  cifar: { kernel: 3, stride: 1, padding: 1 },
} as const;
