/**
 * The input `image` as images: pixels, UINT8 `[N, height, width, 3]`, which are the network's input as they are, or encoded files
 * of any sizes, BYTES `[N]` or `[N, 1]`. The images lie in the body, but for pixels in JSON.
 */
import type { ImageInput } from '../../inference/infer.js';
import { inTurns } from '../../turns.js';
import { decodeText } from '../base64-text.js';
import { faultAt } from './faults.js';
import type { InputTensor } from './infer-body.js';
import { readBytes, readTexts } from './json-values.js';

/** The name of the input of every model. */
export const IMAGE = 'image';
const CHANNELS = 3;
const LENGTH_BYTES = 4;

/** The images of a request's inputs, at most `maxImages`. Throws INVALID_REQUEST with the place of what is wrong. */
export async function imagesOf(inputs: readonly InputTensor[], maxImages: number): Promise<ImageInput[]> {
  const [input] = inputs;
  const unknown = inputs.find(({ name }) => name !== IMAGE);
  if (unknown !== undefined) throw faultAt(`${unknown.place}.name`, `must be ${IMAGE}, the only input of the model`);
  const { datatype, place } = input!;
  switch (datatype) {
    case 'UINT8':
      return pixelsOf(input!, maxImages);
    case 'BYTES':
      return filesOf(input!, maxImages);
    default:
      throw faultAt(`${place}.datatype`, `must be UINT8 (pixels) or BYTES (image files), not ${datatype}`);
  }
}

function countOf({ shape: [count = 0], place }: InputTensor, maxImages: number): number {
  if (count === 0) throw faultAt(`${place}.shape`, 'must have at least one image');
  if (count > maxImages) throw faultAt(`${place}.shape`, `has ${count} images; the limit is ${maxImages}`);
  return count;
}

async function pixelsOf(input: InputTensor, maxImages: number): Promise<ImageInput[]> {
  const { shape, data, place } = input;
  const [, height = 0, width = 0, channels] = shape;
  if (shape.length !== 4 || channels !== CHANNELS || height === 0 || width === 0) {
    throw faultAt(`${place}.shape`, `must be [images, height, width, ${CHANNELS}]`);
  }
  const count = countOf(input, maxImages);
  const size = height * width * CHANNELS;
  const total = count * size;
  if (!Number.isSafeInteger(total)) throw faultAt(`${place}.shape`, 'is too large');
  const bytes = 'binary' in data ? data.binary : await inTurns(readBytes(data.json, total, `${place}.data`));
  if (bytes.length !== total) {
    throw faultAt(place, `has ${bytes.length} bytes, and not the ${total} of its shape`);
  }
  return Array.from({ length: count }, (_, index) => ({
    name: nameOf(index),
    bytes: bytes.subarray(index * size, (index + 1) * size),
    pixels: { width, height },
  }));
}

async function filesOf(input: InputTensor, maxImages: number): Promise<ImageInput[]> {
  const { shape, data, parameters, place } = input;
  if (!(shape.length === 1 || (shape.length === 2 && shape[1] === 1))) {
    throw faultAt(`${place}.shape`, 'must be [images] or [images, 1] for BYTES');
  }
  const count = countOf(input, maxImages);
  if ('binary' in data) {
    return elementsOf(data.binary, count, place).map((bytes, index) => ({ name: nameOf(index), bytes }));
  }
  if (parameters['content_type'] !== 'base64') {
    throw faultAt(
      `${place}.data`,
      'is text, which cannot hold an image file: send binary data, or base64 with "parameters": {"content_type": "base64"}',
    );
  }
  const texts = await inTurns(readTexts(data.json, count, `${place}.data`));
  const images: ImageInput[] = [];
  for (const [index, text] of texts.entries()) {
    const bytes = await decodeText(text, (detail) => faultAt(`${place}.data[${index}]`, detail));
    images.push({ name: nameOf(index), bytes });
  }
  return images;
}

/** The elements of a BYTES tensor: each a length, 32 bits and little endian, and so many bytes. */
function elementsOf(bytes: Buffer, count: number, place: string): Buffer[] {
  const elements: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const index = elements.length;
    if (index === count) throw faultAt(place, `has ${bytes.length - at} bytes behind its ${count} elements`);
    if (bytes.length - at < LENGTH_BYTES) throw faultAt(`${place}[${index}]`, 'has no length of 4 bytes before it');
    const length = bytes.readUInt32LE(at);
    at += LENGTH_BYTES;
    if (length > bytes.length - at) {
      throw faultAt(`${place}[${index}]`, `is to have ${length} bytes, and ${bytes.length - at} are left`);
    }
    elements.push(bytes.subarray(at, at + length));
    at += length;
  }
  if (elements.length < count)
    throw faultAt(place, `has ${elements.length} elements, and not the ${count} of its shape`);
  return elements;
}

function nameOf(index: number): string {
  return `image-${index}`;
}
