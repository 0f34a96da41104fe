/** What is taken for sRGB, and what is made of other profiles, held against libvips' transform. */
import { readdirSync, readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeInput, decodePhoto } from '../../../src/images/decode.js';
import { isSrgb } from '../../../src/images/headers/icc.js';
import { readImageHeader, type ImageHeader } from '../../../src/images/image-header.js';
import { conversionFrom } from '../../../src/images/matrix-colours.js';
import { planInput } from '../../../src/maps/input-plan.js';
import {
  gamma,
  matrixProfile,
  P3_COLORANTS,
  parametric,
  profileOf,
  sampled,
  SRGB_COLORANTS,
  SRGB_PARAMETERS,
  srgbCurve,
} from '../../support/icc-profiles.js';
import { avif, box, chunk, codedImage, ispe, segment } from '../../support/made-images.js';
import { hasShared, shared } from '../../support/shared.js';

const limits = { maxPixels: Infinity };
const background = { r: 255, g: 255, b: 255 };

/** 17³ colours. */
const GRID = { width: 17 * 17, height: 17, channels: 3 } as const;
const grid = Uint8Array.from({ length: 17 ** 3 * 3 }, (_, i) => {
  const colour = Math.floor(i / 3);
  const level = [Math.floor(colour / 289), Math.floor(colour / 17) % 17, colour % 17][i % 3]!;
  return Math.round((level * 255) / 16);
});

const iccp = (profile: Buffer): Buffer =>
  chunk('iCCP', Buffer.concat([Buffer.from('profile\0\0', 'latin1'), deflateSync(profile)]));

async function pngWith(profile: Buffer): Promise<Buffer> {
  const png = await sharp(grid, { raw: GRID }).png().toBuffer();
  return Buffer.concat([png.subarray(0, 33), iccp(profile), png.subarray(33)]);
}

/** All pixels by libvips, which transforms by the file's profile. Of 16 bits it would make Display P3 without the first step. */
function byLibvips(bytes: Uint8Array): Promise<Buffer> {
  return sharp(bytes).pipelineColourspace('srgb').toColourspace('srgb').raw().toBuffer();
}

function most(a: Uint8Array, b: Uint8Array): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

/** How far libvips' transform by this profile moves a colour at most. */
async function farthest(profile: Buffer): Promise<number> {
  return most(await byLibvips(await pngWith(profile)), grid);
}

const SRGB = {
  'a table of 1,024 samples': matrixProfile({ colorants: SRGB_COLORANTS, curve: sampled(srgbCurve, 1024) }),
  'a table of 4,096 samples, by another name': matrixProfile({
    colorants: SRGB_COLORANTS,
    curve: sampled(srgbCurve, 4096),
    name: 'camera',
  }),
  'a formula': matrixProfile({ colorants: SRGB_COLORANTS, curve: parametric(3, SRGB_PARAMETERS) }),
  'a formula of seven numbers': matrixProfile({
    colorants: SRGB_COLORANTS,
    curve: parametric(4, [...SRGB_PARAMETERS, 0, 0]),
  }),
};
const named = { name: 'sRGB IEC61966-2.1' };
const OTHERS = {
  'the curve of gamma 2.2': matrixProfile({ ...named, colorants: SRGB_COLORANTS, curve: gamma(2.2) }),
  'the curve of gamma 1.8': matrixProfile({ ...named, colorants: SRGB_COLORANTS, curve: gamma(1.8) }),
  'no curve': matrixProfile({ ...named, colorants: SRGB_COLORANTS, curve: sampled((value) => value, 2) }),
  'the colours of Display P3': matrixProfile({ ...named, colorants: P3_COLORANTS, curve: sampled(srgbCurve, 1024) }),
  'red and blue exchanged': matrixProfile({
    ...named,
    colorants: [...SRGB_COLORANTS].reverse(),
    curve: sampled(srgbCurve, 1024),
  }),
  'a darker red': matrixProfile({
    ...named,
    colorants: [[0.42, 0.215, 0.0135], SRGB_COLORANTS[1], SRGB_COLORANTS[2]],
    curve: sampled(srgbCurve, 1024),
  }),
  'a curve with a dent': matrixProfile({
    ...named,
    colorants: SRGB_COLORANTS,
    curve: sampled((value) => (value > 0.5 && value < 0.6 ? srgbCurve(0.5) : srgbCurve(value)), 1024),
  }),
};

describe('a profile', () => {
  it.each(Object.entries(SRGB))('of sRGB with %s is sRGB, and its transform changes nothing', async (_, profile) => {
    expect(isSrgb(profile)).toBe(true);
    expect(await farthest(profile)).toBeLessThanOrEqual(1);
  });

  it.each(Object.entries(OTHERS))('named sRGB with %s is none', async (_, profile) => {
    expect(isSrgb(profile)).toBe(false);
    expect(await farthest(profile)).toBeGreaterThan(1);
  });

  it('with a table that engines prefer is none', () => {
    const table = { A2B0: Buffer.from('mft2') };
    expect(isSrgb(matrixProfile({ colorants: SRGB_COLORANTS, curve: gamma(2.4), extra: table }))).toBe(false);
    const curve = parametric(3, SRGB_PARAMETERS);
    expect(isSrgb(matrixProfile({ colorants: SRGB_COLORANTS, curve, extra: table }))).toBe(false);
  });

  it('that is grey, broken, or none at all is none', () => {
    const profile = SRGB['a formula'];
    expect(isSrgb(profileOf('GRAY', { kTRC: gamma(2.2) }))).toBe(false);
    expect(isSrgb(profile.subarray(0, -20))).toBe(false);
    expect(isSrgb(new Uint8Array())).toBe(false);
    expect(isSrgb(new Uint8Array(5000))).toBe(false);
    // Any byte changed gives a verdict, and no error.
    for (let at = 0; at < profile.length; at++) {
      for (const value of [0, 0xff]) {
        const changed = Buffer.from(profile);
        changed[at] = value;
        expect(typeof isSrgb(changed)).toBe('boolean');
      }
    }
  });

  it('is looked at in a fraction of what its transform takes', () => {
    // Another each time.
    const profiles = Object.values(SRGB);
    const look = (times: number): void => {
      for (let i = 0; i < times; i++) isSrgb(profiles[i % profiles.length]!);
    };
    look(50);
    const start = process.cpuUsage();
    look(100);
    const { user, system } = process.cpuUsage(start);
    // 0.1 ms, on a busy machine 0.3; the transform is made ready in some milliseconds.
    expect((user + system) / 1e5).toBeLessThan(1);
  });
});

describe('the conversion by a profile', () => {
  const WIDE = {
    'Adobe RGB': matrixProfile({
      colorants: [
        [0.60974, 0.31111, 0.01947],
        [0.20528, 0.62567, 0.06087],
        [0.14919, 0.06322, 0.74457],
      ],
      curve: gamma(2.19921875),
    }),
    'ProPhoto RGB': matrixProfile({
      colorants: [
        [0.79767, 0.28804, 0],
        [0.13519, 0.71188, 0],
        [0.03134, 0.00009, 0.82491],
      ],
      curve: gamma(1.8),
    }),
  };

  it.each(Object.entries({ ...SRGB, ...OTHERS, ...WIDE }))('%s is that of libvips', async (_, profile) => {
    const pixels = Uint8Array.from(grid);
    conversionFrom(profile)!(pixels);
    expect(most(pixels, await byLibvips(await pngWith(profile)))).toBeLessThanOrEqual(1);
  });

  it('is not made of tables, of grey, of what is broken, nor of colours far beyond sRGB', () => {
    const curve = gamma(2.2);
    const table = { A2B0: Buffer.from('mft2') };
    expect(conversionFrom(matrixProfile({ colorants: P3_COLORANTS, curve, extra: table }))).toBeUndefined();
    expect(conversionFrom(profileOf('GRAY', { kTRC: curve }))).toBeUndefined();
    expect(conversionFrom(matrixProfile({ colorants: P3_COLORANTS, curve }).subarray(0, -20))).toBeUndefined();
    const far = [[1.5, 0.2, 0], ...P3_COLORANTS.slice(1)] as const;
    expect(conversionFrom(matrixProfile({ colorants: far, curve }))).toBeUndefined();
    // 3 · level, more light than there is.
    const bright = parametric(1, [1, 3, 0]);
    expect(conversionFrom(matrixProfile({ colorants: P3_COLORANTS, curve: bright }))).toBeUndefined();
  });

  it('remembers the profiles of some cameras, and forgets others', () => {
    const profiles = Array.from({ length: 9 }, (_, i) =>
      matrixProfile({ colorants: P3_COLORANTS, curve: gamma(2 + i / 8) }),
    );
    const conversions = profiles.map(conversionFrom);
    expect(new Set(conversions).size).toBe(9);
    for (const i of [1, 8, 4]) expect(conversionFrom(Buffer.from(profiles[i]!))).toBe(conversions[i]);
    expect(conversionFrom(profiles[0]!)).not.toBe(conversions[0]);
  });
});

describe('each format', () => {
  const profile = SRGB['a table of 1,024 samples'];
  const other = OTHERS['the colours of Display P3'];
  const photo = () => sharp(grid, { raw: GRID });
  const withProfile: Record<string, (icc: Buffer) => Promise<Buffer>> = {
    JPEG: async (icc) => {
      const bytes = await photo().jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
      const app2 = segment(0xe2, Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), icc]));
      return Buffer.concat([bytes.subarray(0, 2), app2, bytes.subarray(2)]);
    },
    PNG: pngWith,
    'PNG of 16 bits': async (icc) => {
      const png = await photo().toColourspace('rgb16').png().toBuffer();
      return Buffer.concat([png.subarray(0, 33), iccp(icc), png.subarray(33)]);
    },
    WebP: async (icc) => {
      const plain = await photo().webp({ lossless: true }).toBuffer();
      const riff = (name: string, body: Buffer): Buffer => {
        const length = Buffer.alloc(4);
        length.writeUInt32LE(body.length);
        return Buffer.concat([Buffer.from(name), length, body, Buffer.alloc(body.length % 2)]);
      };
      const canvas = Buffer.alloc(10);
      canvas[0] = 0x20;
      canvas.writeUIntLE(GRID.width - 1, 4, 3);
      canvas.writeUIntLE(GRID.height - 1, 7, 3);
      return riff(
        'RIFF',
        Buffer.concat([Buffer.from('WEBP'), riff('VP8X', canvas), riff('ICCP', icc), plain.subarray(12)]),
      );
    },
    TIFF: async (icc) => {
      // libvips writes a profile of its own, of which ours takes the place.
      const bytes = await photo().withIccProfile('p3').tiff({ compression: 'none' }).toBuffer();
      const count = bytes.readUInt16LE(bytes.readUInt32LE(4));
      const made = Buffer.concat([bytes, icc]);
      for (let i = 0; i < count; i++) {
        const entry = bytes.readUInt32LE(4) + 2 + 12 * i;
        if (made.readUInt16LE(entry) !== 34675) continue;
        made.writeUInt32LE(icc.length, entry + 4);
        made.writeUInt32LE(bytes.length, entry + 8);
      }
      return made;
    },
  };

  it.each(Object.keys(withProfile))('%s says whether its profile is sRGB', async (format) => {
    const [known, unknown] = await Promise.all([profile, other].map((icc) => withProfile[format]!(icc)));
    const header = await readImageHeader(known!, limits);
    expect(header.colours).toBe('srgb');
    expect((await readImageHeader(unknown!, limits)).colours).toBe('matrix');
    // The transform and its omission give the same picture.
    const left = await decodePhoto(known!, header, { background });
    expect(most(left.pixels, await byLibvips(known!))).toBeLessThanOrEqual(1);
    // Another profile is not left out.
    const transformed = await decodePhoto(unknown!, await readImageHeader(unknown!, limits), { background });
    expect(most(transformed.pixels, left.pixels)).toBeGreaterThan(20);
  });

  it.each(['JPEG', 'PNG', 'WebP', 'TIFF'])(
    '%s of another profile becomes sRGB, upright or turned, once',
    async (format) => {
      const bytes = await withProfile[format]!(other);
      const header = await readImageHeader(bytes, limits);
      const { pixels } = await decodePhoto(bytes, header, { background });
      expect(most(pixels, await byLibvips(bytes))).toBeLessThanOrEqual(1);
      if (format !== 'JPEG') return;
      const exif = segment(
        0xe1,
        Buffer.from('Exif\0\0MM\0*\0\0\0\b\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0', 'latin1'),
      );
      const turned = Buffer.concat([bytes.subarray(0, 2), exif, bytes.subarray(2)]);
      const upsideDown = await readImageHeader(turned, limits);
      expect(upsideDown.orientation).toBe(3);
      const photo = await decodePhoto(turned, upsideDown, { background });
      const expected = await sharp(turned).rotate().toColourspace('srgb').raw().toBuffer();
      expect(most(photo.pixels, expected)).toBeLessThanOrEqual(1);
    },
  );

  it("a network's input is converted after it is resized, to much the same colours", async () => {
    // A photograph's colours change little from pixel to pixel.
    const smooth = Uint8Array.from({ length: 300 * 300 * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % 300, Math.floor(i / 900)];
      return Math.round(127.5 + 127.5 * Math.sin((x * (1 + (i % 3))) / 60 + y / 80));
    });
    const raw = sharp(smooth, { raw: { width: 300, height: 300, channels: 3 } });
    const png = await raw.png().toBuffer();
    const bytes = Buffer.concat([png.subarray(0, 33), iccp(other), png.subarray(33)]);
    const header = await readImageHeader(bytes, limits);
    const input = planInput(header, { fit: 'crop', size: 100, resize: 120, scale: 1 });
    const pixels = await decodeInput({ photo: { bytes, header }, input, interpolation: 'bilinear', background });
    const { left, top, width, height } = input.crop;
    const before = await sharp(bytes)
      .resize({ ...input.resized, fit: 'fill', kernel: 'linear' })
      .extract({ left, top, width, height })
      .raw()
      .toBuffer();
    expect(pixels.reduce((sum, value, i) => sum + Math.abs(value - before[i]!), 0) / pixels.length).toBeLessThan(0.5);
  });

  it('AVIF says so too', async () => {
    const { av1C, data } = codedImage(await photo().avif({ effort: 0 }).toBuffer());
    const coloursWith = async (icc: Buffer): Promise<string> => {
      const colr = box('colr', Buffer.from('prof'), icc);
      const properties = [ispe(GRID.width, GRID.height), av1C, colr];
      return (await readImageHeader(avif([{ type: 'av01', data, properties }]), limits)).colours;
    };
    expect(await coloursWith(profile)).toBe('srgb');
    expect(await coloursWith(other)).toBe('matrix');
  });

  it('a profile in two segments, or in a grey image, is left to libvips', async () => {
    const bytes = await photo().jpeg().toBuffer();
    const part = (index: number, icc: Buffer): Buffer =>
      segment(0xe2, Buffer.concat([Buffer.from('ICC_PROFILE\0', 'latin1'), Buffer.from([index, 2]), icc]));
    const two = Buffer.concat([
      ...[bytes.subarray(0, 2), part(1, profile.subarray(0, 500)), part(2, profile.subarray(500)), bytes.subarray(2)],
    ]);
    expect((await readImageHeader(two, limits)).colours).toBe('profile');
    const grey = await photo().toColourspace('b-w').png().toBuffer();
    const wrong = Buffer.concat([grey.subarray(0, 33), iccp(profile), grey.subarray(33)]);
    expect((await readImageHeader(wrong, limits)).colours).toBe('profile');
  });

  it('a profile that inflates without end is not followed', async () => {
    const png = await photo().png().toBuffer();
    const endless = chunk(
      'iCCP',
      Buffer.concat([Buffer.from('x\0\0', 'latin1'), deflateSync(Buffer.alloc(10_000_000))]),
    );
    const bytes = Buffer.concat([png.subarray(0, 33), endless, png.subarray(33)]);
    expect((await readImageHeader(bytes, limits)).colours).toBe('profile');
  });
});

describe.skipIf(!hasShared)('the photographs', () => {
  it('that carry sRGB are decoded without it, to the same colours', async () => {
    const names = readdirSync(shared('photos'));
    let known = 0;
    for (const name of names) {
      const bytes = readFileSync(shared('photos', name));
      const header: ImageHeader = await readImageHeader(bytes, limits);
      if (header.colours !== 'srgb') continue;
      known += 1;
      const { pixels } = await decodePhoto(bytes, header, { background });
      expect(most(pixels, await byLibvips(bytes)), name).toBeLessThanOrEqual(1);
    }
    // 20 have a profile; seven of those are others.
    expect(known).toBe(13);
  });
});
