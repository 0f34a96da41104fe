import { describe, expect, it } from 'vitest';
import { planTiles, type TileGeometry } from '../../../src/maps/tiles.js';

/** A trunk with padding that sees `receptiveField` pixels, a cell every 16. */
function geometry(receptiveField: number): TileGeometry {
  const mapSize = ({ width, height }: { width: number; height: number }) => ({
    width: Math.ceil(width / 16),
    height: Math.ceil(height / 16),
  });
  return { outputStride: 16, offset: 8, receptiveField, alignment: 32, mapSize };
}

describe('planTiles', () => {
  it.each([
    { width: 1000, height: 900 },
    { width: 5003, height: 333 },
    { width: 64, height: 9001 },
    { width: 700, height: 700 },
  ])('covers every cell of $width×$height by tiles within the limit', (input) => {
    const { map, tiles } = planTiles(input, geometry(101), 90_000)!;
    const seen = new Uint8Array(map.width * map.height);
    for (const { pixels, x, y } of tiles) {
      expect(pixels.width * pixels.height).toBeLessThanOrEqual(90_000);
      expect([pixels.left % 32, pixels.top % 32]).toEqual([0, 0]);
      expect([(input.width - pixels.width) % 32, (input.height - pixels.height) % 32]).toEqual([0, 0]);
      expect(pixels.left + pixels.width).toBeLessThanOrEqual(input.width);
      expect(pixels.top + pixels.height).toBeLessThanOrEqual(input.height);
      for (let row = y.from + y.shift; row < y.end + y.shift; row++) {
        for (let column = x.from + x.shift; column < x.end + x.shift; column++) {
          seen[row * map.width + column] = 1;
          for (const [cell, start, length, whole] of [
            [column, pixels.left, pixels.width, input.width],
            [row, pixels.top, pixels.height, input.height],
          ] as const) {
            const centre = 8 + 16 * cell;
            expect(centre - 50.5 >= start || start === 0).toBe(true);
            expect(centre + 50.5 <= start + length || start + length === whole).toBe(true);
          }
        }
      }
    }
    expect(seen.every((value) => value === 1)).toBe(true);
  });

  it('gives up where the receptive field leaves less than a quarter of a tile', () => {
    expect(planTiles({ width: 1000, height: 900 }, geometry(250), 90_000)).toBeUndefined();
    expect(planTiles({ width: 1000, height: 900 }, geometry(2000), 90_000)).toBeUndefined();
  });
});
