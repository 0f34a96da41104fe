/**
 * Encoded bytes to pixels: 8-bit sRGB, upright, first frame, alpha blended over a background. Hides what kinds of pixels
 * files hold (grey, CMYK, palette, 1-bit, 16-bit, with or without a colour profile) and how libvips is made to give the
 * planned size exactly. Headers are read, and limits checked, before (image-header.ts). A file that is broken further on
 * fails here with IMAGE_UNDECODABLE, as does one of which libvips reads another size or depth than the header that was
 * planned and paid for.
 *
 * Resampling is libvips': antialiased when shrinking, as Pillow's and torchvision's, after an integer box filter where
 * the factor is above 2. Shrink-on-load (libjpeg's scaled DCT) leaves at least a factor of 2 to the real kernel: for 12
 * megapixels to 224² this takes 18 ms where none takes 34, at a mean difference of 0.5 grey levels; all that libjpeg
 * could do takes 16 ms at 0.9 (2 vCPU, one thread).
 */
import type { Sharp } from 'sharp';
import { ServiceError } from '../errors.js';
import type { ImageHeader } from './image-header.js';
import { openImage } from './image-library.js';
import type { InputPlan, PixelRectangle, PixelSize } from '../maps/input-plan.js';

/** 8-bit sRGB. */
export interface Background {
  readonly r: number;
  readonly g: number;
  readonly b: number;
}

export type Interpolation = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos3';

/** A decoded photo. `pixels` is `[height, width, 3]`. */
export interface Photo {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** libvips' names; its cubic is Catmull-Rom (a = −½), as Pillow's. */
const KERNELS = { nearest: 'nearest', bilinear: 'linear', bicubic: 'cubic', lanczos3: 'lanczos3' } as const;

/** An enlargement is computed for at most this many times the crop's length, see `cutBeforeEnlarging`. */
const ENLARGED_MARGIN = 8;

/**
 * Decode the network's input: `[plan.crop.height, plan.crop.width, 3]`. The caller owns the buffer, which cannot be
 * transferred. `header` and `plan.photo` must be of these bytes. Throws IMAGE_UNDECODABLE.
 */
export async function decodeInput(
  bytes: Uint8Array,
  header: ImageHeader,
  plan: InputPlan,
  { interpolation, background }: { readonly interpolation: Interpolation; readonly background: Background },
): Promise<Uint8Array> {
  const { photo, crop } = plan;
  const image = await openInSrgb(bytes, header);
  const cut = cutBeforeEnlarging(plan);
  if (cut !== undefined) image.extract(cut.photo);
  const resized = cut?.resized ?? plan.resized;
  if (cut !== undefined || resized.width !== photo.width || resized.height !== photo.height) {
    const kernel = KERNELS[interpolation];
    image.resize({ ...resized, fit: 'fill', kernel, fastShrinkOnLoad: false });
  }
  const { left, top } = cut?.crop ?? crop;
  image.extract({ left, top, width: crop.width, height: crop.height });
  return (await readPixels(image, background, crop)).pixels;
}

/**
 * Decode the photo itself, to be drawn over, at `size` where given. The caller owns the buffer, which cannot be
 * transferred. Throws IMAGE_UNDECODABLE.
 */
export async function decodePhoto(
  bytes: Uint8Array,
  header: ImageHeader,
  { background, size: { width, height } = header }: { readonly background: Background; readonly size?: PixelSize },
): Promise<Photo> {
  const image = await openInSrgb(bytes, header);
  if (width !== header.width || height !== header.height)
    image.resize({ width, height, fit: 'fill', kernel: 'cubic', fastShrinkOnLoad: false });
  return readPixels(image, background, { width, height });
}

/**
 * The image, to be worked on in sRGB. sharp brings colours with a profile to sRGB by itself, but 16-bit ones to
 * Display P3, which then pass for sRGB: pure red became (234, 51, 34). Those are brought to 8 bits first.
 */
async function openInSrgb(bytes: Uint8Array, header: ImageHeader): Promise<Sharp> {
  const image = openImage(bytes, header.width * header.height);
  await checkSeen(image, header);
  return header.deep ? image.pipelineColourspace('srgb') : image;
}

/** Hold the header against what libvips reads, before it decodes. Throws IMAGE_UNDECODABLE where they differ. */
async function checkSeen(image: Sharp, header: ImageHeader): Promise<void> {
  const { autoOrient: seen, depth } = await image.metadata().catch(asUndecodable);
  const isDeep = depth !== 'uchar';
  if (seen.width === header.width && seen.height === header.height && isDeep === header.deep) return;
  throw new ServiceError(
    'IMAGE_UNDECODABLE',
    `The file's header says ${describe(header, header.deep)}, its decoder finds ${describe(seen, isDeep)}.`,
  );
}

function describe({ width, height }: PixelSize, isDeep: boolean): string {
  return `${width}×${height} pixels of ${isDeep ? 'more than 8' : '8'} bits a sample`;
}

function asUndecodable(cause: unknown): never {
  throw new ServiceError('IMAGE_UNDECODABLE', 'The image is damaged or truncated.', { cause });
}

/**
 * Not with toUint8Array: in sharp 0.35.5 each call leaks the pixels (a server lost 30 kB an image), and it copies them on
 * the main thread.
 */
async function readPixels(image: Sharp, background: Background, { width, height }: PixelSize): Promise<Photo> {
  const rgb = image.flatten({ background }).toColourspace('srgb').raw();
  const { data, info } = await rgb.toBuffer({ resolveWithObject: true }).catch(asUndecodable);
  if (info.channels !== 3) {
    throw new ServiceError('IMAGE_UNDECODABLE', `The image has ${info.channels} channels that are not colours.`);
  }
  if (info.width !== width || info.height !== height) {
    throw new Error(`planned ${width}×${height} pixels, decoded ${info.width}×${info.height}`);
  }
  return { pixels: data, width, height };
}

interface Cut {
  /** The part of the photo to resize. */
  readonly photo: PixelRectangle;
  /** What it is resized to. */
  readonly resized: PixelSize;
  /** The input in it. */
  readonly crop: { readonly left: number; readonly top: number };
}

/**
 * A long thin photo is cut before it is enlarged: the short side of 1×20000 pixels at 256 makes the long one 5 million,
 * which libvips holds in memory where the photo is rotated. Shrinking needs no such care, it never takes more than the
 * photo. What is kept is `ENLARGED_MARGIN` times as long as the crop, so that rounding it to whole pixels moves no
 * pixel of the input by more than 1/16.
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
