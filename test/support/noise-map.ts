/** Maps of noise: the most regions, borders and runs that a map of their size can be expected to have. */
import { planInput } from '../../src/maps/input-plan.js';
import type { PlacedLabels } from '../../src/maps/outline.js';
import { placeMap } from '../../src/maps/place.js';

/** The same for each seed, from 0 to 1. */
export function noise(length: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  });
}

/** A label for each pixel of a photo, from 0 to `count` − 1. */
export function noiseLabels(width: number, height: number, count: number): PlacedLabels {
  const plan = planInput({ width, height }, { fit: 'native', size: 1, resize: 1, scale: 1 });
  const values = Uint16Array.from(noise(width * height), (value) => Math.floor(value * count));
  return { labels: { values, width, height }, placement: placeMap({ outputStride: 1, offset: 0.5 }, plan), plan };
}
