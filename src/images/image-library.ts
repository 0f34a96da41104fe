/**
 * The only file that imports and configures sharp (libvips). What the rest may count on:
 *
 * - libvips has exactly the loaders of the six accepted formats; SVG, UltraHDR gain maps, Matrix, CSV, … are blocked,
 *   so that nothing but those parsers ever sees a stranger's bytes, whatever image-format.ts lets through.
 * - No operation cache: each image is seen once, the cache would only hold memory.
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

/**
 * Encoded bytes as a lazy image: the first frame, upright. `bytes` must stay as they are until the result is awaited.
 * An image of more than `maxPixels` fails when it is read.
 *
 * `failOn: 'truncated'`: an image whose end is missing is refused, because libvips would fill the rest with grey or
 * black and the network would classify that in silence. The next stricter level, `error`, is not asked for: damage that
 * loses no pixels or few (stray bytes between JPEG segments, a bad checksum in a PNG's text) is common in real
 * collections and other decoders take it too. A JPEG that lacks nothing but its end marker is refused as well:
 * libjpeg cannot tell it from one that lacks its last rows.
 */
export function openImage(bytes: Uint8Array, maxPixels: number | false): Sharp {
  return sharp(bytes, { failOn: 'truncated', autoOrient: true, limitInputPixels: maxPixels });
}

/** Raw pixels `[height, width, channels]`, 8 or 16 bits by the array's type, as a lazy image. Read when awaited. */
export function openPixels(
  pixels: Uint8Array | Uint16Array,
  layout: { readonly width: number; readonly height: number; readonly channels: 1 | 3 },
): Sharp {
  return sharp(pixels, { raw: layout, limitInputPixels: false });
}

/**
 * A line of text, white on black, letters of `pixels` size, in the machine's sans serif font; as wide and high as its ink.
 * Pango takes markup; the text is escaped.
 */
export function openText(text: string, pixels: number): Sharp {
  const escaped = text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`).replace(/\p{Cc}/gu, ' ');
  return sharp({ text: { text: escaped, font: `sans ${pixels}`, dpi: 72 } });
}
