/**
 * Encoded bytes to pixels: 8-bit sRGB, upright, first frame, alpha blended over a background. Hides how libvips is made
 * to give exactly the planned size; the kinds of pixels that files hold are for open-photo.ts. image-header.ts has read
 * the header and checked the limits before. A file that is broken after its header fails here with IMAGE_UNDECODABLE,
 * and so does a file of which libvips reads another size or depth than the header said. Of an upright JPEG it reads what
 * the header said (open-photo.ts).
 *
 * libvips resamples. It antialiases when it shrinks, like Pillow and torchvision, after an integer box filter if the
 * factor is above 2. Shrink-on-load (libjpeg's scaled DCT) leaves at least a factor of 2 to the real kernel. From 12
 * megapixels to 224² this takes 18 ms, at a mean difference of 0.5 grey levels. Without shrink-on-load it takes 34 ms;
 * with all that libjpeg could do, 16 ms at 0.9 (2 vCPU, one thread).
 */
import { ServiceError } from '../errors.js';
import type { InputPlan, PixelRectangle, PixelSize } from '../maps/input-plan.js';
import type { ImageHeader } from './image-header.js';
import { asUndecodable, openPhoto, type Background, type OpenPhoto } from './open-photo.js';

export type { Background };

export type Interpolation = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos3';

/** A decoded photo. `pixels` is `[height, width, 3]`. */
export interface Photo {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** libvips' names; its cubic is Catmull-Rom (a = −½), as Pillow's. */
const KERNELS = { nearest: 'nearest', bilinear: 'linear', bicubic: 'cubic', lanczos3: 'lanczos3' } as const;

/** A long photo is cut to about this many times the crop's length before it is enlarged, see `cutBeforeEnlarging`. */
const ENLARGED_MARGIN = 8;

/** An encoded photo, or pixels (headers/stored-image.ts), and what the header says. */
export interface EncodedPhoto {
  readonly bytes: Uint8Array;
  /** Of these bytes. */
  readonly header: ImageHeader;
}

/** A network's input, or a part of it, to be decoded from a photo. Plain data. */
export interface DecodeRequest {
  readonly photo: EncodedPhoto;
  /** `input.photo` has the size that the header says. */
  readonly input: InputPlan;
  /** The part that is wanted, in pixels of the input; absent: all of it. Its pixels are those that all of it has there. */
  readonly part?: PixelRectangle | undefined;
  readonly mirrored: boolean;
  readonly interpolation: Interpolation;
  readonly background: Background;
}

/**
 * Decode a network's input: `[h, w, 3]`, of the part where one is wanted, otherwise of the input. Not mirrored: see `mirror`.
 * The caller owns the buffer, which cannot be transferred; pixels that are the input already are in the buffer they came in.
 * Throws IMAGE_UNDECODABLE.
 */
export async function decodeInput(request: Omit<DecodeRequest, 'mirrored'>): Promise<Uint8Array> {
  const known = pixelsAsTheyAre(request);
  if (known !== undefined) return known;
  const {
    photo: { bytes, header },
    input,
    part = wholeOf(input),
    interpolation,
    background,
  } = request;
  const { photo, crop } = input;
  const opened = await openPhoto(bytes, header, background);
  const { image } = opened;
  const cut = cutBeforeEnlarging(input);
  if (cut !== undefined) image.extract(cut.photo);
  const resized = cut?.resized ?? input.resized;
  if (cut !== undefined || resized.width !== photo.width || resized.height !== photo.height) {
    const kernel = KERNELS[interpolation];
    image.resize({ ...resized, fit: 'fill', kernel, fastShrinkOnLoad: false });
  }
  const { left, top } = cut?.crop ?? crop;
  image.extract({ ...sizeOf(part), left: left + part.left, top: top + part.top });
  return (await readPixels(opened, header, background, part)).pixels;
}

/** Pixels that are the input already, in the buffer that they came in; undefined where there is something to decode. */
export function pixelsAsTheyAre({
  photo: { bytes, header },
  input,
  part = wholeOf(input),
}: Pick<DecodeRequest, 'photo' | 'input' | 'part'>): Uint8Array | undefined {
  const isInput = header.format === 'pixels' && [input.photo, part].every((size) => isSameSize(size, input.resized));
  return isInput ? bytes : undefined;
}

/** The image mirrored left to right, a new buffer. `[h, w, 3]` */
export function mirror(pixels: Uint8Array, width: number): Uint8Array {
  const mirrored = new Uint8Array(pixels.length);
  const stride = width * 3;
  for (let row = 0; row < pixels.length; row += stride) {
    for (let x = 0; x < stride; x += 3) {
      const from = row + x;
      const to = row + stride - 3 - x;
      mirrored[to] = pixels[from]!;
      mirrored[to + 1] = pixels[from + 1]!;
      mirrored[to + 2] = pixels[from + 2]!;
    }
  }
  return mirrored;
}

function wholeOf({ crop }: InputPlan): PixelRectangle {
  return { left: 0, top: 0, ...sizeOf(crop) };
}

function sizeOf({ width, height }: PixelSize): PixelSize {
  return { width, height };
}

function isSameSize(a: PixelSize, b: PixelSize): boolean {
  return a.width === b.width && a.height === b.height;
}

/**
 * Decode the whole photo, to be drawn over, at `size` (default: its own size). The caller owns the buffer, which cannot
 * be transferred. Throws IMAGE_UNDECODABLE.
 */
export async function decodePhoto(
  bytes: Uint8Array,
  header: ImageHeader,
  { background, size: { width, height } = header }: { readonly background: Background; readonly size?: PixelSize },
): Promise<Photo> {
  const opened = await openPhoto(bytes, header, background);
  if (width !== header.width || height !== header.height)
    opened.image.resize({ width, height, fit: 'fill', kernel: 'cubic', fastShrinkOnLoad: false });
  return readPixels(opened, header, background, { width, height });
}

/**
 * Uses toBuffer, because toUint8Array of sharp 0.35.5 leaks the pixels of each call (a server lost 30 kB an image) and
 * copies them on the main thread.
 */
async function readPixels(
  { image, conversion }: OpenPhoto,
  { limitedRange }: ImageHeader,
  background: Background,
  { width, height }: PixelSize,
): Promise<Photo> {
  if (limitedRange) image.flatten({ background: narrowed(background) }).linear(255 / 219, (-16 * 255) / 219);
  else image.flatten({ background });
  const rgb = image.toColourspace('srgb').raw();
  const { data, info } = await rgb.toBuffer({ resolveWithObject: true }).catch(asUndecodable);
  if (info.channels !== 3) {
    throw new ServiceError('IMAGE_UNDECODABLE', `The image has ${info.channels} channels that are not colours.`);
  }
  if (info.width !== width || info.height !== height) {
    // The header of an upright JPEG is not held against the decoder's before.
    throw new ServiceError(
      'IMAGE_UNDECODABLE',
      `The image was to have ${width}×${height} pixels, its decoder gives ${info.width}×${info.height}.`,
    );
  }
  conversion?.(data);
  return { pixels: data, width, height };
}

/** What widening the range makes the background of. */
function narrowed({ r, g, b }: Background): Background {
  const [red, green, blue] = [r, g, b].map((level) => Math.round(16 + (level * 219) / 255)) as [number, number, number];
  return { r: red, g: green, b: blue };
}

interface Cut {
  /** The part of the photo to resize. */
  readonly photo: PixelRectangle;
  /** The size of that part after resizing. */
  readonly resized: PixelSize;
  /** Where the network's input starts in the resized part. */
  readonly crop: { readonly left: number; readonly top: number };
}

/**
 * A long thin photo is cut before it is enlarged. If the short side of 1×20000 pixels becomes 256, the long side
 * becomes 5 million, and libvips holds them all in memory if the photo is rotated. Shrinking never takes more memory
 * than the photo. The part that is kept is `ENLARGED_MARGIN` times as long as the crop, so rounding it to whole pixels
 * moves no pixel of the input by more than 1/16.
 */
function cutBeforeEnlarging({ photo, resized, crop }: InputPlan): Cut | undefined {
  const x = cutAxis(photo.width, resized.width, crop.left, crop.width);
  const y = cutAxis(photo.height, resized.height, crop.top, crop.height);
  if (x.length === photo.width && y.length === photo.height) return undefined;
  return {
    photo: { left: x.start, top: y.start, width: x.length, height: y.length },
    resized: { width: x.resized, height: y.resized },
    crop: { left: x.crop, top: y.crop },
  };
}

function cutAxis(
  photo: number,
  resized: number,
  cropStart: number,
  cropLength: number,
): { start: number; length: number; resized: number; crop: number } {
  const factor = resized / photo;
  if (factor <= 1 || resized <= 2 * ENLARGED_MARGIN * cropLength) {
    return { start: 0, length: photo, resized, crop: cropStart };
  }
  const length = Math.min(photo, Math.ceil((ENLARGED_MARGIN * cropLength) / factor) + 2);
  const centre = (cropStart + cropLength / 2) / factor;
  const start = Math.min(Math.max(0, Math.round(centre - length / 2)), photo - length);
  return {
    start,
    length,
    resized: Math.round(length * factor),
    crop: Math.min(Math.max(0, Math.round(cropStart - start * factor)), Math.round(length * factor) - cropLength),
  };
}
