/**
 * What a header parser gives: the first frame or page as the file stores it, and every fact that decides what its
 * decode costs (decode-cost.ts). Plain data. Numbers are the file's own claims: a decoder finds out whether they are
 * true.
 */
import type { PixelRectangle, PixelSize } from '../../maps/input-plan.js';
import type { ImageFormat } from '../image-format.js';

/** `pixels`: no file, but 8-bit sRGB `[height, width, 3]` as it is. No file is ever taken for that. */
export type StoredFormat = ImageFormat | 'pixels';

/**
 * How pixels become sRGB: as they are, `plain` without a profile and `srgb` with one that says just that; by the file's
 * colour profile, `matrix` if it is one that icc.ts reads; or from four inks, with or without a profile.
 */
export type Colours = 'plain' | 'srgb' | 'matrix' | 'profile' | 'cmyk';

export interface StoredImage {
  readonly format: StoredFormat;
  /** Pixels as stored, before the orientation is carried out. Both sides are at least 1. */
  readonly stored: PixelSize;
  /** How the decoder must turn it, as EXIF counts: 1 to 8. AVIF's own turns are part of `stored` already. */
  readonly orientation: number;
  /** Its samples have more than 8 bits. */
  readonly deep: boolean;
  /** Samples of a decoded pixel, alpha included. */
  readonly channels: number;
  /** Of a decoded sample. */
  readonly bytesPerSample: number;
  /** The decoder must hold all of it: progressive JPEG, interlaced PNG. */
  readonly progressive: boolean;
  /** Passes over the picture that the decoder makes: SOS markers of a JPEG, of thousands only some; 1 for the others. */
  readonly scans: number;
  /** Frames or pages of the file, of which the first is decoded. Counting stops at a bound of the parser, in an AVIF at two. */
  readonly frames: number;
  /** Pieces that are decoded one by one: AVIF images, TIFF tiles or strips. */
  readonly tiles: number;
  /**
   * Samples that the codec decodes, which may be more or fewer than the pixels: subsampled chroma of a JPEG,
   * overlapping tiles and the alpha plane of an AVIF, tiles over the edge of a TIFF.
   */
  readonly codedSamples: number;
  /** Bytes that the decoder holds because the file is cut that way: tiles or strips of a TIFF. */
  readonly heldBytes: number;
  /** WebP without loss: another codec, with other costs. */
  readonly lossless: boolean;
  /** False for pixels that are stored as they are (TIFF). */
  readonly compressed: boolean;
  readonly colours: Colours;
  /** Bytes that compressed texts and profiles beside the picture may grow to (PNG). */
  readonly metadataBytes: number;
  /** The pieces are tiles, not strips (TIFF). */
  readonly tiled: boolean;
  /** Where a first frame lies that leaves some of the picture uncovered; undefined where it covers all (GIF). */
  readonly frame: PixelRectangle | undefined;
  /** Samples behind the colours are no alpha, and are left out (TIFF). */
  readonly hasSurplus: boolean;
  /** Black is 16 and white 235, and the decoder gives those on (AVIF). */
  readonly limitedRange: boolean;
}

/** The same, upright. */
export interface ImageHeader extends StoredImage {
  /** Pixels of the first frame after its orientation, i.e. as a viewer shows it. */
  readonly width: number;
  readonly height: number;
  /** Of the encoded file. */
  readonly encodedBytes: number;
}

/**
 * Whether the colours are converted when all else is done, of fewer pixels (matrix-colours.ts): where nothing is made of
 * the pixels that would have to be made in sRGB, as blending is, and libvips has to bring nothing to 8 bits.
 */
export function isConvertedLast({ colours, channels, deep }: StoredImage): boolean {
  return colours === 'matrix' && channels === 3 && !deep;
}

/** The facts of the simplest file: one frame in one scan, decoded line by line. */
export function simpleImage(
  facts: Pick<StoredImage, 'format' | 'stored' | 'channels'> & Partial<StoredImage>,
): StoredImage {
  const { stored, channels } = facts;
  return {
    orientation: 1,
    deep: false,
    bytesPerSample: 1,
    progressive: false,
    scans: 1,
    frames: 1,
    tiles: 1,
    codedSamples: stored.width * stored.height * channels,
    heldBytes: 0,
    lossless: false,
    compressed: true,
    colours: 'plain',
    metadataBytes: 0,
    tiled: false,
    frame: undefined,
    hasSurplus: false,
    limitedRange: false,
    ...facts,
  };
}
