/**
 * `npm run load:decode`: what decoding takes, and drawing pictures, each format and size in a process of its own, beside what decode-cost.ts and
 * plan-picture.ts say of it. Linux only. An estimate has to be an upper one, and of common files not more than about twice what was
 * measured.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import type { Decoded, Product } from './decode-once.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES } from './scenario.js';
import { figure, markdownTable, type Column } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:decode -- [options]
  --sides LIST    sides of the square images in pixels (2000,7000)
  --only REGEX    kinds of images, by name
  --as LIST       input, photo, or pictures: overlay, legend, palette or sheet, a slash and a format (input,photo)
  --photos DIR    photographs, of which the first is enlarged and given some noise (${SAMPLES})
  --output NAME   also write load/results/NAME.md
`;
const ONCE = fileURLToPath(new URL('./load-decode-once.js', import.meta.url));
const run = promisify(execFile);
/** Grey levels of the noise, up and down. */
const NOISE = 8;
/** Large images take libvips long to make, so effort is low wherever there is a choice. */
const KINDS: Readonly<Record<string, (photo: Sharp, flat: Sharp) => Sharp>> = {
  JPEG: (photo) => photo.jpeg({ quality: 85 }),
  'JPEG 4:4:4, quality 95': (photo) => photo.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }),
  'JPEG, progressive': (photo) => photo.jpeg({ quality: 85, progressive: true }),
  'JPEG, progressive 4:4:4': (photo) => photo.jpeg({ quality: 95, progressive: true, chromaSubsampling: '4:4:4' }),
  'JPEG, turned': (photo) => photo.withMetadata({ orientation: 6 }).jpeg({ quality: 85 }),
  'JPEG, with a profile': (photo) => photo.withIccProfile('p3').jpeg({ quality: 85 }),
  'JPEG, CMYK': (photo) => photo.toColourspace('cmyk').jpeg({ quality: 85 }),
  PNG: (photo) => photo.png({ compressionLevel: 2 }),
  'PNG, alpha': (photo) => photo.ensureAlpha(0.7).png({ compressionLevel: 2 }),
  'PNG, 16 bits': (photo) => photo.toColourspace('rgb16').png({ compressionLevel: 1 }),
  'PNG, interlaced': (photo) => photo.png({ compressionLevel: 1, progressive: true }),
  WebP: (photo) => photo.webp({ quality: 85, effort: 0 }),
  'WebP, alpha': (photo) => photo.ensureAlpha(0.7).webp({ quality: 85, effort: 0 }),
  'WebP, lossless': (photo) => photo.webp({ lossless: true, effort: 0 }),
  'WebP, lossless, one colour': (_, flat) => flat.webp({ lossless: true }),
  AVIF: (photo) => photo.avif({ quality: 60, effort: 0 }),
  'AVIF 4:4:4, quality 90': (photo) => photo.avif({ quality: 90, effort: 0, chromaSubsampling: '4:4:4' }),
  'AVIF, one colour': (_, flat) => flat.avif({ effort: 0 }),
  GIF: (photo) => photo.gif({ effort: 1, dither: 0 }),
  TIFF: (photo) => photo.tiff({ compression: 'deflate' }),
  'TIFF, not compressed': (photo) => photo.tiff({ compression: 'none' }),
  'TIFF, tiles': (photo) => photo.tiff({ compression: 'lzw', tile: true, tileWidth: 256, tileHeight: 256 }),
  'TIFF, 16 bits': (photo) => photo.toColourspace('rgb16').tiff({ compression: 'deflate' }),
};

interface Row extends Decoded {
  readonly kind: string;
  readonly side: number;
  readonly product: Product;
  readonly encodedBytes: number;
}

const MB = 1e6;
const COLUMNS: readonly Column<Row>[] = [
  ['image', ({ kind }) => kind],
  ['made of it', ({ product }) => product],
  ['side', ({ side }) => String(side)],
  ['encoded MB', ({ encodedBytes }) => figure(encodedBytes / MB)],
  ['MB', ({ measured }) => figure(measured.bytes / MB)],
  ['estimated', ({ estimated }) => figure(estimated.bytes / MB)],
  ['ratio', ({ measured, estimated }) => (estimated.bytes / measured.bytes).toFixed(2)],
  ['core s', ({ measured }) => figure(measured.seconds)],
  ['estimated', ({ estimated }) => figure(estimated.seconds)],
  ['ratio', ({ measured, estimated }) => (estimated.seconds / measured.seconds).toFixed(2)],
];

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      sides: { type: 'string', default: '2000,7000' },
      only: { type: 'string', default: '' },
      as: { type: 'string', default: 'input,photo' },
      photos: { type: 'string', default: SAMPLES },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const only = new RegExp(values.only, 'i');
  const sides = values.sides.split(',').map((side) => whole('--sides', side));
  const [photo] = await readPhotos(values.photos);
  const products = values.as.split(',') as Product[];
  const rows = await measureAll(photo!.bytes, sides, only, products);
  const text = `${machineLine(await describeMachine())}; each in a process of its own.\n\n${markdownTable(COLUMNS, rows)}`;
  process.stdout.write(text);
  if (values.output !== undefined)
    await writeFile(join(RESULTS, `${values.output}.md`), `# Decoding and drawing\n\n${text}`);
});

async function measureAll(
  photo: Uint8Array,
  sides: readonly number[],
  only: RegExp,
  products: readonly Product[],
): Promise<Row[]> {
  const signal = interruption();
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-decode-'));
  const rows: Row[] = [];
  try {
    for (const side of sides) {
      const [large, small] = await Promise.all([side, 64].map((pixels) => enlarge(photo, pixels)));
      for (const [kind, encode] of Object.entries(KINDS)) {
        if (signal.aborted || !only.test(kind)) continue;
        const bytes = await encodeAs(encode, large!, side);
        const files = [join(folder, 'image'), join(folder, 'small')] as const;
        await writeFile(files[0], bytes);
        await writeFile(files[1], await encodeAs(encode, small!, 64));
        for (const product of products) {
          const { stdout } = await run(process.execPath, [ONCE, ...files, product], { signal });
          rows.push({ kind, side, product, encodedBytes: bytes.length, ...(JSON.parse(stdout) as Decoded) });
        }
        process.stderr.write(`${side} ${kind}\n`);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

/** The photo as a square with the noise of a camera; without it an enlarged photo would be too easy. RGB. */
async function enlarge(photo: Uint8Array, side: number): Promise<Buffer> {
  const image = sharp(photo).resize(side, side, { fit: 'fill', kernel: 'cubic' }).flatten().toColourspace('srgb');
  const pixels = await image.raw().toBuffer();
  let state = 1;
  for (let i = 0; i < pixels.length; i++) {
    // xorshift32, Marsaglia 2003.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pixels[i] = Math.min(Math.max(pixels[i]! + ((state >>> 8) % (2 * NOISE)) - NOISE, 0), 255);
  }
  return pixels;
}

function encodeAs(encode: (photo: Sharp, flat: Sharp) => Sharp, pixels: Buffer, side: number): Promise<Buffer> {
  const size = { width: side, height: side, channels: 3 } as const;
  const photo = sharp(pixels, { raw: size, limitInputPixels: false });
  return encode(photo, sharp({ create: { ...size, background: '#456' }, limitInputPixels: false })).toBuffer();
}
