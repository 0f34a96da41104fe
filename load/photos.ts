/** The images that are sent: photographs of a folder as they are, or cut and resized to given sizes. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { OperatorError } from '../src/errors.js';
import type { ImageInput } from '../src/inference/infer.js';

/** Photographs of a folder, by name. Throws OperatorError when there is none. */
export async function readPhotos(folder: string): Promise<ImageInput[]> {
  const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();
  if (names.length === 0) throw new OperatorError(`--photos ${folder}: the folder holds no photograph`);
  return Promise.all(names.map(async (name) => ({ name, bytes: await readFile(join(folder, name)) })));
}

/** The photographs as JPEGs of `size`, e.g. `640x480`, cut if they have another shape. */
export async function resizePhotos(photos: readonly ImageInput[], size: string): Promise<ImageInput[]> {
  const [width, height] = size.split('x').map(Number);
  const images: ImageInput[] = [];
  for (const { name, bytes } of photos) {
    const resized = sharp(bytes).rotate().resize(width, height).flatten({ background: '#fff' });
    images.push({ name: `${name} ${size}`, bytes: await resized.jpeg({ quality: 90 }).toBuffer() });
  }
  return images;
}
