import { readFileSync } from 'node:fs';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeInput, decodePhoto, type Photo } from '../../../src/images/decode.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { planInput, type Fit } from '../../../src/maps/input-plan.js';
import { hasShared, shared } from '../../support/shared.js';

const limits = { maxPixels: 50_000_000 };
const white = { r: 255, g: 255, b: 255 };
type Color = [r: number, g: number, b: number];

const RED: Color = [255, 0, 0];
const GREEN: Color = [0, 255, 0];
const BLUE: Color = [0, 0, 255];
const YELLOW: Color = [255, 255, 0];

/** Red and green above blue and yellow, each `side` pixels wide and high. */
function quarters(side: number): Sharp {
  const pixels = Uint8Array.from({ length: 4 * side * side * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % (2 * side);
    const y = Math.floor(i / 3 / (2 * side));
    return [RED, GREEN, BLUE, YELLOW][2 * Number(y >= side) + Number(x >= side)]![i % 3]!;
  });
  return sharp(pixels, { raw: { width: 2 * side, height: 2 * side, channels: 3 } });
}

/**
 * A JPEG of the quarters, upright `width`×`height`, stored as an EXIF orientation says: for each stored pixel (x, y) of
 * a stored size w×h the upright pixel that it is. Exif 2.32, tag 274: which sides of the scene row 0 and column 0 are.
 */
async function storedAs(orientation: keyof typeof UPRIGHT, width: number, height: number): Promise<Buffer> {
  const [w, h] = orientation < 5 ? [width, height] : [height, width];
  const pixels = new Uint8Array(w * h * 3);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [ux, uy] = UPRIGHT[orientation](x, y, width - 1, height - 1);
      pixels.set([RED, GREEN, BLUE, YELLOW][2 * Number(uy >= height / 2) + Number(ux >= width / 2)]!, (y * w + x) * 3);
    }
  }
  const stored = sharp(pixels, { raw: { width: w, height: h, channels: 3 } });
  return stored.withMetadata({ orientation }).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
}

/** Stored (x, y) → upright (x, y), given the last upright column and row. */
const UPRIGHT = {
  1: (x: number, y: number): [number, number] => [x, y],
  2: (x: number, y: number, right: number): [number, number] => [right - x, y],
  3: (x: number, y: number, right: number, bottom: number): [number, number] => [right - x, bottom - y],
  4: (x: number, y: number, _: number, bottom: number): [number, number] => [x, bottom - y],
  5: (x: number, y: number): [number, number] => [y, x],
  6: (x: number, y: number, right: number): [number, number] => [right - y, x],
  7: (x: number, y: number, right: number, bottom: number): [number, number] => [right - y, bottom - x],
  8: (x: number, y: number, _: number, bottom: number): [number, number] => [y, bottom - x],
};

function solid(width: number, height: number, background: string): Sharp {
  return sharp({ create: { width, height, channels: 3, background } });
}

async function inputOf(bytes: Uint8Array, fit: Fit, size = 32, resize = size): Promise<Photo> {
  const header = await readImageHeader(bytes, limits);
  const plan = planInput(header, { fit, size, resize, scale: 1 });
  const pixels = await decodeInput({
    photo: { bytes, header },
    input: plan,
    interpolation: 'bilinear',
    background: white,
  });
  const { width, height } = plan.crop;
  expect(pixels).toHaveLength(width * height * 3);
  return { pixels, width, height };
}

async function photoOf(bytes: Uint8Array, background = white): Promise<Photo> {
  return decodePhoto(bytes, await readImageHeader(bytes, limits), { background });
}

/** The colour at a fraction of the width and the height. */
function at({ pixels, width, height }: Photo, x: number, y: number): Color {
  const offset = (Math.floor(y * height) * width + Math.floor(x * width)) * 3;
  return [...pixels.subarray(offset, offset + 3)] as Color;
}

function expectColor(actual: Color, expected: Color, tolerance = 4): void {
  const worst = Math.max(...actual.map((channel, i) => Math.abs(channel - expected[i]!)));
  expect(worst, `${actual.join()} is not ${expected.join()}`).toBeLessThanOrEqual(tolerance);
}

function cornersOf(photo: Photo): Color[] {
  return [at(photo, 0.25, 0.25), at(photo, 0.75, 0.25), at(photo, 0.25, 0.75), at(photo, 0.75, 0.75)];
}

function meanDifference(a: Photo, b: Photo): number {
  expect(a.pixels).toHaveLength(b.pixels.length);
  return a.pixels.reduce((sum, value, i) => sum + Math.abs(value - b.pixels[i]!), 0) / a.pixels.length;
}

describe('decodeInput', () => {
  it.each(['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff'] as const)('decodes a %s to sRGB', async (format) => {
    const options = format === 'jpeg' ? { quality: 100, chromaSubsampling: '4:4:4' } : { lossless: true };
    const bytes = await quarters(32).toFormat(format, options).toBuffer();
    const input = await inputOf(bytes, 'whole', 48);
    cornersOf(input).forEach((color, i) => expectColor(color, [RED, GREEN, BLUE, YELLOW][i]!, 6));
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8] as const)('turns EXIF orientation %d upright', async (orientation) => {
    const bytes = await storedAs(orientation, 96, 64);
    for (const fit of ['whole', 'crop', 'native', 'stretch'] as const) {
      const input = await inputOf(bytes, fit, 48);
      cornersOf(input).forEach((color, i) => expectColor(color, [RED, GREEN, BLUE, YELLOW][i]!, 8));
    }
    expect(await photoOf(bytes)).toMatchObject({ width: 96, height: 64 });
  });

  it('cuts the planned rectangle out of the resized photo', async () => {
    // 100 columns of rising grey; the input's columns are those of the centre.
    const ramp = Uint8Array.from({ length: 100 * 50 }, (_, i) => (i % 100) * 2);
    const bytes = await sharp(ramp, { raw: { width: 100, height: 50, channels: 1 } })
      .png()
      .toBuffer();
    const input = await inputOf(bytes, 'crop', 20, 50);
    for (let x = 0; x < 20; x++) expectColor(at(input, (x + 0.5) / 20, 0.5), [80 + 2 * x, 80 + 2 * x, 80 + 2 * x], 1);
  });

  it('blends alpha over the background, at 8 and at 16 bits', async () => {
    const half = sharp({
      create: { width: 8, height: 8, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0.5 } },
    });
    const eight = await half.png().toBuffer();
    const sixteen = await sharp(eight).toColourspace('rgb16').png().toBuffer();
    for (const bytes of [eight, sixteen]) {
      expectColor(at(await photoOf(bytes), 0.5, 0.5), [255, 127, 127], 2);
      expectColor(at(await photoOf(bytes, { r: 0, g: 0, b: 255 }), 0.5, 0.5), [128, 0, 127], 2);
    }
  });

  it('keeps the colours of a 16-bit image with and without a profile', async () => {
    const plain = await solid(8, 8, '#f00').toColourspace('rgb16').png().toBuffer();
    const profiled = await solid(8, 8, '#f00').toColourspace('rgb16').withIccProfile('srgb').png().toBuffer();
    for (const bytes of [plain, profiled]) {
      expect(await readImageHeader(bytes, limits)).toMatchObject({ deep: true });
      expectColor(at(await photoOf(bytes), 0.5, 0.5), RED, 2);
    }
  });

  it('leaves the transform of a profile out that is sRGB in effect, and no other', async () => {
    const photoWith = (profile: string) =>
      solid(8, 8, '#c84').withIccProfile(profile).jpeg({ quality: 100 }).toBuffer();
    const [srgb, p3] = [await photoWith('srgb'), await photoWith('p3')];
    expect(await readImageHeader(srgb, limits)).toMatchObject({ colours: 'srgb' });
    const header = await readImageHeader(p3, limits);
    expect(header.colours).not.toBe('srgb');
    const decode = async (as: typeof header): Promise<Color> =>
      at(await decodePhoto(p3, as, { background: white }), 0.5, 0.5);
    // The mark alone makes the difference: the same bytes are taken as they are.
    expect(await decode({ ...header, colours: 'srgb' })).not.toEqual(await decode(header));
  });

  it('brings CMYK, grey, palette and 1-bit images to three channels', async () => {
    // Colours that inks can print; libvips' own CMYK profile on the way there and back.
    for (const [name, color] of [
      ['#f00', [232, 0, 0]],
      ['#080', [7, 144, 34]],
      ['#fff', [255, 255, 255]],
    ] as const) {
      const cmyk = await solid(16, 16, name).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
      expectColor(at(await photoOf(cmyk), 0.5, 0.5), [...color], 12);
    }

    const grey = await solid(8, 8, '#777').toColourspace('b-w').png().toBuffer();
    expectColor(at(await photoOf(grey), 0.5, 0.5), [0x77, 0x77, 0x77], 1);
    for (const colours of [2, 16]) {
      const palette = await solid(8, 8, '#0f0').png({ palette: true, colours }).toBuffer();
      expectColor(at(await photoOf(palette), 0.5, 0.5), GREEN, 1);
    }
  });

  it('keeps no pixels of images that have been decoded', async () => {
    const bytes = await quarters(512).jpeg().toBuffer();
    const decode = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) await inputOf(bytes, 'native');
      return process.memoryUsage.rss() / 2 ** 20;
    };
    const before = await decode(50);
    // 200 inputs of 0.75 MiB: a leak would be 150.
    expect((await decode(200)) - before).toBeLessThan(75);
  });

  it('differs little from a decode without shrink-on-load', async () => {
    const gradient = Uint8Array.from({ length: 1200 * 900 * 3 }, (_, i) => (((i / 3) % 1200) * 255) / 1200);
    const bytes = await sharp(gradient, { raw: { width: 1200, height: 900, channels: 3 } })
      .jpeg()
      .toBuffer();
    const png = await sharp(bytes).png().toBuffer();
    expect(meanDifference(await inputOf(bytes, 'whole', 64), await inputOf(png, 'whole', 64))).toBeLessThan(1);
  });

  it.each([
    [1, 1],
    [1, 20000],
    [20000, 1],
    [3, 5000],
  ])('crops a photo of %d×%d pixels from its centre, upright or not', async (width, height) => {
    // Black before the centre, white after it, along the long side.
    const tall = height > width;
    const pixels = Uint8Array.from({ length: width * height }, (_, i) =>
      (tall ? Math.floor(i / width) / height : (i % width) / width) < 0.5 ? 0 : 255,
    );
    const raw = sharp(pixels, { raw: { width, height, channels: 1 } });
    const bytes = await raw.png().toBuffer();
    const input = await inputOf(bytes, 'crop', 224, 256);
    expect([input.width, input.height]).toEqual([224, 224]);
    if (width === height) return;
    const before: Color = at(input, tall ? 0.5 : 0.1, tall ? 0.1 : 0.5);
    const after: Color = at(input, tall ? 0.5 : 0.9, tall ? 0.9 : 0.5);
    expect(before[0]).toBeLessThan(60);
    expect(after[0]).toBeGreaterThan(195);

    const upsideDown = await raw.clone().withMetadata({ orientation: 3 }).jpeg({ quality: 100 }).toBuffer();
    expect(at(await inputOf(upsideDown, 'crop', 224, 256), tall ? 0.5 : 0.1, tall ? 0.1 : 0.5)[0]).toBeGreaterThan(195);
    // Turned clockwise: what was on top is at the right.
    const turned = await raw.clone().withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
    expect(at(await inputOf(turned, 'crop', 224, 256), tall ? 0.9 : 0.5, tall ? 0.5 : 0.1)[0]).toBeLessThan(60);
  });

  it('rejects with IMAGE_UNDECODABLE what is cut off, and keeps the reason to the log', async () => {
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251);
    const image = () => sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
    for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const) {
      const bytes = await image().toFormat(format).toBuffer();
      const failure: unknown = await photoOf(bytes.subarray(0, Math.floor(bytes.length * 0.7))).catch(
        (e: unknown) => e,
      );
      expect(failure, format).toMatchObject({ code: 'IMAGE_UNDECODABLE' });
      expect((failure as Error).message).not.toMatch(/vips|read error/i);
      expect((failure as Error).cause).toBeInstanceOf(Error);
    }
  });

  it('takes a JPEG with stray bytes between its segments', async () => {
    const bytes = await quarters(32).jpeg().toBuffer();
    const stray = Buffer.concat([bytes.subarray(0, -2), Buffer.alloc(20, 7), bytes.subarray(-2)]);
    expect(await photoOf(stray)).toMatchObject({ width: 64, height: 64 });
  });
});

describe('decodePhoto', () => {
  it('rejects with IMAGE_UNDECODABLE where libvips reads another size or depth than the header said', async () => {
    const bytes = await solid(90, 60, '#123456').png().toBuffer();
    const header = await readImageHeader(bytes, limits);
    const wrong = { ...header, width: 100, height: 60 };
    const failure: unknown = await decodePhoto(bytes, wrong, { background: white }).catch((e: unknown) => e);
    expect(failure).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message:
        "The file's header says 100×60 pixels of 8 bits a sample, its decoder finds 90×60 pixels of 8 bits a sample.",
    });
    const deep = { ...header, deep: true };
    const plan = planInput(header, { fit: 'whole', size: 30, resize: 30, scale: 1 });
    const request = {
      photo: { bytes, header: deep },
      input: plan,
      interpolation: 'bilinear',
      background: white,
    } as const;
    await expect(decodeInput(request)).rejects.toMatchObject({ code: 'IMAGE_UNDECODABLE' });
  });

  it('takes the size and the orientation of a JPEG that stands upright from the header, up to its pixels', async () => {
    const bytes = await storedAs(6, 96, 64);
    const turned = await readImageHeader(bytes, limits);
    expect(turned).toMatchObject({ width: 96, height: 64, orientation: 6 });
    // As if EXIF said nothing: the pixels as they are stored.
    const upright = { ...turned, width: 64, height: 96, orientation: 1 };
    const photo = await decodePhoto(bytes, upright, { background: white });
    expect(photo).toMatchObject({ width: 64, height: 96 });
    // Orientation 6: the upright left edge is the stored bottom row.
    [GREEN, YELLOW, RED, BLUE].forEach((color, i) => expectColor(cornersOf(photo)[i]!, color, 8));
    // No second look at a wrong header; more pixels than it says are refused all the same.
    const plan = planInput(upright, { fit: 'whole', size: 32, resize: 32, scale: 1 });
    const request = { input: plan, interpolation: 'bilinear', background: white } as const;
    const decode = (height: number): Promise<Uint8Array> =>
      decodeInput({ ...request, photo: { bytes, header: { ...upright, height } } });
    expect(await decode(97)).toHaveLength(32 * 48 * 3);
    await expect(decode(95)).rejects.toMatchObject({ code: 'IMAGE_UNDECODABLE' });
    // One that is turned is looked at.
    const wrong = { ...turned, width: 97 };
    await expect(decodePhoto(bytes, wrong, { background: white })).rejects.toMatchObject({ code: 'IMAGE_UNDECODABLE' });
  });

  it('lets no loader of libvips but the six be reached', async () => {
    await expect(sharp(Buffer.from('<svg width="1" height="1"/>')).metadata()).rejects.toThrow(
      /unsupported image format/,
    );
  });

  it('has the photo’s size, or the one asked for, smaller or larger', async () => {
    const bytes = await solid(90, 60, '#123456').png().toBuffer();
    const header = await readImageHeader(bytes, limits);
    const sizes = [undefined, { width: 30, height: 20 }, { width: 120, height: 80 }];
    const photos = await Promise.all(
      sizes.map((size) => decodePhoto(bytes, header, { background: white, ...(size && { size }) })),
    );
    expect(photos.map(({ width, height, pixels }) => [width, height, pixels.length])).toEqual([
      [90, 60, 16200],
      [30, 20, 1800],
      [120, 80, 28800],
    ]);
  });
});

describe.skipIf(!hasShared)('the hard images', () => {
  const read = (file: string): Buffer => readFileSync(shared('hard-images', file));

  it.each<[file: string, size: [number, number], pixels: [x: number, y: number, Color][]]>([
    ['1.webp', [550, 368], [[0, 0, [118, 181, 241]]]],
    ['Channel_digital_image_CMYK_color_no_profile.jpg', [500, 333], [[0.001, 0.001, [186, 201, 230]]]],
    ['Crash_test.gif', [800, 533], [[0.001, 0.001, [107, 123, 83]]]],
    [
      'Flag_of_the_Netherlands-16bit.png',
      [900, 600],
      [
        [0.5, 0.1, [174, 28, 40]],
        [0.5, 0.5, [255, 255, 255]],
        [0.5, 0.9, [33, 70, 139]],
      ],
    ],
    ['Landscape_3.jpg', [1800, 1200], [[0.001, 0.001, [109, 158, 217]]]],
    ['Landscape_6.jpg', [1800, 1200], [[0.001, 0.001, [109, 158, 217]]]],
    ['Portrait_8.jpg', [1200, 1800], [[0.001, 0.001, [200, 204, 213]]]],
    ['basn0g16.png', [32, 32], [[0, 0, [0, 0, 0]]]],
    [
      'basn3p01.png',
      [32, 32],
      [
        [0, 0, [238, 255, 34]],
        [0.15, 0, [34, 102, 255]],
      ],
    ],
    ['basn6a16.png', [32, 32], [[0, 0, [255, 255, 255]]]],
    ['dispose-background.gif', [192, 168], [[0.01, 0.99, [255, 255, 255]]]],
    ['image-in-alpha.png', [928, 169], [[0, 0, [255, 255, 255]]]],
    ['progressive-cat.jpg', [320, 240], [[0.001, 0.001, [142, 152, 115]]]],
    ['rotating-squares.webp', [80, 80], [[0, 0, [255, 255, 255]]]],
    ['s01n3p01.png', [1, 1], [[0, 0, [0, 0, 255]]]],
    ['tbyn3p08.png', [32, 32], [[0, 0, [255, 255, 255]]]],
  ])('%s gets its pixels', async (file, [width, height], pixels) => {
    const photo = await photoOf(read(file));
    expect([photo.width, photo.height]).toEqual([width, height]);
    for (const [x, y, color] of pixels) expectColor(at(photo, x, y), color, 8);
  });

  it('one view turned two ways is one picture', async () => {
    const views = await Promise.all(
      ['Landscape_3.jpg', 'Landscape_6.jpg'].map((file) => inputOf(read(file), 'crop', 224)),
    );
    // They differ in the number that is written on them.
    expect(meanDifference(views[0]!, views[1]!)).toBeLessThan(2);
  });

  it.each(['truncated.jpg', 'truncated.png'])('%s is refused with IMAGE_UNDECODABLE', async (file) => {
    await expect(photoOf(read(file))).rejects.toMatchObject({ code: 'IMAGE_UNDECODABLE' });
  });

  it('an AVIF that claims to be small and is not takes no memory', async () => {
    const bytes = Buffer.from(read('bomb-17000x17000.avif'));
    const size = bytes.indexOf('ispe') + 8;
    bytes.writeUInt32BE(64, size);
    bytes.writeUInt32BE(64, size + 4);
    const before = process.memoryUsage().rss;
    await expect(photoOf(bytes)).rejects.toMatchObject({ code: 'IMAGE_UNDECODABLE' });
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });
});
