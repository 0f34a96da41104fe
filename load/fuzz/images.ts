/** Images to begin with: of every accepted format and its main kinds, made here, and files of folders that may be there. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { sniffFormat, type ImageFormat } from '../../src/images/image-format.js';

export interface SampleImage {
  readonly name: string;
  readonly format: ImageFormat;
  readonly bytes: Buffer;
}

/** Folders of images, where they are. */
export const IMAGE_FOLDERS = ['../shared/hard-images', '../shared/photos', 'test/fixtures/photos'];

/** Files beyond this size are not taken: their changes would be all in what is compressed. */
const MAX_BYTES = 2 ** 17;

/** A picture of many colours and some noise, the same one each time. */
function picture(width: number, height: number, channels: 3 | 4 = 3): Sharp {
  const pixels = Buffer.alloc(width * height * channels);
  for (let at = 0; at < pixels.length; at += 1) pixels[at] = (at * 7 + ((at * at) >> 5)) & 255;
  return sharp(pixels, { raw: { width, height, channels } });
}

const MAKERS: Readonly<Record<string, () => Sharp>> = {
  'jpeg plain': () => picture(48, 32).jpeg({ quality: 70 }),
  'jpeg progressive': () => picture(48, 32).jpeg({ quality: 50, progressive: true }),
  'jpeg turned': () => picture(48, 32).withMetadata({ orientation: 6 }).jpeg(),
  'jpeg cmyk': () => picture(24, 24).toColourspace('cmyk').jpeg(),
  'png plain': () => picture(48, 32).png(),
  'png interlaced': () => picture(48, 32, 4).png({ progressive: true }),
  'png palette': () => picture(48, 32).png({ palette: true, colours: 16 }),
  'png deep': () => picture(24, 16).toColourspace('rgb16').png(),
  'png turned': () => picture(24, 16).withMetadata({ orientation: 8 }).png(),
  'webp lossy': () => picture(48, 32).webp({ quality: 60 }),
  'webp lossless': () => picture(48, 32).webp({ lossless: true }),
  'webp alpha': () => picture(48, 32, 4).webp({ quality: 60 }),
  'webp turned': () => picture(48, 32).withMetadata({ orientation: 3 }).webp(),
  'gif plain': () => picture(48, 32).gif(),
  'gif alpha': () => picture(24, 16, 4).gif(),
  'tiff plain': () => picture(24, 16).tiff({ compression: 'none' }),
  'tiff tiles': () => picture(48, 32).tiff({ compression: 'lzw', tile: true, tileWidth: 16, tileHeight: 16 }),
  'tiff jpeg': () => picture(48, 32).tiff({ compression: 'jpeg' }),
  'tiff pyramid': () =>
    picture(48, 32).tiff({ compression: 'deflate', tile: true, pyramid: true, tileWidth: 16, tileHeight: 16 }),
  'tiff big': () => picture(24, 16).tiff({ compression: 'deflate', bigtiff: true }),
  'tiff bits': () => picture(24, 16).toColourspace('b-w').tiff({ compression: 'ccittfax4', bitdepth: 1 }),
  'avif plain': () => picture(48, 32).avif({ quality: 40, effort: 0 }),
  'avif alpha': () => picture(48, 32, 4).avif({ quality: 40, effort: 0 }),
  'avif turned': () => picture(48, 32).withMetadata({ orientation: 6 }).avif({ quality: 40, effort: 0 }),
};

/** Small images of every format. */
export async function madeImages(): Promise<SampleImage[]> {
  const made = await Promise.all(
    Object.entries(MAKERS).map(async ([name, make]) => ({ name, bytes: await make().toBuffer() })),
  );
  const frames = await Promise.all([8, 16, 24].map((side) => picture(side, side).resize(32, 24).png().toBuffer()));
  const animated = sharp(frames, { join: { animated: true } });
  made.push({ name: 'gif animated', bytes: await animated.clone().gif().toBuffer() });
  made.push({ name: 'webp animated', bytes: await animated.clone().webp({ quality: 50 }).toBuffer() });
  return made.flatMap(asSample);
}

/** The images of folders, as far as they are there and not large. Sorted by name. */
export async function foundImages(folders: readonly string[]): Promise<SampleImage[]> {
  const found: { name: string; bytes: Buffer }[] = [];
  for (const folder of folders) {
    for (const name of (await readdir(folder).catch(() => [])).sort()) {
      if (/\.(md|txt|json)$/i.test(name)) continue;
      found.push({ name, bytes: await readFile(join(folder, name)) });
    }
  }
  return found.filter(({ bytes }) => bytes.length <= MAX_BYTES).flatMap(asSample);
}

function asSample({ name, bytes }: { readonly name: string; readonly bytes: Buffer }): SampleImage[] {
  const sniffed = sniffFormat(bytes);
  return sniffed.accepted ? [{ name, bytes, format: sniffed.format }] : [];
}
