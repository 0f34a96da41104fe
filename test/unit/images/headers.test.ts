/** The header parsers beside libvips: size, depth and orientation have to be those that the decoder will find. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import { hasFullRange } from '../../../src/images/headers/av1-sequence.js';
import { Fields } from '../../../src/images/headers/fields.js';
import { readImageHeader, type ImageHeader } from '../../../src/images/image-header.js';
import {
  avif,
  box,
  chunk,
  codedImage,
  exif,
  gif,
  ispe,
  jpegOfScans,
  number,
  segment,
  tiff,
  type AvifItem,
  type TiffEntry,
} from '../../support/made-images.js';
import { hasShared, shared } from '../../support/shared.js';

const limits = { maxPixels: Infinity };
const FIXTURES = fileURLToPath(new URL('../../fixtures/photos', import.meta.url));

/** What libvips says of a file; undefined where it refuses it. */
async function seenByLibvips(bytes: Uint8Array): Promise<object | undefined> {
  const image = sharp(bytes, { failOn: 'truncated', autoOrient: true, limitInputPixels: false });
  const metadata = await image.metadata().catch(() => undefined);
  return metadata && { ...metadata.autoOrient, deep: metadata.depth !== 'uchar' };
}

/** What the parsers say of it. Anything but a ServiceError is a fault of theirs. */
async function read(bytes: Uint8Array): Promise<ImageHeader | ServiceError> {
  try {
    return await readImageHeader(bytes, limits);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return error;
  }
}

/** How often the parsers look into a file. */
async function looksAt(bytes: Uint8Array): Promise<number> {
  const spies = (['u8', 'u16', 'u32', 'u64', 'has', 'name'] as const).map((name) => vi.spyOn(Fields.prototype, name));
  try {
    await read(bytes);
    return spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}

async function expectAgreement(bytes: Uint8Array, name: string): Promise<ImageHeader> {
  const seen = await seenByLibvips(bytes);
  expect(seen, `libvips takes ${name}`).toBeDefined();
  const header = await read(bytes);
  expect(header, name).toMatchObject(seen!);
  return header as ImageHeader;
}

const photo = (width = 48, height = 32): Sharp =>
  sharp(join(FIXTURES, 'chelsea.png')).resize(width, height, { fit: 'fill' });

describe('what encoders write', () => {
  const kinds: Record<string, () => Sharp> = {
    'JPEG 4:2:0': () => photo(47, 33).jpeg(),
    'progressive JPEG': () => photo().jpeg({ progressive: true }),
    'grey JPEG': () => photo().toColourspace('b-w').jpeg(),
    'CMYK JPEG': () => photo().toColourspace('cmyk').jpeg(),
    'JPEG with a profile': () => photo().withIccProfile('p3').jpeg(),
    PNG: () => photo().png(),
    'palette PNG': () => photo().png({ palette: true }),
    'PNG of 16 bits': () => photo().toColourspace('rgb16').png(),
    'grey PNG of 16 bits': () => photo().toColourspace('grey16').png(),
    'interlaced PNG': () => photo().png({ progressive: true }),
    'PNG with alpha': () => photo().ensureAlpha(0.5).png(),
    'lossy WebP': () => photo().webp(),
    'lossless WebP': () => photo().webp({ lossless: true }),
    'WebP with alpha': () => photo().ensureAlpha(0.5).webp(),
    'WebP with a profile': () => photo().withIccProfile('p3').webp(),
    GIF: () => photo().gif(),
    AVIF: () => photo().avif(),
    'AVIF 4:4:4 with alpha': () => photo().ensureAlpha(0.5).avif({ chromaSubsampling: '4:4:4' }),
    TIFF: () => photo().tiff(),
    'tiled BigTIFF': () => photo(80, 40).tiff({ tile: true, tileWidth: 32, tileHeight: 16, bigtiff: true }),
    'TIFF of 16 bits': () => photo().toColourspace('rgb16').tiff(),
    'TIFF of 1 bit': () => photo().toColourspace('b-w').tiff({ bitdepth: 1 }),
    'CMYK TIFF': () => photo().toColourspace('cmyk').tiff(),
  };
  it.each(Object.keys(kinds))('%s', async (kind) => {
    await expectAgreement(await kinds[kind]!().toBuffer(), kind);
  });

  it.each(['jpeg', 'png', 'webp', 'tiff', 'avif'] as const)('%s in every EXIF orientation', async (format) => {
    for (const orientation of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const bytes = await photo().withMetadata({ orientation }).toFormat(format).toBuffer();
      await expectAgreement(bytes, `${format}, orientation ${orientation}`);
    }
  });

  it.each(['gif', 'webp'] as const)('an animated %s', async (format) => {
    const frames = await Promise.all(
      [0, 1, 2].map((i) =>
        photo()
          .modulate({ hue: 40 * i })
          .png()
          .toBuffer(),
      ),
    );
    const bytes = await sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer();
    expect(await expectAgreement(bytes, format)).toMatchObject({ frames: 3 });
  });

  it('photographs', async () => {
    const folders = hasShared
      ? [FIXTURES, ...['photos', 'hard-images', 'faults/images', 'samples', 'coco'].map((folder) => shared(folder))]
      : [FIXTURES];
    let agreed = 0;
    for (const folder of folders) {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(jpe?g|png|webp|gif|avif|tiff?)$/i.test(name)) continue;
        const bytes = readFileSync(join(folder, name));
        if ((await seenByLibvips(bytes)) === undefined) continue;
        await expectAgreement(bytes, name);
        agreed += 1;
      }
    }
    expect(agreed).toBeGreaterThanOrEqual(hasShared ? 80 : 3);
  });
});

describe('JPEG', () => {
  // decode.ts does not look twice at these.
  it('damaged in front of its picture: what both read is the same', async () => {
    const made = await Promise.all(
      [photo().jpeg(), photo().jpeg({ progressive: true }), photo().withIccProfile('p3').jpeg()].map((image) =>
        image.toBuffer(),
      ),
    );
    let state = 1;
    const below = (limit: number): number => {
      // xorshift32, Marsaglia 2003.
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % limit;
    };
    const MARKERS = [0xc0, 0xc2, 0xc4, 0xd8, 0xd9, 0xda, 0xe1, 0xfe, 0x00, 0x01, 0xff];
    let agreed = 0;
    for (let i = 0; i < 2000; i++) {
      let bytes = Buffer.from(made[i % made.length]!);
      const picture = bytes.indexOf(Buffer.from([0xff, 0xda]));
      const frame = bytes.findIndex((byte, at) => byte === 0xff && [0xc0, 0xc2].includes(bytes[at + 1]!));
      const at = below(picture + 12);
      const part = bytes.subarray(2 + below(at + 1), 2 + at);
      if (i % 4 === 0) bytes[frame + 4 + below(9)] = below(256);
      else if (i % 4 === 1) bytes[at] = below(256);
      else if (i % 4 === 2) bytes = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
      else bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff, MARKERS[below(11)]!]), bytes.subarray(at)]);
      const header = await read(bytes);
      const seen = await seenByLibvips(bytes);
      if (header instanceof ServiceError || seen === undefined) continue;
      expect(header, `damage ${i}`).toMatchObject(seen);
      agreed += 1;
    }
    expect(agreed).toBeGreaterThan(300);
  });

  const short = (value: number, order: 'big' | 'little') => [{ type: 3, count: 1, value: number(value, 2, order) }];
  const app1 = (body: Buffer) => segment(0xe1, body);
  const little = exif('little', short(6, 'little'));
  it.each<[name: string, before: Buffer, orientation: number]>([
    ['little-endian EXIF', app1(little), 6],
    ['big-endian EXIF', app1(exif('big', short(8, 'big'))), 8],
    [
      'a second block of EXIF, which does not count',
      Buffer.concat([app1(little), app1(exif('big', short(3, 'big')))]),
      6,
    ],
    ['XMP before EXIF', Buffer.concat([app1(Buffer.from('http://ns.adobe.com/xap/1.0/\0<x/>')), app1(little)]), 6],
    ['a number of 32 bits', app1(exif('big', [{ type: 4, count: 1, value: number(6, 4) }])), 6],
    ['a number of 8 bits', app1(exif('big', [{ type: 1, count: 1, value: number(5, 1) }])), 5],
    ['an orientation out of range', app1(exif('little', short(9, 'little'))), 1],
    ['an orientation without a value', app1(exif('big', [{ type: 3, count: 0, value: number(6, 2) }])), 1],
    ['a text as orientation', app1(exif('big', [{ type: 2, count: 2, value: Buffer.from('6\0') }])), 1],
    ['two orientations', app1(exif('big', [...short(6, 'big'), ...short(3, 'big')])), 6],
    [
      'an entry that is broken before a good one',
      app1(exif('big', [{ type: 3, count: 0, value: Buffer.alloc(2) }, ...short(7, 'big')])),
      7,
    ],
    ['EXIF that ends early', app1(little.subarray(0, 20)), 1],
    [
      'stray bytes before EXIF',
      Buffer.concat([segment(0xfe, Buffer.from('x')), Buffer.from('stray'), app1(little)]),
      6,
    ],
    ['padding before EXIF', Buffer.concat([Buffer.from([0xff, 0xff, 0xff]), app1(little)]), 6],
  ])('%s', async (name, before, orientation) => {
    const bytes = await photo().jpeg().toBuffer();
    const made = Buffer.concat([bytes.subarray(0, 2), before, bytes.subarray(2)]);
    expect(await expectAgreement(made, name)).toMatchObject({ orientation });
  });

  it('counts scans, and not those of another picture behind the end', async () => {
    expect(await expectAgreement(jpegOfScans(40, 24, 7), '7 scans')).toMatchObject({ scans: 7, progressive: true });
    expect(await read(Buffer.concat([jpegOfScans(40, 24, 7), jpegOfScans(40, 24, 9)]))).toMatchObject({ scans: 7 });
    expect(await read(await photo().jpeg().toBuffer())).toMatchObject({ scans: 1, progressive: false });
    const progressive = await read(await photo().jpeg({ progressive: true }).toBuffer());
    expect((progressive as ImageHeader).scans).toBeGreaterThan(4);
    expect((progressive as ImageHeader).scans).toBeLessThan(20);
  });

  it('gives up on data that no encoder writes', async () => {
    const scan = jpegOfScans(40, 24, 1).subarray(0, -2);
    const dense = Buffer.concat([scan, Buffer.alloc(400_000, Buffer.from([0xff, 0]))]);
    expect(await read(dense)).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining('any encoder') as string,
    });
    const scans = Buffer.concat([scan, Buffer.alloc(400_000, Buffer.from([0xff, 0xda, 0, 2]))]);
    expect(await read(scans)).toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  });

  it('says which kinds are not decoded', async () => {
    const bytes = await photo().jpeg().toBuffer();
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    const deep = Buffer.from(bytes);
    deep[frame + 4] = 12;
    expect(await read(deep)).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining('12 bits') as string,
    });
    const hierarchical = Buffer.from(bytes);
    hierarchical[frame + 1] = 0xc5;
    expect(await read(hierarchical)).toMatchObject({ message: expect.stringContaining('hierarchical') as string });
  });
});

describe('PNG', () => {
  const insert = async (...chunks: Buffer[]): Promise<Buffer> => {
    const bytes = await photo().png().toBuffer();
    return Buffer.concat([bytes.subarray(0, 33), ...chunks, bytes.subarray(33)]);
  };
  const turned = exif('big', [{ type: 3, count: 1, value: number(6, 2) }]);

  it('takes the orientation of eXIf, without the prefix only', async () => {
    expect(await expectAgreement(await insert(chunk('eXIf', turned.subarray(6))), 'eXIf')).toMatchObject({
      orientation: 6,
    });
    expect(await expectAgreement(await insert(chunk('eXIf', turned)), 'prefixed')).toMatchObject({ orientation: 1 });
  });

  it('says what compressed texts may grow to', async () => {
    const text = chunk('zTXt', Buffer.alloc(60_000));
    const header = await read(await insert(text, text));
    expect((header as ImageHeader).metadataBytes).toBe(2 * 50 * 1024 * 1024);
  });

  it('refuses chunks without end', async () => {
    const many = await insert(...Array.from({ length: 5000 }, () => chunk('tEXt', Buffer.alloc(0))));
    expect(await read(many)).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining('PNG') as string,
    });
  });
});

describe('GIF', () => {
  const frame = { left: 0, top: 0, width: 20, height: 10 };
  it.each<[name: string, bytes: Buffer]>([
    ['a frame that fills the screen', gif([20, 10], [frame])],
    ['a first frame smaller than the screen', gif([20, 10], [{ ...frame, width: 10, height: 5 }])],
    ['a first frame beyond the screen', gif([20, 10], [{ left: 5, top: 5, width: 30, height: 30 }])],
    ['a second frame beyond the screen', gif([20, 10], [frame, { left: 5, top: 5, width: 30, height: 30 }])],
    ['a screen of a monitor', gif([640, 480], [frame])],
    ['a screen of a monitor, the frame away from its corner', gif([1024, 768], [{ ...frame, left: 10, top: 20 }])],
    ['a screen that is too large', gif([3000, 10], [frame])],
    ['a screen of no size', gif([0, 0], [{ ...frame, left: 3 }])],
  ])('%s', async (name, bytes) => {
    await expectAgreement(bytes, name);
  });

  it('whose first frame is empty is refused', async () => {
    expect(await read(gif([20, 10], [{ ...frame, width: 0 }, frame]))).toMatchObject({
      message: expect.stringContaining('empty first frame') as string,
    });
  });
});

describe('TIFF', () => {
  const [width, height] = [40, 30];
  /** One strip of noise. */
  const strip = (bits: number, samples: number, photometric: number, more: readonly TiffEntry[] = []): TiffEntry[] => {
    const entries: TiffEntry[] = [
      [256, 2, [width]],
      [257, 2, [height]],
      [258, 2, Array.from({ length: samples }, () => bits)],
      [259, 2, [1]],
      [262, 2, [photometric]],
      [273, 4, [8]],
      [277, 2, [samples]],
      [278, 2, [height]],
      [279, 4, [Math.ceil((width * bits * samples) / 8) * height]],
    ];
    return [...entries.filter(([tag]) => !more.some(([other]) => tag === other)), ...more].sort(([a], [b]) => a - b);
  };
  const data = Buffer.alloc(width * height * 8 * 4, 'noise');

  it('of both byte orders, classic and Big, turned', async () => {
    for (const order of ['big', 'little'] as const) {
      for (const isBig of [false, true]) {
        for (const orientation of [1, 5, 6, 7, 8, 9]) {
          const bytes = tiff(
            strip(8, 3, 2, [
              [274, 2, [orientation]],
              [273, 4, [isBig ? 16 : 8]],
            ]),
            { order, isBig, data },
          );
          await expectAgreement(bytes, `${order} ${isBig} ${orientation}`);
        }
      }
    }
  });

  it('of every depth, sample format and colour that is read', async () => {
    let agreed = 0;
    for (const bits of [1, 2, 4, 8, 12, 16, 24, 32]) {
      for (const format of [1, 2, 3, 4]) {
        for (const [samples, photometric] of [
          [1, 0],
          [1, 1],
          [3, 2],
          [1, 3],
          [4, 5],
          [3, 6],
          [3, 8],
          [4, 8],
          [2, 1],
          [5, 2],
        ] as const) {
          const palette: TiffEntry[] =
            photometric === 3 && bits <= 8 ? [[320, 2, Array.from({ length: 3 * 2 ** bits }, (_, i) => i * 7)]] : [];
          const more: TiffEntry[] = [
            [339, 2, Array.from({ length: samples }, () => format)],
            [530, 2, [1, 1]],
            ...palette,
          ];
          const bytes = tiff(strip(bits, samples, photometric, more), { data });
          const header = await read(bytes);
          if (header instanceof ServiceError) {
            expect(header.message).toMatch(/^This kind of TIFF is not read: .+\.$|palette of the wrong length/);
            continue;
          }
          await expectAgreement(
            bytes,
            `${bits} bits, format ${format}, ${samples} samples, photometric ${photometric}`,
          );
          agreed += 1;
        }
      }
    }
    expect(agreed).toBe(40);
  });

  it('counts tiles, and what the decoder holds of them', async () => {
    const bytes = await photo(80, 40).tiff({ tile: true, tileWidth: 32, tileHeight: 16 }).toBuffer();
    expect(await read(bytes)).toMatchObject({ tiles: 9, codedSamples: 96 * 48 * 3 });
  });

  it('finds the scans of JPEG tiles', async () => {
    const tile = jpegOfScans(16, 16, 50);
    expect(await read(jpegTiles(tile, 6))).toMatchObject({ scans: 50, tiles: 6 });
  });

  /** A grey TIFF of tiles of 16×16 in a row, all `data` but for so many bytes at its begin. */
  const jpegTiles = (data: Buffer, count: number, skipped: (index: number) => number = () => 0): Buffer =>
    tiff(
      [
        ...strip(8, 1, 1, [
          [256, 2, [16 * count]],
          [257, 2, [16]],
          [259, 2, [7]],
        ]).filter(([tag]) => ![273, 278, 279].includes(tag)),
        ...([
          [322, 2, [16]],
          [323, 2, [16]],
          [324, 4, Array.from({ length: count }, (_, i) => 8 + skipped(i))],
          [325, 4, Array.from({ length: count }, (_, i) => data.length - skipped(i))],
        ] satisfies TiffEntry[]),
      ],
      { data },
    );
  /** A tile with so many bytes before its first marker. */
  const delayed = (bytes: number): Buffer => {
    const tile = jpegOfScans(16, 16, 2);
    return Buffer.concat([tile.subarray(0, 2), Buffer.alloc(bytes), tile.subarray(2)]);
  };

  it('reads JPEG tiles that are the same bytes once', async () => {
    const tile = delayed(1000);
    const spy = vi.spyOn(Buffer.prototype, 'indexOf');
    const searchesOf = async (tiles: number): Promise<number> => {
      spy.mockClear();
      expect(await read(jpegTiles(tile, tiles))).toMatchObject({ scans: 2, tiles });
      return spy.mock.calls.length;
    };
    try {
      const once = await searchesOf(1);
      expect(once).toBeGreaterThan(5);
      expect(await searchesOf(400)).toBe(once);
    } finally {
      spy.mockRestore();
    }
  });

  it('refuses JPEG tiles that lie over each other', async () => {
    const tile = delayed(100_000);
    expect(await read(jpegTiles(tile, 2, (index) => index))).toMatchObject({ tiles: 2 });
    expect(await read(jpegTiles(tile, 4, (index) => index))).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: 'The header of the TIFF file is broken: it has JPEG pieces that lie over each other.',
    });
  });

  it('leaves the EXIF of JPEG tiles unread', async () => {
    const orientations = (count: number) =>
      segment(
        0xe1,
        exif(
          'big',
          Array.from({ length: count }, () => ({ type: 3, count: 0, value: Buffer.alloc(2) })),
        ),
      );
    const tile = jpegOfScans(16, 16, 1);
    const withExif = (count: number) =>
      jpegTiles(Buffer.concat([tile.subarray(0, 2), orientations(count), tile.subarray(2)]), 1);
    expect(await looksAt(withExif(5000))).toBe(await looksAt(withExif(1)));
  });

  it.each<[kind: string, bits: number, samples: number, photometric: number, more: TiffEntry[]]>([
    ['LZMA compression', 8, 3, 2, [[259, 2, [34925]]]],
    ['Zstandard compression', 8, 3, 2, [[259, 2, [50000]]]],
    ['WebP compression', 8, 3, 2, [[259, 2, [50001]]]],
    ['JPEG 2000 compression', 8, 3, 2, [[259, 2, [34712]]]],
    ['JPEG of the old style compression', 8, 3, 6, [[259, 2, [6]]]],
    ['unknown (12345) compression', 8, 3, 2, [[259, 2, [12345]]]],
    ['samples that mean CIE Lab', 8, 3, 8, []],
    ['samples that mean ICC Lab', 8, 3, 9, []],
    ['samples that mean ITU Lab', 8, 3, 10, []],
    ['samples that mean LogL', 16, 1, 32844, []],
    ['samples that mean the mosaic of a camera sensor', 16, 1, 32803, []],
    ['samples that mean a transparency mask', 1, 1, 4, []],
    ['samples that mean something unknown (77)', 8, 1, 77, []],
    ['RGB of 32 bits a sample', 32, 3, 2, []],
    ['grey of 12 bits a sample', 12, 1, 1, []],
    ['grey of 64 bits a sample', 64, 1, 1, []],
    ['RGB of 4 bits a sample', 4, 3, 2, []],
    ['samples of unlike sizes', 8, 3, 2, [[258, 2, [5, 6, 5]]]],
    ['signed samples', 16, 3, 2, [[339, 2, [2, 2, 2]]]],
    ['samples in floating point', 32, 3, 2, [[339, 2, [3]]]],
    ['complex samples', 64, 1, 1, [[339, 2, [6]]]],
    ['grey with samples that are not alpha (2 samples a pixel)', 8, 2, 1, []],
    ['RGB with samples that are not alpha (5 samples a pixel)', 8, 5, 2, [[338, 2, [2, 0]]]],
    ['RGB with samples that are not alpha (9 samples a pixel)', 8, 9, 2, []],
    ['CMYK with alpha', 8, 5, 5, [[338, 2, [2]]]],
    ['grey with white as zero with alpha', 8, 2, 0, [[338, 2, [2]]]],
    ['RGB of 2 samples a pixel', 8, 2, 2, []],
    ['inks other than cyan, magenta, yellow and black', 8, 4, 5, [[332, 2, [2]]]],
    ['YCbCr that is not subsampled, without JPEG compression', 8, 3, 6, [[530, 2, [1, 1]]]],
    ['fax compression of more than one bit a pixel', 8, 1, 1, [[259, 2, [4]]]],
    [
      'predictor 3 of 8 bits a sample',
      8,
      3,
      2,
      [
        [259, 2, [5]],
        [317, 2, [3]],
      ],
    ],
    ['samples of 16 bits in fill order 2', 16, 3, 2, [[266, 2, [2]]]],
    [
      'separate planes of grey',
      8,
      2,
      1,
      [
        [284, 2, [2]],
        [338, 2, [2]],
      ],
    ],
    [
      'separate planes in tiles',
      8,
      3,
      2,
      [
        [284, 2, [2]],
        [322, 2, [16]],
        [323, 2, [16]],
      ],
    ],
    [
      'tiles of 17×16 pixels',
      8,
      3,
      2,
      [
        [322, 2, [17]],
        [323, 2, [16]],
      ],
    ],
    [
      'strips without data',
      8,
      3,
      2,
      [
        [273, 4, [8, 8]],
        [278, 2, [15]],
        [279, 4, [1800, 0]],
      ],
    ],
  ])('refuses %s', async (kind, bits, samples, photometric, more) => {
    expect(await read(tiff(strip(bits, samples, photometric, more), { data }))).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: `This kind of TIFF is not read: ${kind}.`,
    });
  });

  it.each<[fault: string, more: TiffEntry[]]>([
    ['ends before its strip 1 of 1 does: it was cut off', [[279, 4, [1_000_000]]]],
    ['ends before its strip 1 of 1 does: it was cut off', [[273, 4, [0xfffffff0]]]],
    [
      'ends before its strip 2 of 2 does: it was cut off',
      [
        [273, 4, [8, 39_000]],
        [278, 2, [15]],
        [279, 4, [1800, 1800]],
      ],
    ],
    ['says where 1 of its 3 strips are', [[278, 2, [10]]]],
    [
      'says how long 1 of its 2 strips are',
      [
        [273, 4, [8, 8]],
        [278, 2, [15]],
      ],
    ],
    ['describes 2 of its 3 samples', [[258, 2, [8, 8]]]],
  ])('says that the file %s', async (fault, more) => {
    expect(await read(tiff(strip(8, 3, 2, more), { data }))).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: `The header of the TIFF file is broken: it ${fault}.`,
    });
  });

  it('refuses numbers that libtiff takes for others', async () => {
    const bytes = tiff(strip(16, 3, 2, [[339, 2, [2, 2, 2]]]), { data });
    const entry = bytes.indexOf(Buffer.from([0x53, 0x01, 3, 0]));
    // SSHORT
    bytes[entry + 2] = 8;
    expect(await read(bytes)).toMatchObject({ message: expect.stringContaining('tag 339') as string });
    const predictors = tiff(strip(8, 3, 2, [[317, 2, [2, 2]]]), { data });
    expect(await read(predictors)).toMatchObject({ message: expect.stringContaining('tag 317') as string });
  });

  it('takes a single strip whose length old programs left out or got wrong', async () => {
    const entries = strip(8, 3, 2).filter(([tag]) => tag !== 279);
    await expectAgreement(tiff(entries, { data }), 'no length');
    await expectAgreement(tiff(strip(8, 3, 2, [[279, 4, [7]]]), { data }), 'a wrong length');
    expect(await read(tiff(entries, { data: data.subarray(0, 1000) }))).toMatchObject({
      message: expect.stringContaining('cut off') as string,
    });
  });

  it('refuses a JPEG tile that is smaller than a tile, or has other colours', async () => {
    const jpegTiles = (tile: Buffer): Buffer =>
      tiff(
        [
          ...strip(8, 1, 1, [[259, 2, [7]]]).filter(([tag]) => ![273, 278, 279].includes(tag)),
          ...([
            [322, 2, [48]],
            [323, 2, [32]],
            [324, 4, [8]],
            [325, 4, [tile.length]],
          ] satisfies TiffEntry[]),
        ],
        { data: tile },
      );
    const grey = (width: number) => photo(width, 32).toColourspace('b-w').jpeg().toBuffer();
    await expectAgreement(jpegTiles(await grey(48)), 'whole');
    expect(await read(jpegTiles(await grey(32)))).toMatchObject({
      message: expect.stringContaining('JPEG piece of 32×32 pixels') as string,
    });
    expect(await read(jpegTiles(await photo(48, 32).jpeg().toBuffer()))).toMatchObject({
      message: expect.stringContaining('3 colours') as string,
    });
  });

  it('refuses a JPEG strip without an end, or of too few lines', async () => {
    const jpeg = await photo(width, height).toColourspace('b-w').jpeg().toBuffer();
    const entries = (length: number): TiffEntry[] =>
      strip(8, 1, 1, [
        [259, 2, [7]],
        [279, 4, [length]],
      ]);
    const padded = Buffer.concat([jpeg, Buffer.alloc(3)]);
    await expectAgreement(tiff(entries(padded.length), { data: padded }), 'padded');
    expect(await read(tiff(entries(jpeg.length - 40), { data: jpeg }))).toMatchObject({
      message: expect.stringContaining('without an end: it was cut off') as string,
    });
    const low = await photo(width, height - 8)
      .toColourspace('b-w')
      .jpeg()
      .toBuffer();
    expect(await read(tiff(entries(low.length), { data: low }))).toMatchObject({
      message: expect.stringContaining(`JPEG piece of ${width}×${height - 8} pixels`) as string,
    });
  });

  it('refuses tags that libtiff takes seconds for', async () => {
    const unknown = Array.from({ length: 4000 }, (_, i): TiffEntry => [1000 + i, 2, [1]]);
    const failure = await read(tiff([...strip(8, 1, 1), ...unknown], { data }));
    expect(failure).toMatchObject({ code: 'IMAGE_UNDECODABLE', message: expect.stringContaining('512') as string });
  });
});

describe('AVIF', () => {
  const coded = async (width: number, height: number) =>
    codedImage(await photo(width, height).avif({ chromaSubsampling: '4:2:0' }).toBuffer());
  /** 2 columns in 1 row. ISO/IEC 23008-12 §6.6.2.3. */
  const gridOf = (width: number, height: number): Buffer =>
    Buffer.concat([Buffer.from([0, 0, 0, 1]), number(width, 2), number(height, 2)]);

  it('a grid, whose tiles are larger than it', async () => {
    const { av1C, data } = await coded(64, 64);
    const tile = { type: 'av01', data, properties: [ispe(64, 64), av1C] };
    const grid = {
      type: 'grid',
      data: gridOf(100, 60),
      properties: [ispe(100, 60)],
      references: [{ type: 'dimg', to: [1, 2] }],
    };
    const header = await expectAgreement(avif([grid, tile, tile]), 'grid');
    expect(header).toMatchObject({ width: 100, height: 60, tiles: 2, codedSamples: 2 * 64 * 64 * 1.5 });
  });

  it.each<[name: string, properties: Buffer[]]>([
    ['a quarter turn', [box('irot', Buffer.from([1]))]],
    ['half a turn', [box('irot', Buffer.from([2]))]],
    ['a mirror', [box('imir', Buffer.from([1]))]],
    ['a cut', [box('clap', ...[40, 1, 21, 2, 0, 1, 0, 1].map((value) => number(value, 4)))]],
    [
      'a cut and a turn',
      [box('clap', ...[40, 1, 20, 1, 0, 1, 0, 1].map((value) => number(value, 4))), box('irot', Buffer.from([3]))],
    ],
  ])('%s', async (name, properties) => {
    const { av1C, data } = await coded(64, 48);
    await expectAgreement(avif([{ type: 'av01', data, properties: [ispe(64, 48), av1C, ...properties] }]), name);
  });

  it('10 and 12 bits', async () => {
    const { av1C, data } = await coded(64, 48);
    for (const flags of [0x4c, 0x6c]) {
      const config = Buffer.from(av1C);
      config[10] = flags;
      const header = await expectAgreement(avif([{ type: 'av01', data, properties: [ispe(64, 48), config] }]), 'deep');
      expect(header).toMatchObject({ deep: true, bytesPerSample: 2 });
    }
  });

  it('the primary item of several, with an alpha plane that is larger than it', async () => {
    const [{ av1C, data }, large] = await Promise.all([coded(64, 48), coded(256, 256)]);
    const auxC = box('auxC', number(0, 4), Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0'));
    const bytes = avif(
      [
        { type: 'av01', data: large.data, properties: [ispe(256, 256), large.av1C] },
        { type: 'av01', data, properties: [ispe(64, 48), av1C] },
        {
          type: 'av01',
          data: large.data,
          properties: [ispe(256, 256), large.av1C, auxC],
          references: [{ type: 'auxl', to: [1] }],
        },
      ],
      1,
    );
    const header = await expectAgreement(bytes, 'alpha');
    expect(header).toMatchObject({ width: 64, channels: 4, tiles: 2, codedSamples: (64 * 48 + 256 * 256) * 1.5 });
  });

  it('counts a tile as often as it is referred to, through any number of levels', async () => {
    const { av1C, data } = await coded(64, 64);
    const grid = (to: number[]) => ({
      type: 'grid',
      data: gridOf(64, 64),
      properties: [ispe(64, 64)],
      references: [{ type: 'dimg', to }],
    });
    const times = Array.from({ length: 1000 }, () => 2);
    const bytes = avif([
      grid(Array.from({ length: 1000 }, () => 1)),
      grid(times),
      { type: 'av01', data, properties: [ispe(64, 64), av1C] },
    ]);
    expect(await read(bytes)).toMatchObject({ tiles: 1_000_000, codedSamples: 1e6 * 64 * 64 * 1.5 });
    // A ring has no end, and costs no time.
    const image: AvifItem = { type: 'av01', data, properties: [ispe(64, 64), av1C] };
    const isRing = { code: 'IMAGE_UNDECODABLE', message: expect.stringContaining('made of themselves') as string };
    expect(await read(avif([grid([2, 1]), grid([2, 0]), image]))).toMatchObject(isRing);
    expect(await read(avif([grid([1]), grid([0])]))).toMatchObject({ code: 'IMAGE_UNDECODABLE' });
    // Nor has one that no picture is made of.
    expect(await read(avif([image, grid([2]), grid([1])]))).toMatchObject(isRing);
    const tower = (levels: number) => avif([...Array.from({ length: levels }, (_, i) => grid([i + 1])), image]);
    expect(await read(tower(32))).toMatchObject({ tiles: 1 });
    expect(await read(tower(33))).toMatchObject({ message: expect.stringContaining('more than 32 levels') as string });
  });

  it('looks once at what a plane is, however many images it refers to', async () => {
    const { av1C, data } = await coded(64, 64);
    const auxC = box('auxC', number(0, 4), Buffer.from('urn:mpeg:hevc:2015:auxid:2\0'));
    const image = { type: 'av01', data, properties: [ispe(64, 64), av1C] };
    const plane = (references: number) => ({
      ...image,
      properties: [...image.properties, auxC],
      references: [{ type: 'auxl', to: Array.from({ length: references }, () => 0) }],
    });
    const [few, many] = [await looksAt(avif([image, plane(1)])), await looksAt(avif([image, plane(10_001)]))];
    expect(many - few).toBe(10_000);
  });

  it('refuses an item of more properties than an entry can list, and entries without end', async () => {
    const { av1C, data } = await coded(64, 64);
    const image = { type: 'av01', data, properties: [ispe(64, 64), av1C] };
    const again = (times: number) => Buffer.from([0, 1, times, ...Array.from({ length: times }, () => 2)]);
    expect(await read(avif([image], 0, [again(253)]))).toMatchObject({ width: 64 });
    expect(await read(avif([image], 0, [again(200), again(54)]))).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining('an item of more than 255 properties') as string,
    });
    const empty = Array.from({ length: 100_000 }, () => again(0));
    expect(await read(avif([image], 0, empty))).toMatchObject({
      code: 'IMAGE_UNDECODABLE',
      message: expect.stringContaining('too many properties') as string,
    });
  });

  it('reads the colour range behind a number of any length, and refuses one without an end', () => {
    const streamOf = (zeros: number, range: '0' | '1'): Buffer => {
      const pictureTime = `${'0'.repeat(zeros)}1${'0'.repeat(zeros)}`;
      // The timing; nothing of the operating point, the sizes and the tools; grey.
      const bits = `000001${'0'.repeat(64)}1${pictureTime}${'0'.repeat(2 + 5 + 17 + 10 + 1 + 3 + 5)}11000010${range}`;
      const bytes = bits.padEnd(8 * Math.ceil(bits.length / 8), '0').match(/.{8}/g)!;
      return Buffer.from([1 << 3, ...bytes.map((byte) => parseInt(byte, 2))]);
    };
    for (const zeros of [0, 1, 31]) {
      expect([hasFullRange(streamOf(zeros, '0')), hasFullRange(streamOf(zeros, '1'))]).toEqual([false, true]);
    }
    expect(() => hasFullRange(streamOf(32, '1'))).toThrow('a number of more than 32 bits');
    expect(() => hasFullRange(streamOf(100_000, '1'))).toThrow('a number of more than 32 bits');
  });

  it('says what a picture is coded as that is none of AV1', async () => {
    const failure = await read(avif([{ type: 'hvc1', data: Buffer.alloc(1), properties: [ispe(64, 48)] }]));
    expect(failure).toMatchObject({ code: 'IMAGE_UNDECODABLE', message: expect.stringContaining('"hvc1"') as string });
  });
});

describe('hostile files', () => {
  const MIB32 = 32 * 2 ** 20;
  /** `head`, then `filling` over and over. */
  const filled = (head: Uint8Array, filling: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(MIB32, Buffer.from(filling));
    bytes.set(head);
    return bytes;
  };

  it('take milliseconds, whatever 32 MiB of them hold', async () => {
    const scan = jpegOfScans(40, 24, 2);
    const [gifHead, png] = [gif([20, 10], []), await photo().png().toBuffer()];
    const webp = Buffer.from('RIFF\xf8\xff\xff\x01WEBPVP8X\x0a\0\0\0\x02\0\0\0\x10\0\0\x10\0\0', 'latin1');
    const cases: Record<string, Buffer> = {
      'stuffed zeros': filled(scan.subarray(0, -2), [0xff, 0]),
      padding: filled(scan.subarray(0, -2), [0xff]),
      'empty scans': filled(scan.subarray(0, -2), [0xff, 0xda, 0, 2]),
      restarts: filled(scan.subarray(0, -2), [0xff, 0xd0]),
      segments: filled(scan.subarray(0, 2), [0xff, 0xe0, 0, 2]),
      'GIF blocks': filled(
        Buffer.concat([gifHead.subarray(0, -1), Buffer.from([0x2c, 0, 0, 0, 0, 9, 0, 9, 0, 0, 2])]),
        [1],
      ),
      'GIF frames': filled(gifHead.subarray(0, -1), [0x2c, 0, 0, 0, 0, 9, 0, 9, 0, 0, 2, 0]),
      'PNG chunks': filled(png.subarray(0, 33), [0, 0, 0, 0, 0x74, 0x45, 0x58, 0x74, 0, 0, 0, 0]),
      'WebP chunks': filled(webp, [0x41, 0x42, 0x43, 0x44, 0, 0, 0, 0]),
    };
    await read(cases['padding']!);
    for (const [name, bytes] of Object.entries(cases)) {
      const start = process.cpuUsage();
      await read(bytes);
      const { user, system } = process.cpuUsage(start);
      // Some 20 ms; a busy machine makes them more.
      expect((user + system) / 1000, name).toBeLessThan(150);
    }
  });

  it('of any bytes give a header or a ServiceError', async () => {
    // xorshift32, Marsaglia 2003.
    let state = 2463534242;
    const random = (below: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    const { av1C, data } = codedImage(await photo(64, 64).avif().toBuffer());
    const tile = { type: 'av01', data, properties: [ispe(64, 64), av1C] };
    const seeds = [
      await photo().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
      jpegOfScans(40, 24, 5),
      await photo().withMetadata({ orientation: 6 }).png().toBuffer(),
      await photo().withMetadata({ orientation: 6 }).webp().toBuffer(),
      await photo().ensureAlpha(0.5).webp({ lossless: true }).toBuffer(),
      gif(
        [20, 10],
        [
          { left: 0, top: 0, width: 20, height: 10 },
          { left: 0, top: 0, width: 20, height: 10 },
        ],
      ),
      await photo().avif().toBuffer(),
      avif([
        { type: 'grid', data: Buffer.alloc(8), properties: [ispe(100, 60)], references: [{ type: 'dimg', to: [1] }] },
        tile,
      ]),
      await photo().tiff({ compression: 'jpeg', tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
      await photo().tiff({ bigtiff: true }).toBuffer(),
    ];
    const outcomes = { headers: 0, refusals: 0 };
    for (let round = 0; round < 4000; round++) {
      const bytes = Buffer.from(seeds[round % seeds.length]!);
      const hot = Math.min(bytes.length, 600);
      for (let i = random(6); i >= 0; i--) {
        const at = random(hot);
        switch (random(4)) {
          case 0:
            bytes[at] = random(256);
            break;
          case 1:
            bytes[at]! ^= 1 << random(8);
            break;
          case 2:
            bytes.fill(random(2) * 255, at, Math.min(bytes.length, at + random(8)));
            break;
          case 3: {
            const other = seeds[random(seeds.length)]!;
            other.copy(bytes, at, random(other.length), other.length);
          }
        }
      }
      const cut = random(8) === 0 ? bytes.subarray(0, 1 + random(bytes.length)) : bytes;
      outcomes[(await read(cut)) instanceof ServiceError ? 'refusals' : 'headers'] += 1;
    }
    expect(outcomes.headers).toBeGreaterThan(500);
    expect(outcomes.refusals).toBeGreaterThan(500);
  });
});
