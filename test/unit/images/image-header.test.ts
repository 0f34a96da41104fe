import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import { sniffFormat } from '../../../src/images/image-format.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { hasShared, shared } from '../../support/shared.js';

const limits = { maxPixels: 50_000_000 };
const text = (content: string) => new TextEncoder().encode(content);
const latin1 = (content: string) => new Uint8Array(Buffer.from(content, 'latin1'));
const red = { create: { width: 40, height: 30, channels: 3, background: '#f00' } } as const;

async function failureOf(promise: Promise<unknown>): Promise<ServiceError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ServiceError);
  return error as ServiceError;
}

describe('sniffFormat', () => {
  it.each([
    ['%PDF-1.7\n', 'PDF'],
    ['\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'],
    ['\0\0\0\x18ftypmif1\0\0\0\0mif1heic', 'HEIC'],
    ['\0\0\0\x18ftypisom\0\0\0\0isomavc1', 'MP4 or QuickTime video'],
    ['\xff\x0a\x00', 'JPEG XL'],
    ['\0\0\0\x0cJXL \r\n\x87\n', 'JPEG XL'],
    ['BM\x46\0\0\0', 'BMP'],
    ['\xef\xbb\xbf  <svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG'],
    ['<?xml version="1.0"?>\n<!-- a -->\n<svg/>', 'SVG'],
    ['<!DOCTYPE html><p>', 'HTML'],
    ['{"images": []}', 'JSON'],
    ['hello', undefined],
    ['\xff\xd8', undefined],
  ])('refuses %j as %s', (content, name) => {
    expect(sniffFormat(latin1(content))).toEqual({ accepted: false, name });
  });

  it.each([
    ['\0\0\0\x1cftypavif\0\0\0\0mif1avif', 'avif'],
    ['\0\0\0\x1cftypmif1\0\0\0\0mif1avif', 'avif'],
    ['RIFF\x01\x02\x03\x04WEBPVP8 ', 'webp'],
    ['MM\0*\0\0\0\x08', 'tiff'],
  ])('accepts %j as %s', (content, format) => {
    expect(sniffFormat(latin1(content))).toEqual({ accepted: true, format });
  });
});

describe('readImageHeader', () => {
  it.each(['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff'] as const)('reads the size of a %s', async (format) => {
    const bytes = await sharp(red).toFormat(format).toBuffer();
    expect(await readImageHeader(bytes, limits)).toMatchObject({ format, width: 40, height: 30, deep: false });
  });

  it('swaps the sides of a photo that lies on its side', async () => {
    const bytes = await sharp(red).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect(await readImageHeader(bytes, limits)).toMatchObject({ width: 30, height: 40 });
  });

  it('rejects an empty body with IMAGE_UNDECODABLE', async () => {
    expect((await failureOf(readImageHeader(new Uint8Array(), limits))).code).toBe('IMAGE_UNDECODABLE');
  });

  it('rejects other formats with UNSUPPORTED_MEDIA_TYPE and names what it found', async () => {
    const failure = await failureOf(readImageHeader(text('<svg width="1" height="1"/>'), limits));
    expect(failure.code).toBe('UNSUPPORTED_MEDIA_TYPE');
    expect(failure.message).toContain('SVG');
  });

  it('rejects a magic number with nothing behind it with IMAGE_UNDECODABLE', async () => {
    for (const magic of [
      '\xff\xd8\xff',
      '\x89PNG\r\n\x1a\n',
      'GIF89a',
      'II*\0',
      'RIFF\0\0\0\0WEBP',
      '\0\0\0\x14ftypavif\0\0\0\0avif',
    ]) {
      const failure = await failureOf(readImageHeader(latin1(magic), limits));
      expect(failure.code).toBe('IMAGE_UNDECODABLE');
      expect(failure.message).not.toMatch(/vips|buffer/i);
      expect(failure.cause).toBeDefined();
    }
  });

  it('rejects more pixels than the limit with IMAGE_TOO_LARGE and the figures, and takes exactly the limit', async () => {
    const bytes = await sharp(red).png().toBuffer();
    const failure = await failureOf(readImageHeader(bytes, { maxPixels: 1199 }));
    expect(failure.code).toBe('IMAGE_TOO_LARGE');
    expect(failure.message).toContain('40×30 = 1200 pixels; the limit is 1199');
    expect(failure.limit).toEqual({ name: 'image_pixels', value: 1199, needed: 1200 });
    expect(await readImageHeader(bytes, { maxPixels: 1200 })).toMatchObject({ width: 40 });
  });

  describe.skipIf(!hasShared)('on the hard images', () => {
    it.each([
      ['bomb-17000x17000.avif', '17000×17000'],
      ['bomb-20000x14000.jpg', '20000×14000'],
      ['bomb-65536x65536.png', '65536×65536'],
    ])('rejects %s with IMAGE_TOO_LARGE, at once and without taking memory', async (file, figures) => {
      const bytes = readFileSync(shared('hard-images', file));
      await readImageHeader(await sharp(red).png().toBuffer(), limits);
      const before = process.memoryUsage().rss;
      const start = performance.now();
      const failure = await failureOf(readImageHeader(bytes, limits));
      const elapsedMs = performance.now() - start;
      expect(failure.code).toBe('IMAGE_TOO_LARGE');
      expect(failure.message).toContain(figures);
      expect(elapsedMs).toBeLessThan(200);
      expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
    });

    it.each([
      ['corrupt-header.jpg', 'IMAGE_UNDECODABLE'],
      ['xc9n2c08.png', 'IMAGE_UNDECODABLE'],
      ['xs2n0g01.png', 'UNSUPPORTED_MEDIA_TYPE'],
      ['logo.svg', 'UNSUPPORTED_MEDIA_TYPE'],
    ])('rejects %s with %s', async (file, code) => {
      expect((await failureOf(readImageHeader(readFileSync(shared('hard-images', file)), limits))).code).toBe(code);
    });
  });
});
