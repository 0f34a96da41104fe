import { describe, expect, it } from 'vitest';
import { gridOf, intersectionOverUnion, LocalizationMeter } from '../../../src/evaluation/localization.js';
import { emptyMask, fillRings } from '../../../src/maps/masks.js';

const photo = { width: 448, height: 224 };
const grid = { width: 224, height: 112 };
const box = { left: 100, top: 50, width: 120, height: 100 };

function maskOfBox() {
  const mask = emptyMask(photo);
  fillRings(mask, [[100, 50, 220, 50, 220, 150, 100, 150]]);
  return mask;
}

/** A map on the grid that is `inside` in the box, given in photo pixels, and 0 elsewhere. */
function mapOf({ left, top, width, height }: typeof box, inside = 1): Float32Array {
  return Float32Array.from({ length: grid.width * grid.height }, (_, pixel) => {
    const [x, y] = [2 * (pixel % grid.width) + 1, 2 * Math.floor(pixel / grid.width) + 1];
    return x > left && x < left + width && y > top && y < top + height ? inside : 0;
  });
}

describe('LocalizationMeter', () => {
  it('gives a perfect map everything, whatever its range', () => {
    expect(gridOf(photo)).toEqual(grid);
    for (const inside of [1, 0.01, 70]) {
      const meter = new LocalizationMeter(0);
      meter.add({ photo, boxes: [box], mask: maskOfBox() }, { x: 150, y: 100 }, mapOf(box, inside));
      expect(meter.score).toEqual({ cases: 1, pointing: 1, maxBoxAccuracy: 1, pixelAveragePrecision: 1 });
    }
  });

  it('counts a peak within the tolerance of the object, of its mask before its box', () => {
    const values = mapOf(box);
    const pointing = (x: number, y: number, mask = false, tolerance = 15): number => {
      const meter = new LocalizationMeter(tolerance);
      meter.add({ photo, boxes: [box], mask: mask ? maskOfBox() : undefined }, { x, y }, values);
      return meter.score.pointing;
    };
    for (const mask of [false, true]) {
      expect(pointing(86, 100, mask)).toBe(1);
      expect(pointing(80, 100, mask)).toBe(0);
      expect(pointing(86, 36, mask)).toBe(0);
      expect(pointing(99, 100, mask, 0)).toBe(0);
    }
    const meter = new LocalizationMeter(0);
    meter.add({ photo, boxes: [box], mask: emptyMask(photo) }, { x: 150, y: 100 }, values);
    expect(meter.score.pointing).toBe(0);
  });

  it('takes the best of all regions, and the best threshold for all cases', () => {
    const weaker = mapOf({ ...box, left: 300 }, 0.6);
    const two = mapOf(box).map((value, pixel) => Math.max(value, weaker[pixel]!));
    const meter = new LocalizationMeter(15);
    meter.add({ photo, boxes: [{ ...box, left: 300 }], mask: undefined }, { x: 0, y: 0 }, two);
    expect(meter.score).toMatchObject({ pointing: 0, maxBoxAccuracy: 1, pixelAveragePrecision: undefined });
    // Half of the object: an overlap of 50 %, not of 70.
    const half = new LocalizationMeter(15);
    half.add({ photo, boxes: [box], mask: undefined }, { x: 150, y: 100 }, mapOf({ ...box, width: 60 }));
    expect(half.score.maxBoxAccuracy).toBeCloseTo(2 / 3);
  });

  it('gives a map that knows nothing the share of the object’s pixels as precision', () => {
    const meter = new LocalizationMeter(15);
    meter.add({ photo, boxes: [box], mask: maskOfBox() }, { x: 0, y: 0 }, new Float32Array(224 * 112).fill(3));
    expect(meter.score.pixelAveragePrecision).toBeCloseTo((box.width * box.height) / (photo.width * photo.height));
  });
});

it('intersection over union is that of the areas', () => {
  expect(intersectionOverUnion(box, box)).toBe(1);
  expect(intersectionOverUnion(box, { ...box, left: 160 })).toBeCloseTo(60 / 180);
  expect(intersectionOverUnion(box, { ...box, left: 220 })).toBe(0);
});
