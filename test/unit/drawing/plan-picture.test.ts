import { describe, expect, it } from 'vitest';
import { planPicture, type Picture } from '../../../src/drawing/plan-picture.js';
import type { Drawn, DrawingStyle } from '../../../src/drawing/style.js';
import { readImageHeader, type ImageHeader } from '../../../src/images/image-header.js';
import sharp from 'sharp';

const OUTPUT: Drawn = {
  ...{ format: 'png', background: { r: 0, g: 0, b: 0 } },
  ...{ maxPixels: 5e7, maxSeconds: 30, maxBytes: 1e9 },
};
const STYLE: DrawingStyle = {
  ...{ render: 'overlay', colormap: 'viridis', alpha: 0.5, opacity: 'constant', scores: 'probability', legend: false },
};

async function headerOf(width: number, height: number): Promise<ImageHeader> {
  const photo = sharp({ create: { width, height, channels: 3, background: '#456' } });
  return readImageHeader(await photo.jpeg().toBuffer(), { maxPixels: Infinity });
}

const heatmap = (style: Partial<DrawingStyle> = {}, classes = 1): Picture => ({
  kind: 'heatmap',
  style: { ...STYLE, ...style },
  classes,
});

describe('the plan of a picture', () => {
  it("has the photo's size, or another width at its aspect", async () => {
    const header = await headerOf(400, 300);
    expect(planPicture(header, heatmap(), OUTPUT).size).toEqual({ width: 400, height: 300 });
    expect(planPicture(header, heatmap({ width: 100 }), OUTPUT).size).toEqual({ width: 100, height: 75 });
  });

  it('costs more memory with a legend, on a sheet, and most as AVIF', async () => {
    const header = await headerOf(2000, 1500);
    const bytesOf = (picture: Picture, format: Drawn['format'] = 'png'): number =>
      planPicture(header, picture, { ...OUTPUT, format }).cost.bytes;
    const plain = bytesOf(heatmap());
    expect(bytesOf(heatmap({ legend: true }))).toBeGreaterThan(plain + 3 * 2000 * 1500);
    expect(bytesOf(heatmap({ render: 'sheet', width: 2000 }, 8))).toBeGreaterThan(plain);
    expect(bytesOf(heatmap(), 'avif')).toBeGreaterThan(100e6);
    expect(bytesOf(heatmap(), 'webp')).toBeLessThan(40e6);
  });

  it('of a label map alone is that of a lossless picture', async () => {
    const header = await headerOf(2000, 1500);
    const costOf = (render: 'palette' | 'overlay') =>
      planPicture(header, { kind: 'labels', style: { render, alpha: 0.5 } }, { ...OUTPUT, format: 'webp' }).cost;
    expect(costOf('palette').bytes).toBeGreaterThan(3 * costOf('overlay').bytes);
  });

  it('refuses what would take too long or too much, and says what else to ask for', async () => {
    const header = await headerOf(7000, 7000);
    const avif = { ...OUTPUT, format: 'avif' as const };
    expect(() => planPicture(header, heatmap(), { ...avif, maxBytes: 1e10 })).toThrow(
      expect.objectContaining({
        code: 'IMAGE_TOO_LARGE',
        message: expect.stringMatching(
          /about \d+ s of a processor core; the limit is 30 s.*smaller width, or image\/png/,
        ) as string,
        limit: { name: 'picture_seconds', value: 30, needed: expect.any(Number) as number },
      }) as Error,
    );
    expect(() => planPicture(header, heatmap(), { ...avif, maxSeconds: 1000 })).toThrow(
      expect.objectContaining({
        code: 'IMAGE_TOO_LARGE',
        limit: { name: 'picture_bytes', value: 1e9, needed: expect.any(Number) as number },
      }) as Error,
    );
    expect(() => planPicture(header, heatmap(), OUTPUT)).not.toThrow();
    expect(() => planPicture(header, heatmap({ width: 2000 }), avif)).not.toThrow();
  });
});
