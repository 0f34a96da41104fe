/** Photographs as pixels, decoded here: for experiments that cut windows out of a photograph or move it. */
import type { Config } from '../config.js';
import { UsageError } from '../errors.js';
import { decodeInput } from '../images/decode.js';
import { readImageHeader } from '../images/image-header.js';
import type { ImageInput } from '../inference/infer.js';
import { planInput, shortSide, type PixelRectangle, type PixelSize } from '../maps/input-plan.js';
import type { CompiledModel } from '../models/compile.js';
import type { Tensor } from '../tensor.js';

/** RGB, uint8 [height, width, 3]. */
export type Pixels = Tensor<'uint8'>;

/**
 * The middle of a photograph at a size, resized and cut as the model's preset says at its own. Throws UsageError for a size over
 * the limit of inputs, and ServiceError for an image that is refused.
 */
export async function decodeMiddle(
  config: Config,
  { manifest: { input } }: CompiledModel,
  { bytes }: ImageInput,
  { width, height }: PixelSize,
): Promise<Pixels> {
  const { background, maxInputPixels } = config;
  if (width * height > maxInputPixels) {
    throw new UsageError(`${width}×${height} pixels are more than ${maxInputPixels} (FULLCONV_MAX_INPUT_PIXELS)`);
  }
  const header = await readImageHeader(bytes, config);
  const resize = Math.round((input.resize * Math.min(width, height)) / shortSide(input.size));
  const plan = planInput(header, { fit: 'crop', size: [height, width], resize, scale: 1 });
  const { interpolation } = input;
  const data = await decodeInput({ photo: { bytes, header }, input: plan, interpolation, background });
  return { type: 'uint8', dims: [height, width, 3], data };
}

/** A copy of a part, which lies inside. */
export function cutPixels({ dims, data }: Pixels, { left, top, width, height }: PixelRectangle): Pixels {
  const row = 3 * dims[1]!;
  const part = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y += 1) {
    const from = (top + y) * row + 3 * left;
    part.set(data.subarray(from, from + 3 * width), y * 3 * width);
  }
  return { type: 'uint8', dims: [height, width, 3], data: part };
}
