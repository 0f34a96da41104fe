import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { blankCanvas, encodeCanvas, hasFonts, paste, writeText, type Canvas } from '../../../src/drawing/canvas.js';
import { colormap } from '../../../src/maps/colormap.js';
import { formatTick, ticksWithRoom } from '../../../src/drawing/legend.js';
import { layOut, sizeOf } from '../../../src/drawing/layout.js';
import { composeSheet, withLegend } from '../../../src/drawing/sheet.js';

const colorAt = ({ pixels, width }: Canvas, x: number, y: number): number[] => [
  ...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

describe('writeText', () => {
  const style = { size: 14, color: [0, 0, 0], maxWidth: 200, anchor: 'start' } as const;
  const inked = async (text: string, options: object = {}): Promise<number[]> => {
    const canvas = blankCanvas({ width: 200, height: 20 }, [255, 255, 255]);
    await writeText(canvas, text, { x: 100, y: 10 }, { ...style, ...options });
    const columns = Array.from({ length: 200 }, (_, x) => x);
    return columns.filter((x) => columns.slice(0, 20).some((y) => colorAt(canvas, x, y)[0]! < 200));
  };

  it('writes on either side of a place, and cuts what is too long', async ({ skip }) => {
    if (!(await hasFonts())) skip('this machine has no fonts');
    expect(Math.min(...(await inked('zebra')))).toBeGreaterThanOrEqual(99);
    expect(Math.max(...(await inked('zebra', { anchor: 'end' })))).toBeLessThanOrEqual(101);
    const long = await inked('a label that is far too long for its place', { maxWidth: 60 });
    expect(Math.max(...long) - Math.min(...long)).toBeLessThanOrEqual(60);
    expect(await inked('<b>&')).not.toEqual([]);
  });

  it('stays on the canvas, and writes nothing for nothing', async () => {
    expect(await inked('')).toEqual([]);
    expect(await inked(' \u200b')).toEqual([]);
    await expect(inked('zebra', { maxWidth: 1 })).resolves.toBeInstanceOf(Array);
  });
});

describe('layOut', () => {
  it.each([
    ['landscape', { width: 600, height: 400 }, 2, 2],
    ['portrait', { width: 400, height: 640 }, 4, 1],
    ['panorama', { width: 2000, height: 300 }, 1, 4],
  ])('arranges four panels of a %s photo so that the sheet is not extreme', (_, photo, columns, rows) => {
    const layout = layOut(4, photo, 1200);
    expect(layout).toMatchObject({ columns, rows });
    expect(layout.panel.width / layout.panel.height).toBeCloseTo(photo.width / photo.height, 1);
    expect(sizeOf(layout, 1200).width).toBe(1200);
  });

  it.each([1, 7, 20, 100, 400])('keeps 33 panels inside a sheet %i pixels wide', (width) => {
    const { columns, rows, panel, gap } = layOut(33, { width: 400, height: 300 }, width);
    expect(panel.width).toBeGreaterThanOrEqual(1);
    expect(gap + columns * (panel.width + gap)).toBeLessThanOrEqual(width);
    expect(columns * rows).toBeGreaterThanOrEqual(33);
  });

  it('has fewer columns where captions would have no room', () => {
    expect(layOut(7, { width: 400, height: 300 }, 1200).columns).toBe(4);
    expect(layOut(7, { width: 400, height: 300 }, 100)).toMatchObject({ columns: 1, rows: 7 });
  });
});

describe('a sheet', () => {
  it('has every panel, and the bar of colours below those that have one', async () => {
    const layout = layOut(2, { width: 60, height: 40 }, 300);
    const red = blankCanvas(layout.panel, [200, 0, 0]);
    const blue = blankCanvas(layout.panel, [0, 0, 200]);
    const legend = { colormap: 'viridis', low: 0, high: 1 } as const;
    const sheet = await composeSheet(
      [
        { picture: red, caption: '' },
        { picture: blue, caption: '', legend },
      ],
      layout,
      300,
    );
    const colors = new Set(
      Array.from({ length: sheet.width * sheet.height }, (_, i) =>
        colorAt(sheet, i % sheet.width, Math.floor(i / 300)).join(),
      ),
    );
    for (const color of ['200,0,0', '0,0,200', '255,255,255', colormap('viridis').subarray(0, 3).join()]) {
      expect(colors).toContain(color);
    }
  });

  it.each([1, 20, 100])('is drawn whole in %i pixels', async (width) => {
    const layout = layOut(33, { width: 40, height: 30 }, width);
    const picture = blankCanvas(layout.panel, [200, 0, 0]);
    const legend = { colormap: 'viridis', low: 0, high: 1 } as const;
    const panels = Array.from({ length: 33 }, () => ({ picture, caption: '', legend }));
    const sheet = await composeSheet(panels, layout, width);
    const rows = Array.from({ length: sheet.height }, (_, y) => y);
    const red = rows.flatMap((y) => Array.from({ length: width }, (_, x) => colorAt(sheet, x, y)));
    expect(red.filter((color) => color.join() === '200,0,0')).toHaveLength(33 * picture.width * picture.height);
  });

  it('a legend stands below its picture', async () => {
    const picture = blankCanvas({ width: 100, height: 30 }, [9, 9, 9]);
    const whole = await withLegend(picture, { colormap: 'magma', low: -2, high: 3 });
    expect(whole.height).toBeGreaterThan(30);
    expect(colorAt(whole, 99, 29)).toEqual([9, 9, 9]);
    expect(colorAt(whole, 0, 34)).toEqual([...colormap('magma').subarray(0, 3)]);
    expect(colorAt(whole, 99, 34)).toEqual([...colormap('magma').subarray(-3)]);
  });

  it('grows with a large picture, and stays what it is below a small one', async () => {
    const legendOf = async (width: number): Promise<number> => {
      const whole = await withLegend(blankCanvas({ width, height: 30 }, [9, 9, 9]), {
        colormap: 'magma',
        low: 0,
        high: 1,
      });
      const { height } = whole;
      expect(colorAt(whole, width - 1, 34)).toEqual([...colormap('magma').subarray(-3)]);
      return height - 30;
    };
    const [small, usual, large] = [await legendOf(100), await legendOf(1000), await legendOf(4000)];
    expect(small).toBe(usual);
    expect(large / usual).toBeCloseTo(4, 0);
  });

  it.each([
    ['five', 300, 47.5, 5],
    ['two, where five would touch,', 100, 47.5, 2],
    ['two, long ones,', 200, -0.000123, 2],
    ['none, where one would be cut,', 16, 47.5, 0],
  ])('a legend has %s numbers in %i pixels', async (_, width, high, count) => {
    const ticks = await ticksWithRoom(width, (tick) => formatTick(tick * high));
    expect(ticks).toHaveLength((await hasFonts()) ? count : 0);
  });

  it('numbers have three digits that say something', () => {
    expect([0, 0.25, 1, -34.25, 142.51, 0.000123].map(formatTick)).toEqual([
      '0',
      '0.25',
      '1',
      '-34.3',
      '143',
      '0.000123',
    ]);
  });
});

describe('encodeCanvas', () => {
  it.each(['png', 'webp', 'avif'] as const)('writes %s, exact where asked for', async (format) => {
    const canvas = blankCanvas({ width: 40, height: 30 }, [10, 200, 90]);
    paste(canvas, blankCanvas({ width: 5, height: 5 }, [128, 0, 64]), 3, 4);
    const bytes = await encodeCanvas(canvas, format, true);
    expect(await sharp(bytes).metadata()).toMatchObject({ format: format === 'avif' ? 'heif' : format, width: 40 });
    const decoded = await sharp(bytes).raw().toBuffer();
    expect(decoded.equals(Buffer.from(canvas.pixels))).toBe(true);
  });
});
