/**
 * The only file that imports and configures sharp (libvips). Other files may count on this:
 *
 * - libvips has exactly the loaders of the six accepted formats; SVG, UltraHDR gain maps, Matrix, CSV, … are blocked.
 *   So no other parser ever sees a stranger's bytes, whatever image-format.ts lets through.
 * - No operation cache: each image is seen once, so a cache would only hold memory.
 * - One libvips thread for each image: images are decoded side by side (limit: `decoders`), which keeps the cores busy
 *   with less overhead than threads inside one image.
 */
import sharp, { type Sharp } from 'sharp';

sharp.cache(false);
sharp.concurrency(1);
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: [
    'VipsForeignLoadJpeg',
    'VipsForeignLoadPng',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadHeif',
    'VipsForeignLoadTiff',
  ],
});

/** What damage makes reading fail, from little to much. */
export type FailOn = 'truncated' | 'error' | 'warning';

export interface OpenOptions {
  /** Reading fails if the image has more. */
  readonly maxPixels: number | false;
  readonly failOn?: FailOn;
  /** Take the colours for sRGB, whatever profile the file has. */
  readonly ignoreProfile?: boolean;
  /** Take the pixels as they are stored, whatever orientation the file has. */
  readonly ignoreOrientation?: boolean;
}

/**
 * Encoded bytes as a lazy image: the first frame, upright. `bytes` must not change until the image has been read.
 *
 * `failOn: 'truncated'` refuses an image whose end is missing: libvips would fill the rest with grey or black, and the
 * network would silently classify that. The next stricter level, `error`, is not used: damage that loses few pixels or
 * none (stray bytes between JPEG segments, a bad checksum in a PNG's text) is common in real collections, and other
 * decoders accept it. A JPEG that lacks only its end marker is refused too, because libjpeg cannot tell it from one
 * that lacks its last rows.
 */
export function openImage(
  bytes: Uint8Array,
  { maxPixels, failOn = 'truncated', ignoreProfile = false, ignoreOrientation = false }: OpenOptions,
): Sharp {
  const autoOrient = !ignoreOrientation;
  return sharp(bytes, { failOn, autoOrient, limitInputPixels: maxPixels, ignoreIcc: ignoreProfile });
}

/** Raw pixels `[height, width, channels]`, 8 or 16 bits by the array's type, as a lazy image. Read when awaited. */
export function openPixels(
  pixels: Uint8Array | Uint16Array,
  layout: { readonly width: number; readonly height: number; readonly channels: 1 | 3 },
): Sharp {
  return sharp(pixels, { raw: layout, limitInputPixels: false });
}

/**
 * A line of text, white on black, in the machine's sans serif font at a size of `pixels`. The image is as wide and high
 * as the ink. The text is escaped, because Pango reads markup.
 */
export function openText(text: string, pixels: number): Sharp {
  const escaped = text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\p{Cc}/gu, ' ');
  return sharp({ text: { text: escaped, font: `sans ${pixels}`, dpi: 72 } });
}
