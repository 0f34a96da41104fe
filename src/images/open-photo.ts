/**
 * A photo as libvips opens it, told what it would otherwise get wrong. Hides where sharp and its libraries need help:
 *
 * - Colours are to become sRGB. sharp converts those with a profile to sRGB, but 16-bit ones to Display P3, which are
 *   then taken for sRGB: pure red became (234, 51, 34). And it leaves the profile of 16-bit grey out. So these are
 *   brought to 8 bits first. Four inks of 16 bits go by their profile as they are.
 * - A profile that says sRGB is ignored: its transform changes nothing, and takes more than the decode of a small JPEG.
 *   One of colorants and curves is ignored too, and carried out on the pixels that were made (matrix-colours.ts).
 * - Damaged strips and tiles of a TIFF are left black unless libtiff's own errors count.
 * - A sequence of AVIF images is not known to libvips by its brand.
 * - What the first frame of a GIF leaves uncovered is black.
 * - Any sample behind the colours is taken for alpha.
 *
 * What libvips reads of a file's header is held against our own. Throws IMAGE_UNDECODABLE where they differ. That takes
 * 0.2 ms, so an upright JPEG is excepted: libjpeg goes by the same markers as headers/jpeg.ts (a test compares them), has
 * no other depth than 8 bits, and `maxPixels` holds anyway.
 */
import type { Metadata, Sharp } from 'sharp';
import { ServiceError } from '../errors.js';
import type { PixelSize } from '../maps/input-plan.js';
import { asStill } from './headers/avif-brands.js';
import { readJpegFrame } from './headers/jpeg.js';
import { isConvertedLast } from './headers/stored-image.js';
import type { ImageHeader } from './image-header.js';
import { openImage, openPixels, type FailOn } from './image-library.js';
import { conversionFrom, type Conversion } from './matrix-colours.js';

/** 8-bit sRGB. */
export interface Background {
  readonly r: number;
  readonly g: number;
  readonly b: number;
}

export interface OpenPhoto {
  /** Upright, to be worked on. */
  readonly image: Sharp;
  /** Makes sRGB of the pixels that are read in the end; undefined where they are. */
  readonly conversion: Conversion | undefined;
}

/** `bytes` must not change until the photo has been read. */
export async function openPhoto(bytes: Uint8Array, header: ImageHeader, background: Background): Promise<OpenPhoto> {
  if (header.format === 'pixels') {
    return { image: openPixels(bytes, { ...header.stored, channels: 3 }), conversion: undefined };
  }
  const open = (ignoreProfile: boolean): Sharp =>
    openImage(header.format === 'avif' ? asStill(bytes) : bytes, {
      maxPixels: header.width * header.height,
      failOn: failOn(header),
      ignoreProfile,
      ignoreOrientation: isUprightJpeg(header),
    });
  const image = open(header.colours === 'srgb');
  const profile = isUprightJpeg(header) ? jpegProfile(bytes, header) : (await checkSeen(image, header)).icc;
  const conversion = profile !== undefined && isConvertedLast(header) ? conversionFrom(profile) : undefined;
  if (conversion !== undefined) return { image: open(true), conversion };
  return { image: await workedOn(image, header, background), conversion };
}

function jpegProfile(bytes: Uint8Array, { colours }: ImageHeader): Uint8Array | undefined {
  return colours === 'matrix' ? readJpegFrame(bytes).profile : undefined;
}

function isUprightJpeg({ format, orientation }: ImageHeader): boolean {
  return format === 'jpeg' && orientation === 1;
}

async function workedOn(image: Sharp, header: ImageHeader, background: Background): Promise<Sharp> {
  if (header.frame !== undefined) return fillCanvas(image, header, background);
  const space = workingSpace(header);
  if (space !== undefined) image.pipelineColourspace(space);
  return header.hasSurplus ? withoutSurplus(image) : image;
}

/**
 * The picture without samples that libvips would take for alpha. They have to go before anything is resized, because
 * sharp multiplies colours by alpha there.
 */
async function withoutSurplus(image: Sharp): Promise<Sharp> {
  return asRaw(image.removeAlpha());
}

/** Undefined: sharp's own choice. */
function workingSpace({ deep, colours, channels }: ImageHeader): 'srgb' | 'b-w' | undefined {
  if (!deep || colours === 'cmyk') return undefined;
  return channels <= 2 ? 'b-w' : 'srgb';
}

/**
 * Errors in a strip count from `error` on, in a tile from `warning` on. With strips `warning` would refuse every file with
 * a tag that libtiff does not know.
 */
function failOn({ format, tiled }: ImageHeader): FailOn {
  if (format !== 'tiff') return 'truncated';
  return tiled ? 'warning' : 'error';
}

/** The first frame of a GIF in its place, over the background. */
async function fillCanvas(image: Sharp, { stored, frame }: ImageHeader, background: Background): Promise<Sharp> {
  const { left, top, width, height } = frame!;
  const canvas = image
    .extract({ left, top, width, height })
    .flatten({ background })
    .extend({
      ...{ left, top, right: stored.width - left - width, bottom: stored.height - top - height },
      background,
    });
  return asRaw(canvas);
}

/** Decoded here, to be worked on from its pixels. */
async function asRaw(image: Sharp): Promise<Sharp> {
  const raw = image.toColourspace('srgb').raw();
  const { data, info } = await raw.toBuffer({ resolveWithObject: true }).catch(asUndecodable);
  if (info.channels !== 3) throw new Error(`a picture of ${info.channels} channels`);
  return openPixels(data, { width: info.width, height: info.height, channels: 3 });
}

/** Hold the header against what libvips reads, before it decodes. */
async function checkSeen(image: Sharp, header: ImageHeader): Promise<Metadata> {
  const metadata = await image.metadata().catch(asUndecodable);
  const { autoOrient: seen, depth } = metadata;
  const isDeep = depth !== 'uchar';
  if (seen.width === header.width && seen.height === header.height && isDeep === header.deep) return metadata;
  throw new ServiceError(
    'IMAGE_UNDECODABLE',
    `The file's header says ${describe(header, header.deep)}, its decoder finds ${describe(seen, isDeep)}.`,
  );
}

function describe({ width, height }: PixelSize, isDeep: boolean): string {
  return `${width}×${height} pixels of ${isDeep ? 'more than 8' : '8'} bits a sample`;
}

export function asUndecodable(cause: unknown): never {
  throw new ServiceError('IMAGE_UNDECODABLE', 'The image is damaged or truncated.', { cause });
}
