import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { checkDecodeCost, inputDecodeCost, photoDecodeCost } from '../../../src/images/decode-cost.js';
import { readImageHeader, type ImageHeader } from '../../../src/images/image-header.js';
import { planInput } from '../../../src/maps/input-plan.js';
import { avif, box, chunk, codedImage, ispe, jpegOfScans, number } from '../../support/made-images.js';
import { hasShared, shared } from '../../support/shared.js';

const SIDE = 2000;
const MB = 1e6;
const flat = (side = SIDE) => sharp({ create: { width: side, height: side, channels: 3, background: '#456' } });
const headerOf = (bytes: Uint8Array): Promise<ImageHeader> => readImageHeader(bytes, { maxPixels: Infinity });
const inputCost = (header: ImageHeader) =>
  inputDecodeCost(header, planInput(header, { fit: 'crop', size: 224, resize: 256, scale: 1 }));

describe('memory', () => {
  const pixels = SIDE * SIDE;

  it('of an input is that of some lines where the format comes line by line', async () => {
    for (const format of ['jpeg', 'png'] as const) {
      const header = await headerOf(await flat().toFormat(format).toBuffer());
      expect(inputCost(header).bytes, format).toBeLessThan(4 * pixels);
      expect(photoDecodeCost(header).bytes, format).toBeGreaterThan(3 * pixels);
    }
  });

  it('of the others is that of the whole picture, whatever is made of it', async () => {
    const whole = {
      webp: [await flat().webp({ lossless: true }).toBuffer(), 8],
      avif: [await flat().avif({ effort: 0 }).toBuffer(), 18],
      gif: [await flat().gif().toBuffer(), 4],
      interlaced: [await flat().png({ progressive: true }).toBuffer(), 3],
      progressive: [await flat().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer(), 6],
    } as const;
    for (const [kind, [bytes, bytesPerPixel]] of Object.entries(whole)) {
      const { bytes: estimated } = inputCost(await headerOf(bytes));
      expect(estimated, kind).toBeGreaterThan(bytesPerPixel * pixels);
      expect(estimated, kind).toBeLessThan(bytesPerPixel * pixels + 40 * MB);
    }
  });

  it('of a photo that EXIF turns is that of the whole photo', async () => {
    const [upright, turned] = await Promise.all(
      [1, 6].map(async (orientation) => headerOf(await flat().withMetadata({ orientation }).jpeg().toBuffer())),
    );
    expect(inputCost(turned!).bytes - inputCost(upright!).bytes).toBeGreaterThan(3 * pixels);
  });

  it.skipIf(!hasShared)('of 38 bytes of WebP is that of their 49 megapixels, and they are not refused', async () => {
    const bytes = readFileSync(shared('faults', 'images', 'lossless-7000x7000-38bytes.webp'));
    const header = await readImageHeader(bytes, { maxPixels: 50e6, maxDecodeSeconds: 20 });
    // Measured: 403 MB.
    expect(inputCost(header).bytes).toBeGreaterThan(403 * MB);
    expect(inputCost(header).bytes).toBeLessThan(600 * MB);
  });

  it('of an alpha plane that is larger than its picture is counted', async () => {
    const { av1C, data } = codedImage(await flat(64).avif({ effort: 0 }).toBuffer());
    const auxC = box('auxC', number(0, 4), Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0'));
    const alpha = { properties: [ispe(16384, 16384), av1C, auxC], references: [{ type: 'auxl', to: [0] }] };
    const bytes = avif([
      { type: 'av01', data, properties: [ispe(64, 64), av1C] },
      { type: 'av01', data, ...alpha },
    ]);
    expect(inputCost(await headerOf(bytes)).bytes).toBeGreaterThan(2000 * MB);
  });
});

describe('time', () => {
  it('grows with the scans of a progressive JPEG', async () => {
    const [few, many] = await Promise.all([10, 100].map((scans) => headerOf(jpegOfScans(SIDE, SIDE, scans))));
    const seconds = inputCost(many!).seconds - inputCost(few!).seconds;
    // Measured: 0.08 s.
    expect(seconds).toBeGreaterThan(0.05);
    expect(seconds).toBeLessThan(0.2);
  });

  it('counts what compressed texts of a PNG grow to', async () => {
    const png = await flat(32).png().toBuffer();
    const text = chunk('zTXt', Buffer.alloc(51_000));
    const bytes = Buffer.concat([png.subarray(0, 33), ...Array.from({ length: 90 }, () => text), png.subarray(33)]);
    // Measured: 14.5 s for each time that the header is read.
    expect(inputCost(await headerOf(bytes)).seconds).toBeGreaterThan(2 * 14.5);
  });
});

describe('what is refused on sight', () => {
  const refusal = async (bytes: Uint8Array, limits: object): Promise<unknown> =>
    readImageHeader(bytes, { maxPixels: 50e6, ...limits }).catch((error: unknown) => error);

  it('is a JPEG of more scans than encoders write, with both figures', async () => {
    expect(await refusal(jpegOfScans(80, 80, 5000), {})).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: 'The image has at least 5000 scans, each a pass over the whole picture; the limit is 100.',
      limit: { name: 'image_scans', value: 100, needed: 5000 },
    });
  });

  it('is a decode that takes too long, with both figures', async () => {
    const bytes = await flat().avif({ effort: 0 }).toBuffer();
    expect(await refusal(bytes, { maxDecodeSeconds: 0.1 })).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: expect.stringMatching(/about 0\.\d+ s of a processor core; the limit is 0\.1 s/) as string,
      limit: { name: 'decode_seconds', value: 0.1 },
    });
    expect(await refusal(bytes, { maxDecodeSeconds: 20 })).toMatchObject({ width: SIDE });
  });

  it('is a decode that takes too much memory, with both figures', async () => {
    const bytes = await flat().webp({ lossless: true }).toBuffer();
    expect(await refusal(bytes, { maxDecodeBytes: 20 * MB })).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: expect.stringMatching(/about \d+ MB of memory; the limit is 20 MB/) as string,
      limit: { name: 'decode_bytes', value: 20 * MB },
    });
    expect(await refusal(bytes, { maxDecodeBytes: 200 * MB })).toMatchObject({ width: SIDE });
  });

  it('of a profile of colorants and curves is that of the pixels that are made, otherwise of all that are loaded', async () => {
    const made = sharp({ create: { width: 900, height: 600, channels: 3, background: '#345' } }).withIccProfile('p3');
    const opaque = await readImageHeader(await made.clone().png().toBuffer(), { maxPixels: Infinity });
    const blended = await readImageHeader(await made.ensureAlpha(0.5).png().toBuffer(), { maxPixels: Infinity });
    expect([opaque.colours, blended.colours]).toEqual(['matrix', 'matrix']);
    const seconds = (header: ImageHeader, size: number): number =>
      inputDecodeCost(header, planInput(header, { fit: 'stretch', size, resize: size, scale: 1 })).seconds;
    const profiled = (header: ImageHeader, size: number): number =>
      seconds(header, size) - seconds({ ...header, colours: 'plain' }, size);
    expect(profiled(opaque, 100)).toBeLessThan(0.001);
    expect(profiled(opaque, 2000)).toBeGreaterThan(50 * profiled(opaque, 100));
    expect(profiled(blended, 100)).toBeGreaterThan(0.02);
    expect(profiled(blended, 2000)).toBeCloseTo(profiled(blended, 100), 6);
    expect(profiled({ ...opaque, colours: 'profile' }, 100)).toBeGreaterThan(0.02);
  });

  it('is no picture of 50 megapixels as encoders write it, in 20 seconds', () => {
    const common = { stored: { width: 10000, height: 5000 }, width: 10000, height: 5000, orientation: 6, deep: false };
    const rest = {
      bytesPerSample: 1,
      frames: 1,
      tiles: 1,
      heldBytes: 0,
      lossless: false,
      compressed: true,
      metadataBytes: 0,
      tiled: false,
      frame: undefined,
      hasSurplus: false,
      limitedRange: false,
    };
    const large = { ...common, ...rest, encodedBytes: 32 * 2 ** 20 };
    const headers: ImageHeader[] = [
      { ...large, format: 'jpeg', channels: 3, progressive: true, scans: 20, codedSamples: 150e6, colours: 'profile' },
      { ...large, format: 'jpeg', channels: 4, progressive: true, scans: 20, codedSamples: 200e6, colours: 'cmyk' },
      {
        ...large,
        format: 'png',
        channels: 4,
        bytesPerSample: 2,
        progressive: true,
        scans: 1,
        codedSamples: 200e6,
        colours: 'profile',
        deep: true,
      },
      {
        ...large,
        format: 'webp',
        channels: 4,
        lossless: true,
        progressive: false,
        scans: 1,
        codedSamples: 200e6,
        colours: 'plain',
      },
      {
        ...large,
        format: 'avif',
        orientation: 1,
        channels: 3,
        bytesPerSample: 2,
        progressive: false,
        scans: 1,
        codedSamples: 150e6,
        colours: 'plain',
        deep: true,
      },
      {
        ...large,
        format: 'gif',
        orientation: 1,
        channels: 4,
        progressive: false,
        scans: 1,
        codedSamples: 50e6,
        colours: 'plain',
      },
    ];
    for (const header of headers) {
      expect(() => checkDecodeCost(photoDecodeCost(header), { maxDecodeSeconds: 20 }), header.format).not.toThrow();
    }
  });
});
