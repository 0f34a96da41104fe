/**
 * Pictures: 8-bit RGB in memory, painted in place, encoded at the end. Pango, in libvips, sets text with the machine's
 * fonts. If the machine has none, no text is written: Pango would draw a box for each letter.
 */
import { openPixels, openText } from '../images/image-library.js';
import type { PixelSize } from '../maps/input-plan.js';
import type { PictureFormat } from './words.js';

/** `pixels` is `[height, width, 3]`. */
export interface Canvas extends PixelSize {
  readonly pixels: Uint8Array;
}

/**
 * Level 2 with adaptive filters, by measurement (libvips with zlib-ng, one thread, 2 vCPU). An overlay of 12 megapixels
 * takes 425 ms and 12.6 MB; level 1 takes 340 ms and 18 MB, level 6 takes 980 ms and 11.2 MB, level 6 without filters
 * takes 420 ms and 23.5 MB. An overlay of 500×375 takes 11 ms and 420 kB.
 */
export const PNG = { compressionLevel: 2, adaptiveFiltering: true };
const WEBP = { quality: 85, effort: 2 };
const AVIF = { quality: 65, effort: 2 };

/** Encode a picture. With `exact` a lossy format keeps every pixel's value. */
export function encodeCanvas({ pixels, width, height }: Canvas, format: PictureFormat, exact = false): Promise<Buffer> {
  const image = openPixels(pixels, { width, height, channels: 3 });
  switch (format) {
    case 'png':
      return image.png(PNG).toBuffer();
    case 'webp':
      return image.webp(exact ? { lossless: true, effort: WEBP.effort } : WEBP).toBuffer();
    case 'avif':
      return image.avif(exact ? { lossless: true, effort: AVIF.effort } : AVIF).toBuffer();
  }
}

export type Color = readonly [red: number, green: number, blue: number];

/** A canvas of one colour. */
export function blankCanvas({ width, height }: PixelSize, color: Color): Canvas {
  const canvas = { width, height, pixels: Buffer.allocUnsafe(width * height * 3) };
  canvas.pixels.fill(Uint8Array.from(color));
  return canvas;
}

/** Copy a canvas into another, which must have room for it at (left, top). */
export function paste(onto: Canvas, { pixels, width, height }: Canvas, left: number, top: number): void {
  for (let y = 0; y < height; y++) {
    onto.pixels.set(pixels.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * onto.width + left) * 3);
  }
}

export interface TextStyle {
  /** Of the letters, in pixels. */
  readonly size: number;
  readonly color: Color;
  /** Longer text is cut, and ends in an ellipsis. */
  readonly maxWidth: number;
  /** Which point of the text is at x. */
  readonly anchor: 'start' | 'middle' | 'end';
}

/** Write a line of text, vertically centred at y. Does nothing on a machine without fonts. */
export async function writeText(
  canvas: Canvas,
  text: string,
  { x, y }: { readonly x: number; readonly y: number },
  { size, color, maxWidth, anchor }: TextStyle,
): Promise<void> {
  if (!(await hasFonts())) return;
  // libvips refuses a text that leaves no ink, such as a space.
  const ink = await inkOf(text, size, maxWidth).catch(() => undefined);
  if (ink === undefined) return;
  const shift = { start: 0, middle: 0.5, end: 1 }[anchor] * ink.width;
  const left = Math.round(Math.min(Math.max(x - shift, 0), Math.max(0, canvas.width - ink.width)));
  const top = Math.round(y - ink.height / 2);
  for (let row = 0; row < ink.height; row++) {
    for (let column = 0; column < ink.width; column++) {
      const [toX, toY] = [left + column, top + row];
      if (toX >= canvas.width || toY < 0 || toY >= canvas.height) continue;
      const weight = ink.values[row * ink.width + column]! / 255;
      const at = (toY * canvas.width + toX) * 3;
      color.forEach((channel, k) => (canvas.pixels[at + k]! += weight * (channel - canvas.pixels[at + k]!)));
    }
  }
}

/** How much of each pixel a text covers, 0 to 255, `[height, width]`. */
interface Ink extends PixelSize {
  readonly values: Uint8Array;
}

/** Longer texts are cut before they are measured: nothing that wide is drawn. */
const MAX_LETTERS = 200;

async function inkOf(text: string, size: number, maxWidth: number): Promise<Ink> {
  let letters = Array.from(text).slice(0, MAX_LETTERS);
  let ink = await setText(letters.join(''), size);
  while (ink.width > maxWidth && letters.length > 1) {
    letters = letters.slice(0, Math.min(letters.length - 1, Math.floor((letters.length * maxWidth) / ink.width)));
    ink = await setText(`${letters.join('').trimEnd()}…`, size);
  }
  return ink;
}

/** The width of a line of text, in pixels. */
export async function textWidth(text: string, size: number): Promise<number> {
  return (await setText(text, size)).width;
}

async function setText(text: string, size: number): Promise<Ink> {
  const { data, info } = await openText(text, size).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
  return { values: data, width: info.width, height: info.height };
}

let fonts: Promise<boolean> | undefined;

/** Whether the machine has fonts: without one, narrow and wide letters are the same box. */
export function hasFonts(): Promise<boolean> {
  fonts ??= Promise.all(['iii', 'WWW'].map((text) => setText(text, 16)))
    .then(([narrow, wide]) => narrow!.width !== wide!.width)
    .catch(() => false);
  return fonts;
}
