import { describe, expect, it } from 'vitest';
import { planInput, type Fit } from '../../../src/maps/input-plan.js';
import { emptyMask, fillRings, fillRuns, type RunLengths } from '../../../src/maps/masks.js';
import { outlinesOf, runLengthsOf, type PlacedLabels } from '../../../src/maps/outline.js';
import { UNLABELLED } from '../../../src/maps/label-map.js';
import { placeMap } from '../../../src/maps/place.js';
import { finish } from '../../../src/maps/steps.js';
import { labelColor } from '../../../src/drawing/label-color.js';
import { paintLabels } from '../../../src/drawing/render-labels.js';
import { noiseLabels } from '../../support/noise-map.js';

/** Cells of 32 pixels, all of which are seen. */
function placed(rows: readonly string[], fit: Fit = 'native', photo = { width: 0, height: 0 }): PlacedLabels {
  const [height, width] = [rows.length, rows[0]!.length];
  const size = photo.width === 0 ? { width: 32 * width, height: 32 * height } : photo;
  const plan = planInput(size, {
    fit,
    size: 32 * Math.min(width, height),
    resize: 36 * Math.min(width, height),
    scale: 1,
  });
  const values = Uint16Array.from(rows.join(''), Number);
  return { labels: { values, width, height }, placement: placeMap({ outputStride: 32, offset: 16 }, plan), plan };
}

type Point = readonly [number, number];

/** The polygons of a label as arrays. */
function polygonsOf(image: PlacedLabels, label: number): Point[][][] {
  const polygons = finish(outlinesOf(image, Infinity))!.polygonsOf(label);
  return Array.from(polygons, (rings) => Array.from(rings, (ring) => Array.from(ring)));
}

function runsOf(image: PlacedLabels, label: number): RunLengths {
  const { size, countsOf } = finish(runLengthsOf(image, Infinity))!;
  return { size, counts: [...countsOf(label)!].join('') };
}

describe('outlinesOf', () => {
  it('goes around an area, with its holes and what is in them', () => {
    const image = placed(['11111', '12221', '12121', '12221', '11111']);
    const rings = polygonsOf(image, 1).map((polygon) =>
      polygon.map((ring) => ring.map(([x, y]) => `${x},${y}`).join(' ')),
    );
    expect(rings).toEqual([
      ['0,0 160,0 160,160 0,160 0,0', '32,32 32,128 128,128 128,32 32,32'],
      ['64,64 96,64 96,96 64,96 64,64'],
    ]);
    expect(polygonsOf(image, 2)).toHaveLength(1);
    expect(polygonsOf(image, 2)[0]).toHaveLength(2);
  });

  it('keeps cells apart that touch in a corner', () => {
    const image = placed(['12', '21']);
    expect(polygonsOf(image, 1).map((rings) => rings.length)).toEqual([1, 1]);
    expect(polygonsOf(image, 2).map((rings) => rings[0]!.length)).toEqual([5, 5]);
  });

  it('gives a hole to the area around it, also where another area of the label lies in a hole', () => {
    const image = placed(['1111111', '1222221', '1211121', '1213121', '1211121', '1222221', '1111111']);
    const polygons = polygonsOf(image, 1);
    expect(polygons.map((rings) => rings.length)).toEqual([2, 2]);
    const [, hole] = polygons[1]!;
    expect(Math.min(...hole!.map(([x]) => x))).toBe(3 * 32);
  });

  it('gives the largest polygons first, and none of what is unlabelled', () => {
    const image = placed(['1101', '1100', '0001', '1111']);
    image.labels.values.forEach((label, cell) => (image.labels.values[cell] = label === 0 ? UNLABELLED : 1));
    const widths = polygonsOf(image, 1).map(([ring]) => Math.max(...ring!.map(([x]) => x)));
    expect(widths).toEqual([128, 64, 128]);
    expect(polygonsOf(image, UNLABELLED)).toEqual([]);
  });

  it('gives up where the outlines have more corners than it may', () => {
    const image = noiseLabels(100, 100, 5);
    const { points } = finish(outlinesOf(image, Infinity))!;
    expect(finish(outlinesOf(image, points))!.points).toBe(points);
    expect(finish(outlinesOf(image, points - 1))).toBeUndefined();
  });
});

describe('runLengthsOf', () => {
  it('gives up where there are more runs than it may', () => {
    const image = noiseLabels(100, 100, 5);
    const { runs } = finish(runLengthsOf(image, Infinity))!;
    expect(runs).toBeGreaterThan(5000);
    expect(finish(runLengthsOf(image, runs))!.runs).toBe(runs);
    expect(finish(runLengthsOf(image, runs / 2))).toBeUndefined();
  });

  it('takes columns of one label at once, however wide the photo is', () => {
    const photo = { width: 1_000_000, height: 20 };
    const plan = planInput(photo, { fit: 'native', size: 1, resize: 1, scale: 1 });
    const labels = { values: Uint16Array.from([1, 2, 1, 2]), width: 4, height: 1 };
    const placement = placeMap({ outputStride: 250_000, offset: 125_000 }, plan);
    const { runs, countsOf } = finish(runLengthsOf({ labels, placement, plan }, Infinity))!;
    expect(runs).toBeLessThan(8);
    const mask = emptyMask(photo);
    fillRuns(mask, { size: [20, 1_000_000], counts: [...countsOf(2)!].join('') });
    expect([0, 249_999, 250_000, 499_999, 500_000].map((x) => mask.values[19 * photo.width + x])).toEqual([
      0, 0, 1, 1, 0,
    ]);
  });
});

describe('the shapes of a label map', () => {
  const rows = ['0012233', '0112233', '4411255', '4144155', '0000015'];

  async function expectShapesOfPicture(image: PlacedLabels): Promise<void> {
    const { photo } = image.plan;
    const { pixels: data } = await paintLabels({ ...image, alpha: 1 });
    for (const label of new Set(image.labels.values)) {
      const color = labelColor(label);
      const shown = Uint8Array.from({ length: photo.width * photo.height }, (_, pixel) =>
        Number(((data[3 * pixel]! << 16) | (data[3 * pixel + 1]! << 8) | data[3 * pixel + 2]!) === color),
      );
      const fromRuns = emptyMask(photo);
      fillRuns(fromRuns, runsOf(image, label));
      expect(Buffer.compare(fromRuns.values, shown)).toBe(0);
      const fromPolygons = emptyMask(photo);
      for (const rings of polygonsOf(image, label))
        fillRings(
          fromPolygons,
          rings.map((ring) => ring.slice(1).flat()),
        );
      expect(Buffer.compare(fromPolygons.values, shown)).toBe(0);
    }
  }

  it.each<[Fit, { width: number; height: number }]>([
    ['native', { width: 224, height: 160 }],
    ['whole', { width: 451, height: 320 }],
    ['crop', { width: 300, height: 203 }],
  ])('are those of its picture (fit=%s on %j)', async (fit, photo) => {
    const crop = fit === 'crop' ? rows.map((row) => row.slice(0, 5)) : rows;
    await expectShapesOfPicture(placed(crop, fit, photo));
  });

  it.each([2, 3, 9])('are those of its picture where it is noise of %i labels', async (labels) => {
    await expectShapesOfPicture(noiseLabels(31, 23, labels));
  });
});
