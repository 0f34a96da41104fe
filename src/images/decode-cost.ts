/**
 * What one decode costs at its peak, from the header alone: memory beyond the encoded bytes, and processor time on one
 * core. Pure. Upper estimates, fitted to measurements (`npm run load:decode`, load/results/README.md) of libvips in
 * sharp 0.35 on one core of an Intel Xeon with AMX. They follow from how libvips decodes:
 *
 * - JPEG, PNG and TIFF come line by line, in little memory, and JPEG shrunk by libjpeg where much is thrown away.
 * - WebP, AVIF, GIF, interlaced PNG and progressive JPEG are held as a whole, whatever is made of them.
 * - A photo that EXIF turns is held as a whole too, and before it is shrunk where anything is cut out of it.
 *
 * A hostile file can take more time than its format's usual one, within some factor. It cannot take much more memory.
 */
import { ServiceError } from '../errors.js';
import type { InputPlan, PixelSize } from '../maps/input-plan.js';
import { isConvertedLast, type ImageHeader } from './headers/stored-image.js';

export interface DecodeCost {
  /** At the peak, beyond the encoded bytes, the result included. */
  readonly bytes: number;
  /** Of one core. */
  readonly seconds: number;
}

export interface DecodeLimits {
  /** Of one decode. Left out: no limit. */
  readonly maxDecodeSeconds?: number;
  readonly maxDecodeBytes?: number;
}

/** Encoders write up to some 20 scans, libtiff takes no more than 100 either. */
const MAX_SCANS = 100;

/** Of decodeInput (decode.ts). */
export function inputDecodeCost(header: ImageHeader, { photo, resized, crop }: InputPlan): DecodeCost {
  const isResized = resized.width !== photo.width || resized.height !== photo.height;
  if (header.format === 'pixels' && !isResized) return { bytes: 0, seconds: 0 };
  return costOf(header, { output: crop, resized: isResized ? resized : undefined, isCut: true });
}

/** Of decodePhoto (decode.ts). */
export function photoDecodeCost(header: ImageHeader, size: PixelSize = header): DecodeCost {
  const isResized = size.width !== header.width || size.height !== header.height;
  return costOf(header, { output: size, resized: isResized ? size : undefined, isCut: false });
}

/** What no plan can make cheaper: a decode of which next to nothing is kept. */
function leastDecodeCost(header: ImageHeader): DecodeCost {
  const nothing = { width: 1, height: 1 };
  return costOf(header, { output: nothing, resized: nothing, isCut: true });
}

/**
 * Refuse an image that costs too much whatever is made of it. Throws IMAGE_TOO_LARGE, with the limit and what the image
 * would take.
 */
export function checkHeaderCost(header: ImageHeader, limits: DecodeLimits): void {
  if (header.scans > MAX_SCANS) {
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `The image has at least ${header.scans} scans, each a pass over the whole picture; the limit is ${MAX_SCANS}.`,
      { limit: { name: 'image_scans', value: MAX_SCANS, needed: header.scans } },
    );
  }
  checkDecodeCost(leastDecodeCost(header), limits);
}

/** Throws IMAGE_TOO_LARGE, with the limit and what the decode would take. */
export function checkDecodeCost({ bytes, seconds }: DecodeCost, limits: DecodeLimits): void {
  const { maxDecodeSeconds = Infinity, maxDecodeBytes = Infinity } = limits;
  if (seconds > maxDecodeSeconds) {
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `Decoding the image would take about ${figure(seconds)} s of a processor core; the limit is ${figure(maxDecodeSeconds)} s.`,
      { limit: { name: 'decode_seconds', value: maxDecodeSeconds, needed: seconds } },
    );
  }
  if (bytes > maxDecodeBytes) {
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `Decoding the image would take about ${megabytes(bytes)} MB of memory; the limit is ${megabytes(maxDecodeBytes)} MB.`,
      { limit: { name: 'decode_bytes', value: maxDecodeBytes, needed: Math.ceil(bytes) } },
    );
  }
}

function figure(seconds: number): string {
  return String(seconds < 10 ? Number(seconds.toPrecision(2)) : Math.round(seconds));
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

/** What a decode makes, as decode.ts asks sharp for it. */
interface Product {
  readonly output: PixelSize;
  /** The photo's size before it is cut; undefined where it keeps its own. */
  readonly resized: PixelSize | undefined;
  /** sharp turns a photo that is cut before it does anything else, and then has libjpeg shrink nothing. */
  readonly isCut: boolean;
}

const MB = 1e6;
const NS = 1e-9;

function costOf(header: ImageHeader, product: Product): DecodeCost {
  const { stored, channels, bytesPerSample, orientation } = header;
  const isTurned = orientation > 1;
  const shrink = isTurned && product.isCut ? 1 : shrinkOnLoad(header, product);
  const pixels = pixelsOf(stored);
  const loaded = pixels / shrink ** 2;
  const output = pixelsOf(product.output) * 3;
  const pixelBytes = channels * bytesPerSample;
  const isWhole = product.isCut || product.resized === undefined || header.hasSurplus;
  const turned = !isTurned ? 0 : isWhole ? pixels * pixelBytes : output;
  const lines = lineBytes(stored.width / shrink, pixelBytes, product.resized !== undefined);
  return {
    bytes: lines + turned + codecBytes(header, output) + metadataMemory(header),
    seconds:
      FIXED_SECONDS +
      profileSeconds(header, loaded, product) +
      codecSeconds(header, shrink) +
      loaded * (pixelNs(header, product) + (header.hasSurplus ? RAW_NS : 0)) * NS +
      (turned / 3) * TURN_NS * NS +
      HEADER_READS * headerSeconds(header),
  };
}

function pixelsOf({ width, height }: PixelSize): number {
  return width * height;
}

/** How much smaller libjpeg makes a JPEG's sides: as sharp chooses it, leaving a factor of two to the kernel. */
function shrinkOnLoad({ format, width, height }: ImageHeader, { resized }: Product): 1 | 2 | 4 | 8 {
  if (format !== 'jpeg' || resized === undefined) return 1;
  const factor = Math.min(width / resized.width, height / resized.height);
  return factor >= 16 ? 8 : factor >= 8 ? 4 : factor >= 4 ? 2 : 1;
}

/**
 * Lines that stages of the pipeline hold, for each pixel of the width: those of the shrink and of its kernel, and of
 * the conversions. Fitted at widths of 900 to 50,000.
 */
function lineBytes(width: number, pixelBytes: number, isResized: boolean): number {
  return 4 * MB + width * (isResized ? 3300 + 650 * pixelBytes : 1000 + 550 * pixelBytes);
}

/** What a format's decoder holds, and the decoded photo. */
function codecBytes(header: ImageHeader, output: number): number {
  const { format, channels, bytesPerSample, codedSamples, encodedBytes, frames } = header;
  const pixels = pixelsOf(header.stored);
  switch (format) {
    case 'jpeg':
      // Coefficients of 16 bits.
      return output + (header.progressive ? 2 * codedSamples : 0);
    case 'png':
      return output + (header.progressive ? pixels * channels * bytesPerSample : 0);
    case 'webp':
      // RGBA twice, the canvas and the frame. The frame is free before the output is made; malloc keeps small ones, and
      // the canvas that libvips makes when it only reads the header.
      return Math.max(8 * pixels + Math.min(output, 16 * MB), 4 * pixels + output) + Math.min(4 * pixels, 32 * MB);
    case 'gif':
      // The canvas, and where a frame is put over a background, that.
      return output + (header.frame === undefined ? 4 : 7) * pixels;
    case 'avif':
      // Planes of 16 bits in the codec and in libheif, RGB of libheif's; then planes that are larger than the picture.
      // Of a sequence a copy is decoded.
      return (
        Math.max(20.6 * pixels, 6 * pixels + output) +
        12 * Math.max(0, codedSamples - 4 * pixels) +
        (frames > 1 ? 2 : 1) * encodedBytes
      );
    case 'pixels':
      return output;
    case 'tiff':
      return output + header.heldBytes + (header.hasSurplus ? 3 * pixels : 0);
  }
}

/** libpng inflates texts one by one, and keeps little of those that are too long. */
const MAX_METADATA_MEMORY = 170 * MB;
const FRAME_BYTES = 80;

function metadataMemory({ metadataBytes, frames }: ImageHeader): number {
  return Math.min(2 * metadataBytes, MAX_METADATA_MEMORY) + frames * FRAME_BYTES;
}

const FIXED_SECONDS = 0.003;
/** Transforms made ready. */
const PROFILE_SECONDS = 0.02;
const TURN_NS = 8;
/** Pixels that are decoded to memory first, and read from there. */
const RAW_NS = 6;
/** decode.ts holds what libvips reads against the header before it decodes. */
const HEADER_READS = 2;
const INFLATE_NS = 4;
/** A directory of a TIFF, a frame of a GIF or a WebP: all are listed before the first is decoded. */
const PAGE_SECONDS = 30e-6;
const FRAME_SECONDS = 0.5e-6;

/** What libvips does before it knows an image's size. */
function headerSeconds({ format, metadataBytes, frames }: ImageHeader): number {
  return metadataBytes * INFLATE_NS * NS + frames * (format === 'tiff' ? PAGE_SECONDS : FRAME_SECONDS);
}

function codecSeconds(header: ImageHeader, shrink: number): number {
  const { format, codedSamples, encodedBytes, scans, channels, bytesPerSample } = header;
  const pixels = pixelsOf(header.stored);
  switch (format) {
    case 'jpeg': {
      if (!header.progressive) return NS * (10 * encodedBytes + (shrink > 1 ? 1.2 : 3.5) * codedSamples);
      return NS * (36 * encodedBytes + (6 + SCAN_NS * scans) * codedSamples);
    }
    case 'png':
      return NS * (3.5 * encodedBytes + 5 * pixels * channels * bytesPerSample + (header.progressive ? 6 * pixels : 0));
    case 'webp':
      if (header.lossless) return NS * (25 * encodedBytes + 18 * pixels);
      return NS * (60 * encodedBytes + 27 * pixels + (channels > 3 ? 12 * pixels : 0));
    case 'gif':
      return NS * (6 * encodedBytes + (header.frame === undefined ? 13 : 20) * pixels);
    case 'avif':
      return NS * (270 * encodedBytes + (header.deep ? 40 : 28) * codedSamples) + header.tiles * AVIF_TILE_SECONDS;
    case 'pixels':
      return 0;
    case 'tiff': {
      if (!header.compressed) return NS * 0.5 * pixels * channels * bytesPerSample;
      return (
        NS * (4 * encodedBytes + (5 * bytesPerSample + SCAN_NS * (scans - 1)) * codedSamples) +
        header.tiles * TIFF_TILE_SECONDS
      );
    }
  }
}

/** Of an empty scan, for each coefficient. */
const SCAN_NS = 0.25;
/** To make a decoder ready. */
const AVIF_TILE_SECONDS = 2e-3;
const TIFF_TILE_SECONDS = 5e-6;

/** To sRGB, of 8 bits, by libvips. */
const TRANSFORM_NS = { plain: 0, srgb: 0, matrix: 16, profile: 16, cmyk: 90 } as const;
/** By matrix-colours.ts, of the pixels that are made. */
const CONVERSION_NS = 12;
const CONVERSION_SECONDS = 0.0002;

function profileSeconds(header: ImageHeader, loaded: number, { output }: Product): number {
  const { colours, deep } = header;
  if (isConvertedLast(header)) return CONVERSION_SECONDS + pixelsOf(output) * CONVERSION_NS * NS;
  const transform = TRANSFORM_NS[colours];
  const isLong = deep && colours !== 'cmyk';
  return transform === 0 ? 0 : PROFILE_SECONDS + loaded * transform * (isLong ? 2.5 : 1) * NS;
}

/** What else happens to each decoded pixel. */
function pixelNs({ colours, channels, deep }: ImageHeader, { resized }: Product): number {
  const hasAlpha = colours !== 'cmyk' && (channels === 2 || channels === 4);
  return (resized === undefined ? 4 : 6) + (hasAlpha ? (resized === undefined ? 6 : 10) : 0) + (deep ? 4 : 0);
}
