/** Pictures of every kind, beside the pixels that other decoders make of them (test/fixtures/pictures/generate.py). */
import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeInput, decodePhoto } from '../../../src/images/decode.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { planInput } from '../../../src/maps/input-plan.js';

interface Kind {
  readonly file: string;
  /** Pixels over white, as PNG, and how far each sample may be from them. */
  readonly wanted?: string;
  readonly tolerance?: number;
  /** Words of the refusal. */
  readonly refused?: string;
}

const limits = { maxPixels: 1e6 };
const background = { r: 255, g: 255, b: 255 };
const read = (file: string): Buffer => readFileSync(new URL(`../../fixtures/pictures/${file}`, import.meta.url));
const KINDS = JSON.parse(read('kinds.json').toString()) as Kind[];

/** Where the pixels differ most. */
function farthest(pixels: Uint8Array, wanted: Uint8Array): number {
  expect(pixels).toHaveLength(wanted.length);
  return pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
}

describe('a picture', () => {
  it.each(KINDS.filter(({ wanted }) => wanted !== undefined))('$file has its pixels', async (kind) => {
    const bytes = read(kind.file);
    const wanted = await sharp(read(kind.wanted!))
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const header = await readImageHeader(bytes, limits);
    expect(header).toMatchObject({ width: wanted.info.width, height: wanted.info.height });
    const { pixels } = await decodePhoto(bytes, header, { background });
    expect(farthest(pixels, wanted.data)).toBeLessThanOrEqual(kind.tolerance!);

    // As a network's input, too: turned around and made smaller, each its own way through libvips.
    const input = planInput(header, { fit: 'stretch', size: 16, resize: 16, scale: 1 });
    const request = { photo: { bytes, header }, input, interpolation: 'bilinear', background } as const;
    const small = await sharp(wanted.data, { raw: { ...wanted.info, channels: 3 } })
      .resize(16, 16, { fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer();
    expect(farthest(await decodeInput(request), small)).toBeLessThanOrEqual(kind.tolerance! + 4);
  });

  it.each(KINDS.filter(({ refused }) => refused !== undefined))('$file is refused by its kind', async (kind) => {
    await expect(readImageHeader(read(kind.file), limits)).rejects.toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining(kind.refused!) as string,
    });
  });

  it('whose first frame is smaller lies over the background that is asked for', async () => {
    const bytes = read('frame-smaller.gif');
    const header = await readImageHeader(bytes, limits);
    const { pixels } = await decodePhoto(bytes, header, { background: { r: 10, g: 200, b: 90 } });
    expect([...pixels.subarray(0, 3)]).toEqual([10, 200, 90]);
    expect([...pixels.subarray(-3)]).toEqual([10, 200, 90]);
  });
});
