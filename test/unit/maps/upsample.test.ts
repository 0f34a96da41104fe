import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { planInput } from '../../../src/maps/input-plan.js';
import { placeMap } from '../../../src/maps/place.js';
import type { ClassMap } from '../../../src/maps/row-sampler.js';
import { upsampleMap } from '../../../src/maps/upsample.js';

/** f(x, y) at the cells. */
function mapOf(width: number, height: number, f: (x: number, y: number) => number): ClassMap {
  const values = Float32Array.from({ length: width * height }, (_, i) => f(i % width, Math.floor(i / width)));
  return { values, width, height };
}

const placed = (width: number, height: number, outputStride: number, offset: number) =>
  placeMap({ outputStride, offset }, planInput({ width, height }, { fit: 'native', size: 1, resize: 1, scale: 1 }));

describe('upsampleMap', () => {
  const ramp = mapOf(10, 8, (x, y) => 2 * x - 3 * y);
  const placement = placed(160, 128, 16, 8);

  it.each(['bilinear', 'bicubic'] as const)('reproduces a linear map between the cells (%s)', async (interpolation) => {
    const pixels = await upsampleMap(ramp, placement, { width: 160, height: 128 }, interpolation);
    // Two cells from the border, where no tap is clamped.
    for (let y = 40; y < 88; y += 7) {
      for (let x = 40; x < 120; x += 5) {
        expect(pixels[y * 160 + x]).toBeCloseTo(2 * ((x + 0.5 - 8) / 16) - 3 * ((y + 0.5 - 8) / 16), 4);
      }
    }
  });

  it.each(['nearest', 'bilinear', 'bicubic'] as const)(
    'holds the border value beyond the centres (%s)',
    async (kind) => {
      const pixels = await upsampleMap(ramp, placement, { width: 160, height: 128 }, kind);
      expect(pixels[0]).toBe(0);
      expect(pixels[159]).toBe(18);
      expect(pixels[127 * 160]).toBe(-21);
    },
  );

  it('gives each pixel its nearest cell', async () => {
    const pixels = await upsampleMap(ramp, placement, { width: 160, height: 128 }, 'nearest');
    expect(pixels[20 * 160 + 47]).toBe(2 * 2 - 3);
    expect(pixels[20 * 160 + 48]).toBe(2 * 3 - 3);
  });

  it.each(['nearest', 'bilinear', 'bicubic'] as const)('samples a map of one cell (%s)', async (kind) => {
    const pixels = await upsampleMap(
      mapOf(1, 1, () => 5),
      placed(9, 7, 32, 112),
      { width: 9, height: 7 },
      kind,
    );
    expect(pixels).toEqual(new Float32Array(63).fill(5));
  });

  it('is the same across the strips of a very wide photo', async () => {
    const wide = mapOf(2000, 1, (x) => x);
    const pixels = await upsampleMap(wide, placed(20000, 1, 10, 5), { width: 20000, height: 1 }, 'bilinear');
    for (const x of [10, 8191, 8192, 16383, 16384, 19980]) expect(pixels[x]).toBeCloseTo((x + 0.5 - 5) / 10, 2);
  });

  it('gives way to other work while it samples a large photo', async () => {
    const done = { yet: false };
    const sampled = upsampleMap(
      mapOf(40, 30, (x) => x),
      placed(4000, 3000, 100, 50),
      { width: 4000, height: 3000 },
      'bicubic',
    );
    void sampled.finally(() => (done.yet = true));
    let turns = 0;
    for (; !done.yet; turns++) await setImmediate();
    expect(turns).toBeGreaterThan(5);
  });
});
