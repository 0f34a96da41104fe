import { describe, expect, it } from 'vitest';
import { planInput } from '../../../src/maps/input-plan.js';
import { extentOf, peakOf, type Box, type Threshold } from '../../../src/maps/localize.js';
import { mirrorInput, placeMap, type Placement } from '../../../src/maps/place.js';
import { finish } from '../../../src/maps/steps.js';

const photo = { width: 320, height: 320 };
const geometry = { outputStride: 32, offset: 16 };
const plan = planInput(photo, { fit: 'native', size: 224, resize: 224, scale: 1 });
const placement = placeMap(geometry, plan);

/** A 10×10 map, zero but for the cells given as [x, y, value]. */
function mapOf(...cells: [x: number, y: number, value: number][]) {
  const values = new Float32Array(100);
  for (const [x, y, value] of cells) values[y * 10 + x] = value;
  return { values, width: 10, height: 10 };
}

function boxOf(map: ReturnType<typeof mapOf>, at: Placement, size: typeof photo, value = 0.5): Box | undefined {
  return finish(extentOf(map, at, size, { value, of: 'range' })).box;
}

describe('peakOf', () => {
  it('is the photo pixel at the centre of the strongest cell', () => {
    expect(finish(peakOf(mapOf([3, 7, 0.75]), placement, photo))).toEqual({
      x: 16 + 3 * 32,
      y: 16 + 7 * 32,
      value: 0.75,
    });
  });

  it('stays in the photo when the cell looks beyond it', () => {
    const outside = placeMap({ outputStride: 32, offset: -40 }, plan);
    expect(finish(peakOf(mapOf([0, 0, 1]), outside, photo))).toMatchObject({ x: 0, y: 0 });
    const beyond = placeMap({ outputStride: 64, offset: 0 }, plan);
    expect(finish(peakOf(mapOf([9, 9, 1]), beyond, photo))).toMatchObject({ x: 319, y: 319 });
  });
});

describe('the box', () => {
  it('bounds the region around the peak, half a cell around the centres', () => {
    const map = mapOf([2, 3, 1], [3, 3, 0.6], [3, 4, 0.5], [2, 4, 0.4]);
    expect(boxOf(map, placement, photo)).toEqual({ left: 64, top: 96, width: 64, height: 64 });
  });

  it('leaves out a region that is strong but not connected, and takes in one over a corner', () => {
    const map = mapOf([1, 1, 1], [2, 2, 0.9], [8, 8, 0.95]);
    expect(boxOf(map, placement, photo)).toEqual({ left: 32, top: 32, width: 64, height: 64 });
  });

  it('takes its threshold between the least and the greatest value, negative logits too', () => {
    const map = mapOf([5, 5, 2], [6, 5, -2.9]);
    map.values.forEach((value, i) => (map.values[i] = value === 0 ? -8 : value));
    expect(boxOf(map, placement, photo)).toMatchObject({ left: 160, width: 64 });
    expect(boxOf(map, placement, photo, 0.9)).toMatchObject({ left: 160, width: 32 });
  });

  it('is clipped to the photo and never empty', () => {
    const outside = placeMap({ outputStride: 32, offset: -400 }, plan);
    expect(boxOf(mapOf([0, 0, 1]), outside, photo)).toEqual({ left: 0, top: 0, width: 1, height: 1 });
    expect(boxOf(mapOf(), placement, photo)).toEqual({ left: 0, top: 0, width: 320, height: 320 });
  });

  it('is in its place for the map of a mirrored input', () => {
    const mirrored = mirrorInput(placement, geometry, plan);
    expect(boxOf(mapOf([9, 0, 1]), mirrored, photo)).toEqual({ left: 0, top: 0, width: 32, height: 32 });
  });
});

describe('extentOf', () => {
  const map = mapOf([1, 1, 1], [2, 2, 0.9], [8, 8, 0.95], [8, 9, 0.7], [9, 8, 0.7], [5, 0, 0.2]);

  const extentIn = (threshold: Threshold, most?: number) => finish(extentOf(map, placement, photo, threshold, most));

  it('gives all regions, the largest first, and their share', () => {
    const { level, share, regions, mean } = extentIn({ value: 0.5, of: 'range' });
    expect(level).toBe(0.5);
    expect(share).toBeCloseTo(0.05);
    expect(regions.map((region) => Math.round(region.share * 100))).toEqual([3, 2]);
    expect(regions[0]!.box).toEqual({ left: 256, top: 256, width: 64, height: 64 });
    expect(mean).toBeCloseTo(0.0445);
  });

  it('takes a threshold in the map’s own values, which no cell may reach', () => {
    expect(extentIn({ value: 0.1, of: 'value' }).regions).toHaveLength(3);
    expect(extentIn({ value: 2, of: 'value' })).toMatchObject({ regions: [], share: 0 });
    expect(extentIn({ value: 2, of: 'value' }).box).toBeUndefined();
  });

  it('keeps the largest regions, and says how many it leaves out', () => {
    const all = extentIn({ value: 0.1, of: 'value' });
    const few = extentIn({ value: 0.1, of: 'value' }, 1);
    expect(all).toMatchObject({ regionsLeftOut: 0, share: few.share, box: few.box });
    expect(few).toMatchObject({ regions: all.regions.slice(0, 1), regionsLeftOut: 2 });
  });

  it('keeps the largest of very many, as a sort of all would', () => {
    // Every other cell of every other row begins a region of one to three cells.
    const [width, height] = [200, 400];
    const values = new Float32Array(width * height);
    for (let y = 0; y < height; y += 2) {
      for (let x = 0; x < width; x += 5) values.fill(1, y * width + x, y * width + x + 1 + ((x * 7 + y * 3) % 3));
    }
    const at = placeMap(
      { outputStride: 1, offset: 0.5 },
      planInput({ width, height }, { ...plan, fit: 'native', size: 1, resize: 1 }),
    );
    const level: Threshold = { value: 0.5, of: 'value' };
    const all = finish(extentOf({ values, width, height }, at, { width, height }, level, 1e6));
    const some = finish(extentOf({ values, width, height }, at, { width, height }, level, 1000));
    expect(all.regions).toHaveLength(8000);
    expect(some.regions).toEqual(all.regions.slice(0, 1000));
    expect(some).toMatchObject({ regionsLeftOut: 7000, share: all.share, mean: all.mean });
  });
});
