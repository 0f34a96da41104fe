import { describe, expect, it } from 'vitest';
import { planInput } from '../../../src/maps/input-plan.js';
import { extentOf, peakOf, type Box } from '../../../src/maps/localize.js';
import { mirrorInput, placeMap, type Placement } from '../../../src/maps/place.js';

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
  return extentOf(map, at, size, { value, of: 'range' }).box;
}

describe('peakOf', () => {
  it('is the photo pixel at the centre of the strongest cell', () => {
    expect(peakOf(mapOf([3, 7, 0.75]), placement, photo)).toEqual({ x: 16 + 3 * 32, y: 16 + 7 * 32, value: 0.75 });
  });

  it('stays in the photo when the cell looks beyond it', () => {
    const outside = placeMap({ outputStride: 32, offset: -40 }, plan);
    expect(peakOf(mapOf([0, 0, 1]), outside, photo)).toMatchObject({ x: 0, y: 0 });
    const beyond = placeMap({ outputStride: 64, offset: 0 }, plan);
    expect(peakOf(mapOf([9, 9, 1]), beyond, photo)).toMatchObject({ x: 319, y: 319 });
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

  it('gives all regions, the largest first, and their share', () => {
    const { level, share, regions, mean } = extentOf(map, placement, photo, { value: 0.5, of: 'range' });
    expect(level).toBe(0.5);
    expect(share).toBeCloseTo(0.05);
    expect(regions.map((region) => Math.round(region.share * 100))).toEqual([3, 2]);
    expect(regions[0]!.box).toEqual({ left: 256, top: 256, width: 64, height: 64 });
    expect(mean).toBeCloseTo(0.0445);
  });

  it('takes a threshold in the map’s own values, which no cell may reach', () => {
    expect(extentOf(map, placement, photo, { value: 0.1, of: 'value' }).regions).toHaveLength(3);
    expect(extentOf(map, placement, photo, { value: 2, of: 'value' })).toMatchObject({ regions: [], share: 0 });
    expect(extentOf(map, placement, photo, { value: 2, of: 'value' }).box).toBeUndefined();
  });
});
