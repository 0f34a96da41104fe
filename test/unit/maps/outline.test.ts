import { describe, expect, it } from 'vitest';
import { planInput, type Fit } from '../../../src/maps/input-plan.js';
import { emptyMask, fillRings, fillRuns } from '../../../src/maps/masks.js';
import { polygonsOf, runLengthsOf, type PlacedLabels } from '../../../src/maps/outline.js';
import { placeMap } from '../../../src/maps/place.js';
import { labelColor, paintLabels } from '../../../src/drawing/render-labels.js';

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

describe('polygonsOf', () => {
  it('goes around an area, with its holes and what is in them', () => {
    const polygons = polygonsOf(placed(['11111', '12221', '12121', '12221', '11111']));
    const rings = polygons.get(1)!.map((polygon) => polygon.map((ring) => ring.map(([x, y]) => `${x},${y}`).join(' ')));
    expect(rings).toEqual([
      ['0,0 160,0 160,160 0,160 0,0', '32,32 32,128 128,128 128,32 32,32'],
      ['64,64 96,64 96,96 64,96 64,64'],
    ]);
    expect(polygons.get(2)).toHaveLength(1);
    expect(polygons.get(2)![0]).toHaveLength(2);
  });

  it('keeps cells apart that touch in a corner', () => {
    const polygons = polygonsOf(placed(['12', '21']));
    expect(polygons.get(1)!.map((rings) => rings.length)).toEqual([1, 1]);
    expect(polygons.get(2)!.map((rings) => rings[0]!.length)).toEqual([5, 5]);
  });
});

describe('the shapes of a label map', () => {
  const rows = ['0012233', '0112233', '4411255', '4144155', '0000015'];

  it.each<[Fit, { width: number; height: number }]>([
    ['native', { width: 224, height: 160 }],
    ['whole', { width: 451, height: 320 }],
    ['crop', { width: 300, height: 203 }],
  ])('are those of its picture (fit=%s on %j)', async (fit, photo) => {
    const crop = fit === 'crop' ? rows.map((row) => row.slice(0, 5)) : rows;
    const image = placed(crop, fit, photo);
    const { pixels: data } = await paintLabels({ ...image, alpha: 1 });
    const polygons = polygonsOf(image);
    const runLengths = runLengthsOf(image);
    for (const label of new Set(image.labels.values)) {
      const color = labelColor(label);
      const shown = Uint8Array.from({ length: photo.width * photo.height }, (_, pixel) =>
        Number(((data[3 * pixel]! << 16) | (data[3 * pixel + 1]! << 8) | data[3 * pixel + 2]!) === color),
      );
      const fromRuns = emptyMask(photo);
      fillRuns(fromRuns, runLengths.get(label)!);
      expect(fromRuns.values).toEqual(shown);
      const fromPolygons = emptyMask(photo);
      for (const rings of polygons.get(label)!)
        fillRings(
          fromPolygons,
          rings.map((ring) => ring.slice(1).flat()),
        );
      expect(fromPolygons.values).toEqual(shown);
    }
  });
});
