/** Bytes of which nobody says whether they are an image file or pixels. */
import { sniffFormat } from '../images/image-format.js';
import type { PixelSize } from '../maps/input-plan.js';
import type { ImageInput } from './infer.js';

/** Bytes that are no image file, and as many as the pixels `[height, width, 3]` of this size, are those; others are a file. */
export function imageOrPixels(name: string, bytes: Uint8Array, { width, height }: PixelSize): ImageInput {
  const arePixels = bytes.length === 3 * width * height && !sniffFormat(bytes).accepted;
  return { name, bytes, ...(arePixels && { pixels: { width, height } }) };
}
