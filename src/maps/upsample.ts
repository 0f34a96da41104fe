/**
 * A class map brought to photo pixels, row by row (row-sampler.ts). The event loop gets a turn every `BAND_MS`, however
 * large the photo. One reused row is all the float memory that `sampleRows` takes. Photos wider than `TILE_WIDTH` are
 * sampled in vertical strips, so that neither a row nor the weights grow with the photo.
 */
import { setImmediate } from 'node:timers/promises';
import type { Affine, Frame } from './place.js';
import { rowSampler, type ClassMap, type MapInterpolation } from './row-sampler.js';

/** Longest stretch of work before other events get a turn. */
const BAND_MS = 2.5;
const TILE_WIDTH = 8192;

/** Takes the samples of photo pixels (left … left + samples.length − 1, y). `samples` is reused for the next call. */
export type RowVisitor = (samples: Float32Array, y: number, left: number) => void;

/**
 * Sample the map at every pixel of a photo, or of another frame that `placement` leads from, row by row. `checkpoint`
 * is called after each turn of the event loop; an error it throws ends the work.
 */
export async function sampleRows(
  map: ClassMap,
  placement: Affine<Frame, 'cells'>,
  size: { readonly width: number; readonly height: number },
  interpolation: MapInterpolation,
  visit: RowVisitor,
  checkpoint?: () => void,
): Promise<void> {
  let bandStart = performance.now();
  for (let left = 0; left < size.width; left += TILE_WIDTH) {
    const sample = rowSampler(map, placement, { left, count: Math.min(TILE_WIDTH, size.width - left) }, interpolation);
    for (let y = 0; y < size.height; y++) {
      visit(sample(y), y, left);
      if (performance.now() - bandStart > BAND_MS) {
        await setImmediate();
        checkpoint?.();
        bandStart = performance.now();
      }
    }
  }
}

/** The map at every pixel of a photo, `[size.height, size.width]`, in a new buffer. See `sampleRows`. */
export async function upsampleMap(
  map: ClassMap,
  placement: Affine<Frame, 'cells'>,
  size: { readonly width: number; readonly height: number },
  interpolation: MapInterpolation,
): Promise<Float32Array> {
  const upsampled = new Float32Array(size.width * size.height);
  await sampleRows(map, placement, size, interpolation, (samples, y, left) =>
    upsampled.set(samples, y * size.width + left),
  );
  return upsampled;
}
