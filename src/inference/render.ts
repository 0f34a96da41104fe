/**
 * A class map as a PNG at the photo's size: over the photo, in colour alone, or as 16-bit values. Samples are coloured
 * row by row as they are made, so that besides the result no buffer has the photo's size, and the event loop is let in
 * every few milliseconds (upsample.ts); the PNG is deflated in libvips' threads.
 *
 * Pixels that the network never saw, outside the crop of `fit=crop`, are left as they are in an overlay and are at the
 * low end of the range elsewhere.
 */
import { colormap, type ColormapName } from './colormap.js';
import type { Photo } from './decode.js';
import { openPixels } from './image-library.js';
import type { InputPlan } from './input-plan.js';
import { coveredPixels, type Affine2 } from './place.js';
import type { ClassMap, MapInterpolation } from './row-sampler.js';
import { sampleRows, type RowVisitor } from './upsample.js';

export type RenderMode = 'overlay' | 'heat' | 'gray16';

/** `absolute`: 0 to 1 is the whole scale, for probabilities. `minmax`: the map's own least and greatest value are. */
export type ValueRange = 'absolute' | 'minmax';

export interface HeatmapRender {
  readonly map: ClassMap;
  /** From photo pixels to cells, see place.ts. */
  readonly placement: Affine2;
  readonly plan: InputPlan;
  readonly mode: RenderMode;
  readonly colormap: ColormapName;
  /** Weight of the colour over the photo, 0 to 1. */
  readonly alpha: number;
  readonly interpolation: MapInterpolation;
  readonly range: ValueRange;
  /** For `overlay`: the photo at its own size. Its pixels are drawn over in place. */
  readonly photo?: Photo | undefined;
  /** Called every few milliseconds; what it throws ends the drawing. */
  readonly checkpoint?: (() => void) | undefined;
}

/**
 * Level 2 with adaptive filters, by measurement (libvips with zlib-ng, one thread, 2 vCPU). Overlay over a photo:
 * 12 megapixels 425 ms and 12.6 MB, where level 1 takes 340 ms and 18 MB, level 6 takes 980 ms and 11.2 MB, and level 6
 * without filters 420 ms and 23.5 MB; 500×375 11 ms and 420 kB.
 */
export const PNG = { compressionLevel: 2, adaptiveFiltering: true };

/** Draw a class map. The result is an encoded PNG at the photo's size. */
export async function renderHeatmap(render: HeatmapRender): Promise<Buffer> {
  const { map, placement, plan, interpolation, mode } = render;
  const { width, height } = plan.photo;
  const canvas = mode === 'gray16' ? grayCanvas(render) : colorCanvas(render);
  await sampleRows(map, placement, plan.photo, interpolation, canvas.paint, render.checkpoint);
  const image = openPixels(canvas.pixels, { width, height, channels: mode === 'gray16' ? 1 : 3 });
  return (mode === 'gray16' ? image.toColourspace('grey16') : image).png(PNG).toBuffer();
}

interface Canvas<Pixels> {
  readonly pixels: Pixels;
  readonly paint: RowVisitor;
}

/** Values 0 to 65535, `[height, width]`. */
function grayCanvas({ map, plan, range }: HeatmapRender): Canvas<Uint16Array> {
  const { width, height } = plan.photo;
  const { low, gain } = scaleOf(map, range, 65535);
  const pixels = new Uint16Array(width * height);
  return {
    pixels,
    paint: withinCovered(plan, low, (samples, from, to, pixel) => {
      for (let i = from; i < to; i++) {
        pixels[pixel + i] = Math.min(Math.max((samples[i]! - low) * gain, 0), 65535) + 0.5;
      }
    }),
  };
}

/** Colours `[height, width, 3]`: blended into the photo's own buffer, or alone. */
function colorCanvas({ map, plan, range, mode, photo, ...style }: HeatmapRender): Canvas<Uint8Array> {
  const { low, gain } = scaleOf(map, range, 255);
  const table = colormap(style.colormap);
  const isOverlay = mode === 'overlay';
  const pixels = isOverlay
    ? pixelsToDrawOver(photo, plan)
    : Buffer.allocUnsafe(plan.photo.width * plan.photo.height * 3);
  const opacity = isOverlay ? Math.round(style.alpha * 256) : 256;
  const transparency = 256 - opacity;
  const blended = Int32Array.from(table, (channel) => channel * opacity + 128);
  return {
    pixels,
    paint: withinCovered(plan, isOverlay ? undefined : low, (samples, from, to, pixel) => {
      for (let i = from; i < to; i++) {
        const color = Math.trunc(Math.min(Math.max((samples[i]! - low) * gain, 0), 255) + 0.5) * 3;
        const at = (pixel + i) * 3;
        pixels[at] = (pixels[at]! * transparency + blended[color]!) >> 8;
        pixels[at + 1] = (pixels[at + 1]! * transparency + blended[color + 1]!) >> 8;
        pixels[at + 2] = (pixels[at + 2]! * transparency + blended[color + 2]!) >> 8;
      }
    }),
  };
}

/** The photo's own buffer, to be drawn over in place. Throws when it is not at the photo's size. */
export function pixelsToDrawOver(photo: Photo | undefined, plan: InputPlan): Uint8Array {
  if (photo?.width !== plan.photo.width || photo.height !== plan.photo.height) {
    throw new Error('an overlay needs the photo at its own size');
  }
  return photo.pixels;
}

/**
 * A row visitor that minds what the network saw. Elsewhere the value is `outside`, or, where that is undefined, nothing
 * is painted. `paint` gets the samples from … to − 1; `pixel` is the place of sample 0 in the photo.
 */
export function withinCovered(
  plan: InputPlan,
  outside: number | undefined,
  paint: (samples: Float32Array, from: number, to: number, pixel: number) => void,
): RowVisitor {
  const covered = coveredPixels(plan);
  return (samples, y, left) => {
    const isRowCovered = y >= covered.top && y < covered.top + covered.height;
    const from = isRowCovered ? Math.max(0, covered.left - left) : 0;
    const to = isRowCovered ? Math.max(from, Math.min(samples.length, covered.left + covered.width - left)) : 0;
    const pixel = y * plan.photo.width + left;
    if (outside === undefined) {
      paint(samples, from, to, pixel);
    } else {
      samples.fill(outside, 0, from).fill(outside, to);
      paint(samples, 0, samples.length, pixel);
    }
  };
}

/** (value − low) · gain runs from 0 to `top` over the range; a map of one value is at the low end of `minmax`. */
function scaleOf({ values }: ClassMap, range: ValueRange, top: number): { low: number; gain: number } {
  if (range === 'absolute') return { low: 0, gain: top };
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return high > low ? { low, gain: top / (high - low) } : { low: 0, gain: 0 };
}
