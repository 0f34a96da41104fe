/**
 * Reads an image's format and upright size before a pixel is allocated. Images we will not decode are refused here. The
 * check takes less than a millisecond, whatever the image claims to be, so a decompression bomb costs no more than a
 * photo.
 *
 * Only the first frame or page of an image is ever decoded, so only its size counts.
 */
import { ServiceError } from '../errors.js';
import { sniffFormat, type ImageFormat } from './image-format.js';
import { openImage } from './image-library.js';

export type { ImageFormat };

export interface ImageHeader {
  readonly format: ImageFormat;
  /** Pixels of the first frame after its EXIF orientation is applied, as a viewer shows it. */
  readonly width: number;
  readonly height: number;
  /** Whether its samples have more than 8 bits. */
  readonly deep: boolean;
}

/**
 * Read the header of an encoded image. Throws UNSUPPORTED_MEDIA_TYPE (not one of the six formats), IMAGE_UNDECODABLE
 * (empty, or the header is broken) or IMAGE_TOO_LARGE (more than `maxPixels`).
 */
export async function readImageHeader(
  bytes: Uint8Array,
  { maxPixels }: { readonly maxPixels: number },
): Promise<ImageHeader> {
  if (bytes.length === 0) throw new ServiceError('IMAGE_UNDECODABLE', 'The image is empty.');
  const sniffed = sniffFormat(bytes);
  if (!sniffed.accepted) {
    const found = sniffed.name === undefined ? 'The format is not recognized' : `This is ${sniffed.name}`;
    throw new ServiceError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${found}; an image must be a JPEG, PNG, WebP, GIF, AVIF or TIFF file.`,
    );
  }
  const { format } = sniffed;
  const metadata = await openImage(bytes, false)
    .metadata()
    .catch((error: unknown) => {
      throw new ServiceError('IMAGE_UNDECODABLE', `The header of the ${format} file is broken.`, {
        cause: error,
      });
    });
  const { width, height } = metadata.autoOrient;
  if (width * height > maxPixels) {
    throw new ServiceError(
      'IMAGE_TOO_LARGE',
      `The image has ${width}×${height} = ${width * height} pixels; the limit is ${maxPixels}.`,
    );
  }
  return { format, width, height, deep: metadata.depth !== 'uchar' };
}
