/**
 * What can be known of an image before a pixel is allocated: its format, its upright size, and what its decode costs.
 * Images we will not decode are refused here. The check takes milliseconds, whatever the image claims to be, so a
 * decompression bomb costs no more than a photo.
 *
 * Only the first frame or page of an image is ever decoded; its size is the one that counts. Pure TypeScript on the
 * encoded bytes: a process that reads headers needs no native code. The parsers (headers/) give what libvips gives; a
 * test compares them. They are our own because image-size and probe-image-size know sizes and some orientations, but
 * not depth, scans, tiles, alpha planes or libvips' idea of a GIF's screen, and the cost of a decode follows from
 * those.
 */
import { ServiceError } from '../errors.js';
import type { PixelSize } from '../maps/input-plan.js';
import { checkHeaderCost, type DecodeLimits } from './decode-cost.js';
import { readAvif } from './headers/avif.js';
import { BrokenHeaderError, UnsupportedImageError } from './headers/fields.js';
import { readGif } from './headers/gif.js';
import { readJpeg } from './headers/jpeg.js';
import { readPng } from './headers/png.js';
import { simpleImage, type ImageHeader, type StoredImage } from './headers/stored-image.js';
import { readTiff } from './headers/tiff.js';
import { readWebp } from './headers/webp.js';
import { sniffFormat, type ImageFormat } from './image-format.js';

export type { ImageFormat, ImageHeader };

export interface HeaderLimits extends DecodeLimits {
  readonly maxPixels: number;
}

const READERS: Readonly<Record<ImageFormat, (bytes: Uint8Array) => StoredImage>> = {
  jpeg: readJpeg,
  png: readPng,
  webp: readWebp,
  gif: readGif,
  avif: readAvif,
  tiff: readTiff,
};

/** Formats as people write them. */
const NAMES: Readonly<Record<ImageFormat, string>> = {
  jpeg: 'JPEG',
  png: 'PNG',
  webp: 'WebP',
  gif: 'GIF',
  avif: 'AVIF',
  tiff: 'TIFF',
};

/**
 * Read the header of an encoded image, before this returns. Rejects with UNSUPPORTED_MEDIA_TYPE (not one of the six
 * formats), IMAGE_UNDECODABLE (empty, or the header is broken) or IMAGE_TOO_LARGE (more than `maxPixels`, or a decode
 * beyond the other limits).
 */
export function readImageHeader(bytes: Uint8Array, limits: HeaderLimits): Promise<ImageHeader> {
  return new Promise((resolve) => resolve(headerOf(bytes, limits)));
}

function headerOf(bytes: Uint8Array, limits: HeaderLimits): ImageHeader {
  if (bytes.length === 0) throw new ServiceError('IMAGE_UNDECODABLE', 'The image is empty.');
  const sniffed = sniffFormat(bytes);
  if (!sniffed.accepted) {
    const found = sniffed.name === undefined ? 'The format is not recognized' : `This is ${sniffed.name}`;
    throw new ServiceError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${found}; an image must be a JPEG, PNG, WebP, GIF, AVIF or TIFF file.`,
    );
  }
  const header = upright(readStored(bytes, sniffed.format), bytes.length);
  checkPixels(header, limits);
  checkHeaderCost(header, limits);
  return header;
}

/** The header of pixels that are no file, 8-bit sRGB `[height, width, 3]`. Throws IMAGE_TOO_LARGE. */
export function headerOfPixels(size: PixelSize, limits: HeaderLimits): ImageHeader {
  const { width, height } = size;
  const stored = simpleImage({ format: 'pixels', stored: { width, height }, channels: 3, compressed: false });
  checkPixels(size, limits);
  return upright(stored, 3 * width * height);
}

function checkPixels({ width, height }: PixelSize, limits: HeaderLimits): void {
  if (width * height > limits.maxPixels) {
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `The image has ${width}×${height} = ${width * height} pixels; the limit is ${limits.maxPixels}.`,
      { limit: { name: 'image_pixels', value: limits.maxPixels, needed: width * height } },
    );
  }
}

function readStored(bytes: Uint8Array, format: ImageFormat): StoredImage {
  try {
    return READERS[format](bytes);
  } catch (cause) {
    if (cause instanceof UnsupportedImageError) throw new ServiceError('IMAGE_UNDECODABLE', cause.message, { cause });
    if (!(cause instanceof BrokenHeaderError)) throw cause;
    throw new ServiceError(
      'IMAGE_UNDECODABLE',
      `The header of the ${NAMES[format]} file is broken: it ${cause.message}.`,
      {
        cause,
      },
    );
  }
}

function upright(image: StoredImage, encodedBytes: number): ImageHeader {
  const { width, height } = image.stored;
  const [across, down] = image.orientation >= 5 ? [height, width] : [width, height];
  return { ...image, width: across, height: down, encodedBytes };
}
