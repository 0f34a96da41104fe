/** How many images a command has in flight. */
import { passesPerImage, type InputOptions } from './plan.js';

export interface Throughput {
  readonly pool: { readonly size: number };
  readonly limits: { readonly maxBatchSize: number };
}

/** Twice what the workers' batches hold, but no more than the queue can take with all their passes. */
export function imagesAtOnce({ pool, limits }: Throughput, maxQueue: number, input: InputOptions): number {
  return Math.min(2 * limits.maxBatchSize * pool.size, Math.floor(maxQueue / passesPerImage(input)));
}
