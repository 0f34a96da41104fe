import { describe, expect, it } from 'vitest';
import {
  decompressCounts,
  emptyMask,
  fillRings,
  fillRuns,
  RunLengthWriter,
  type Mask,
} from '../../../src/maps/masks.js';

const rowsOf = ({ values, width, height }: Mask): string[] =>
  Array.from({ length: height }, (_, y) => values.slice(y * width, (y + 1) * width).join(''));

function compressed({ values, width, height }: Mask): string {
  const writer = new RunLengthWriter();
  for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) writer.add(values[y * width + x] === 1, 1);
  writer.end();
  return [...writer.pieces()].join('');
}

/** Written by pycocotools 2.0 for the mask beside it. */
const KNOWN = {
  rows: ['000000000', '001100000', '001100000', '001111110', '001100000', '000000000', '000000001'],
  text: '?4302M10000030',
};

/** By pycocotools 2.0: an ellipse around (140, 180) with half axes of 90 and 120, and the rectangle from (250, 300). */
const LARGE = [
  'cRd0S1U;`0C:F:G8H8I6J6J6K4K6K4K6K4L4L4L4M2M4L4L4M2M4M2N2M4M2N2M4M2N2N2N2N2N2N2N2N2N2N2N2N2N2N2O0O2N2',
  'N2O0O2N2O0O2O0O2N2O0O2O0O2O0O2O000O2O0O2O00000O2O000O2O0000000O2O00000000000000000000000000000000000',
  '000000001N100000001N10001N1000001N101N10001N101N101N101N2N101N101N2N101N2N2N101N2N2N2N2N2N2N2N2N2N2N',
  '2N2N2N2N3L3N2N3L3N2N3L3N3L4L4L3N3L4L4L4L5J5L5J5L5J6J6J7H8H9F:F=@an7Q2foG',
  '0'.repeat(97),
].join('');

describe('run lengths', () => {
  it('are written as pycocotools writes them, and read back', () => {
    const mask = emptyMask({ width: 9, height: 7 });
    fillRuns(mask, { size: [7, 9], counts: KNOWN.text });
    expect(rowsOf(mask)).toEqual(KNOWN.rows);
    expect(compressed(mask)).toBe(KNOWN.text);
  });

  it('of a large mask are those of pycocotools', () => {
    const mask = emptyMask({ width: 300, height: 400 });
    mask.values.forEach((_, pixel) => {
      const [x, y] = [pixel % 300, Math.floor(pixel / 300)];
      const inside = ((y - 180) / 120) ** 2 + ((x - 140) / 90) ** 2 < 1 || (x >= 250 && y >= 300);
      mask.values[pixel] = Number(inside);
    });
    expect(compressed(mask)).toBe(LARGE);
    const back = emptyMask(mask);
    fillRuns(back, { size: [mask.height, mask.width], counts: LARGE });
    expect(back.values).toEqual(mask.values);
  });

  it('begin with the pixels outside, also where there are none', () => {
    const writer = new RunLengthWriter();
    writer.add(true, 2);
    writer.add(true, 1);
    writer.add(false, 3);
    writer.end();
    expect(decompressCounts([...writer.pieces()].join(''))).toEqual([0, 3, 3]);
  });

  it('of any number leave in pieces', () => {
    const writer = new RunLengthWriter();
    for (let i = 0; i < 20_000; i++) writer.add(i % 2 === 1, 1 + ((i * 37) % 5));
    writer.end();
    const pieces = [...writer.pieces()];
    expect(pieces.length).toBeGreaterThan(2);
    expect(decompressCounts(pieces.join(''))).toEqual(Array.from({ length: 20_000 }, (_, i) => 1 + ((i * 37) % 5)));
  });

  it('that are not those of the image are refused', () => {
    const mask = emptyMask({ width: 2, height: 2 });
    expect(() => fillRuns(mask, { size: [2, 3], counts: [6] })).toThrow(RangeError);
    expect(() => fillRuns(mask, { size: [2, 2], counts: [1, 2] })).toThrow(RangeError);
    expect(() => fillRuns(mask, { size: [2, 2], counts: [5, -1] })).toThrow(RangeError);
  });
});

describe('polygons', () => {
  it('take the pixels whose centre is inside, and leave holes', () => {
    const mask = emptyMask({ width: 6, height: 5 });
    fillRings(mask, [
      [0, 0, 5, 0, 5, 5, 0, 5],
      [1.6, 1.4, 1.6, 3.4, 3.6, 3.4, 3.6, 1.4],
    ]);
    expect(rowsOf(mask)).toEqual(['111110', '110010', '110010', '111110', '111110']);
  });

  it('may leave the image', () => {
    const mask = emptyMask({ width: 3, height: 2 });
    fillRings(mask, [[-5, -5, 1, -5, 1, 9, -5, 9]]);
    expect(rowsOf(mask)).toEqual(['100', '100']);
  });
});
