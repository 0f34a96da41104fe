/**
 * A picture planned from its photo's header: its size, and what drawing it takes at its peak. A picture that its format cannot
 * hold, or that takes too much, is refused before anything runs. Pure.
 *
 * The figures of encoders are upper estimates, fitted to measurements (`npm run load:decode -- --as overlay/avif`,
 * load/results/README.md) of libvips in sharp 0.35 on one core of an Intel Xeon with AMX. Memory follows from the pixels alone. The
 * time of WebP and AVIF is that of a grainy photograph; noise takes up to twice as long, and the deadline ends it.
 */
import { ServiceError, type ExceededLimit } from '../errors.js';
import { photoDecodeCost, type DecodeCost } from '../images/decode-cost.js';
import type { ImageHeader } from '../images/image-header.js';
import type { PixelSize } from '../maps/input-plan.js';
import { layOut, sizeOf, sizeWithLegend, type SheetLayout } from './layout.js';
import type { Drawn, DrawingStyle, LabelStyle } from './style.js';
import type { PictureFormat } from './words.js';

/** What a picture shows: `classes` maps, or a label map. */
export type Picture =
  | { readonly kind: 'heatmap'; readonly style: DrawingStyle; readonly classes: number }
  | { readonly kind: 'labels'; readonly style: LabelStyle };

export interface PicturePlan {
  /** Of what is drawn, or of each panel of a sheet, without a legend. */
  readonly size: PixelSize;
  readonly sheet: SheetLayout | undefined;
  /** Beyond the encoded photo and the maps, the encoded picture included. */
  readonly cost: DecodeCost;
}

export const SHEET_WIDTH = 1200;

/** Throws IMAGE_TOO_LARGE. */
export function planPicture(header: ImageHeader, picture: Picture, output: Drawn): PicturePlan {
  const { style } = picture;
  const sheet = picture.kind === 'heatmap' && style.render === 'sheet' ? sheetOf(header, picture) : undefined;
  const size = sheet?.panel ?? sizeAt(header, style.width);
  const hasLegend = sheet === undefined && picture.kind === 'heatmap' && picture.style.legend;
  checkSize(sheet === undefined ? size : sizeOf(sheet, widthOf(style)), output);
  if (hasLegend) checkLegend(size, output);
  const whole = sheet === undefined ? (hasLegend ? sizeWithLegend(size) : size) : sizeOf(sheet, widthOf(style));
  const canvases = [
    ...(sheet === undefined ? [size] : Array.from({ length: classesOf(picture) + 1 }, () => size)),
    ...(whole === size ? [] : [whole]),
  ];
  const cost = costOf(header, picture, { size, whole, canvases }, output.format);
  checkCost(cost, output);
  return { size, sheet, cost };
}

function classesOf(picture: Picture): number {
  return picture.kind === 'heatmap' ? picture.classes : 1;
}

function widthOf({ width = SHEET_WIDTH }: { readonly width?: number | undefined }): number {
  return width;
}

function sheetOf(photo: PixelSize, picture: Picture): SheetLayout {
  return layOut(classesOf(picture) + 1, photo, widthOf(picture.style));
}

/** The photo's size at a width, aspect kept. */
function sizeAt({ width, height }: PixelSize, wanted = width): PixelSize {
  return { width: wanted, height: Math.max(1, Math.round((height * wanted) / width)) };
}

/** What an encoder takes for each pixel: memory with the encoded picture in it, and time. `exact`: where it keeps every pixel. */
interface EncoderCost {
  readonly bytes: number;
  readonly ns: number;
}

const ENCODERS: Readonly<Record<PictureFormat, { readonly usual: EncoderCost; readonly exact: EncoderCost }>> = {
  png: { usual: { bytes: 5, ns: 160 }, exact: { bytes: 5, ns: 160 } },
  webp: { usual: { bytes: 7.5, ns: 100 }, exact: { bytes: 44, ns: 850 } },
  avif: { usual: { bytes: 40, ns: 900 }, exact: { bytes: 63, ns: 2200 } },
};

/** What pictures of a few pixels take. */
const FIXED: DecodeCost = { bytes: 4e6, seconds: 0.005 };
/** Bytes of a pixel: red, green and blue. */
const PIXEL_BYTES = 3;
/** Of sampling a map at a pixel, and of painting it. */
const PAINT_NS = 60;

function costOf(
  header: ImageHeader,
  picture: Picture,
  {
    size,
    whole,
    canvases,
  }: { readonly size: PixelSize; readonly whole: PixelSize; readonly canvases: readonly PixelSize[] },
  format: PictureFormat,
): DecodeCost {
  const { render } = picture.style;
  const showsPhoto = render !== 'heat' && render !== 'gray16' && render !== 'palette';
  const decode = showsPhoto ? photoDecodeCost(header, size) : { bytes: 0, seconds: 0 };
  const encoder = ENCODERS[format][render === 'palette' ? 'exact' : 'usual'];
  const painted = canvases.reduce((sum, canvas) => sum + pixelsOf(canvas), 0);
  const encoded = pixelsOf(whole);
  return {
    // The photo's decoder is done before the encoder begins.
    bytes: FIXED.bytes + Math.max(decode.bytes, painted * PIXEL_BYTES + encoded * encoder.bytes),
    seconds: FIXED.seconds + decode.seconds + (painted * PAINT_NS + encoded * encoder.ns) * 1e-9,
  };
}

function pixelsOf({ width, height }: PixelSize): number {
  return width * height;
}

function checkSize(size: PixelSize, output: Drawn): void {
  const pixels = pixelsOf(size);
  if (pixels > output.maxPixels) {
    const limit = { name: 'picture_pixels', value: output.maxPixels, needed: pixels } as const;
    throw tooLarge(size, `the limit is ${output.maxPixels} pixels`, limit);
  }
  checkSides(size, output);
}

/** The part of `maxPixels` that a legend may take. Its height grows with the width, however flat the picture is. */
const LEGEND_PART = 1 / 4;

function checkLegend(size: PixelSize, output: Drawn): void {
  const whole = sizeWithLegend(size);
  const pixels = whole.width * (whole.height - size.height);
  const value = Math.floor(LEGEND_PART * output.maxPixels);
  if (pixels > value) {
    const limit = { name: 'picture_pixels', value, needed: Math.ceil(pixels) } as const;
    throw tooLarge(size, `its legend alone would have ${Math.ceil(pixels)} pixels; the limit is ${value}`, limit);
  }
  checkSides(whole, output);
}

/** Pixels that a side of a picture may have: WebP counts them in 14 bits, libvips writes no larger AVIF. */
const MAX_SIDE: Readonly<Record<PictureFormat, number>> = { png: 2 ** 31 - 1, webp: 16_383, avif: 16_384 };

/** Of a picture that its format cannot hold. */
function checkSides(size: PixelSize, { format }: Drawn): void {
  const limit = MAX_SIDE[format];
  const side = Math.max(size.width, size.height);
  if (side <= limit) return;
  throw tooLarge(size, `the limit of ${format} is ${limit} pixels a side`, {
    name: 'picture_side',
    value: limit,
    needed: side,
  });
}

function tooLarge({ width, height }: PixelSize, why: string, limit: ExceededLimit): ServiceError {
  return refusal(`The picture would be ${width}×${height} pixels; ${why}.`, limit);
}

function checkCost({ bytes, seconds }: DecodeCost, { format, maxBytes, maxSeconds }: Drawn): void {
  const orElse = `Ask for a smaller width${format === 'png' ? '' : ', or image/png'}.`;
  if (seconds > maxSeconds) {
    throw refusal(
      `The picture would take about ${Math.ceil(seconds)} s of a processor core; the limit is ${maxSeconds} s. ${orElse}`,
      { name: 'picture_seconds', value: maxSeconds, needed: seconds },
    );
  }
  if (bytes > maxBytes) {
    const megabytes = (figure: number): string => `${(figure / 1e6).toFixed(0)} MB`;
    throw refusal(
      `The picture would take about ${megabytes(bytes)} of memory; the limit is ${megabytes(maxBytes)}. ${orElse}`,
      { name: 'picture_bytes', value: Math.floor(maxBytes), needed: Math.ceil(bytes) },
    );
  }
}

function refusal(detail: string, limit: ExceededLimit): ServiceError {
  return new ServiceError('IMAGE_TOO_LARGE', detail, {
    errors: [{ parameter: 'width', detail: 'must be smaller' }],
    limit,
  });
}
