/**
 * A class map as pixels at the photo's size: in colour over the photo or alone, as contour lines, or as 16-bit values.
 * Samples are coloured row by row as they are made. So only the result has the photo's size, and the event loop gets a
 * turn every few milliseconds (upsample.ts).
 *
 * A contour line is where the map crosses a level. A pixel's distance from it is |value − level| / |gradient|, to first
 * order. That gives smooth lines of even width without tracing them.
 *
 * Pixels that the network never saw, outside the crop of `fit=crop`, are unchanged if the photo is drawn over, and are
 * at the low end of the range otherwise.
 */
import { PNG, type Canvas } from './canvas.js';
import { COLORMAP_SIZE, colormap, type ColormapName } from '../maps/colormap.js';
import type { Photo } from '../images/decode.js';
import { openPixels } from '../images/image-library.js';
import type { InputPlan } from '../maps/input-plan.js';
import { coveredPixels, type Placement } from '../maps/place.js';
import type { ClassMap, MapInterpolation } from '../maps/row-sampler.js';
import { sampleRows, type RowVisitor } from '../maps/upsample.js';
import { rangeOf, type ValueRange } from '../maps/value-range.js';
import type { Drawing, Opacity } from './words.js';

export type RenderMode = Extract<Drawing, 'overlay' | 'heat' | 'contours'>;

export interface HeatmapRender {
  readonly map: ClassMap;
  readonly placement: Placement;
  readonly plan: InputPlan;
  readonly mode: RenderMode;
  readonly colormap: ColormapName;
  /** Greatest weight of the colour over the photo, 0 to 1; for `overlay`. */
  readonly alpha: number;
  readonly opacity: Opacity;
  readonly interpolation: MapInterpolation;
  readonly range: ValueRange;
  /** For `overlay` and `contours`: the photo at the plan's size. Its pixels are drawn over in place. */
  readonly photo?: Photo | undefined;
  /** Called every few milliseconds; an error it throws ends the drawing. */
  readonly checkpoint?: (() => void) | undefined;
}

/**
 * Paint a class map at the plan's photo size, `[height, width, 3]`. In `overlay` and `contours` the result is the
 * photo's own buffer.
 */
export async function paintHeatmap(render: HeatmapRender): Promise<Canvas> {
  const { map, placement, plan, interpolation, mode } = render;
  const { width, height } = plan.photo;
  const painter = mode === 'contours' ? contourPainter(render) : colorPainter(render);
  await sampleRows(map, placement, plan.photo, interpolation, painter.paint, render.checkpoint);
  return { width, height, pixels: painter.pixels };
}

/** A class map's values from 0 to 65535 over the range, as an encoded PNG. */
export async function encodeGray16(render: Omit<HeatmapRender, 'mode'>): Promise<Buffer> {
  const { map, placement, plan, interpolation } = render;
  const { width, height } = plan.photo;
  const painter = grayPainter(render);
  await sampleRows(map, placement, plan.photo, interpolation, painter.paint, render.checkpoint);
  return openPixels(painter.pixels, { width, height, channels: 1 }).toColourspace('grey16').png(PNG).toBuffer();
}

interface Painter<Pixels> {
  readonly pixels: Pixels;
  readonly paint: RowVisitor;
}

/** Values 0 to 65535, `[height, width]`. */
function grayPainter({ map, plan, range }: Omit<HeatmapRender, 'mode'>): Painter<Uint16Array> {
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
function colorPainter({ map, plan, range, mode, photo, ...style }: HeatmapRender): Painter<Uint8Array> {
  const { low, gain } = scaleOf(map, range, 255);
  const isOverlay = mode === 'overlay';
  const pixels = isOverlay
    ? pixelsToDrawOver(photo, plan)
    : Buffer.allocUnsafe(plan.photo.width * plan.photo.height * 3);
  // In 1/256, for each of the 256 colours.
  const opacities = Int32Array.from({ length: COLORMAP_SIZE }, (_, value) =>
    isOverlay ? Math.round(style.alpha * 256 * (style.opacity === 'value' ? value / (COLORMAP_SIZE - 1) : 1)) : 256,
  );
  const blended = Int32Array.from(
    colormap(style.colormap),
    (channel, at) => channel * opacities[Math.trunc(at / 3)]! + 128,
  );
  return {
    pixels,
    paint: withinCovered(plan, isOverlay ? undefined : low, (samples, from, to, pixel) => {
      for (let i = from; i < to; i++) {
        const value = Math.trunc(Math.min(Math.max((samples[i]! - low) * gain, 0), 255) + 0.5);
        const color = value * 3;
        const transparency = 256 - opacities[value]!;
        const at = (pixel + i) * 3;
        pixels[at] = (pixels[at]! * transparency + blended[color]!) >> 8;
        pixels[at + 1] = (pixels[at + 1]! * transparency + blended[color + 1]!) >> 8;
        pixels[at + 2] = (pixels[at + 2]! * transparency + blended[color + 2]!) >> 8;
      }
    }),
  };
}

/**
 * A line at each fifth of the range, in the colour of its level, with a seam so that it shows on any photo: white
 * beside the dark colours, which are lost in shadows, black beside the others.
 */
const CONTOURS = 5;
const SEAM_WEIGHT = 0.5;
/** A colour is dark if its luma (ITU-R BT.601, 0 to 255) is below this. */
const DARK_LUMA = 96;

/** Lines into the photo's own buffer. */
function contourPainter({ map, plan, range, photo, ...style }: HeatmapRender): Painter<Uint8Array> {
  const { low, gain } = scaleOf(map, range, CONTOURS);
  const pixels = pixelsToDrawOver(photo, plan);
  const colors = colormap(style.colormap);
  const halfWidth = Math.max(1, Math.min(plan.photo.width, plan.photo.height) / 400);
  let above = new Float32Array();
  return {
    pixels,
    paint: withinCovered(plan, undefined, (samples, from, to, pixel) => {
      // The row above in the same strip; the first row has none.
      const hasAbove = above.length === samples.length && pixel >= plan.photo.width;
      for (let i = from; i < to; i++) {
        const value = (samples[i]! - low) * gain;
        const level = Math.round(value);
        if (level < 1 || level >= CONTOURS) continue;
        const dx = (samples[Math.min(i + 1, to - 1)]! - samples[Math.max(i - 1, from)]!) / 2;
        const dy = hasAbove ? samples[i]! - above[i]! : 0;
        const distance = Math.abs(value - level) / (Math.hypot(dx, dy) * gain + Number.EPSILON);
        const line = Math.min(Math.max(halfWidth + 0.5 - distance, 0), 1);
        const seam = SEAM_WEIGHT * Math.min(Math.max(2 * halfWidth + 0.5 - distance, 0), 1);
        if (seam === 0) continue;
        const color = Math.round((level / CONTOURS) * (COLORMAP_SIZE - 1)) * 3;
        const seamColor = isDark(colors, color) ? 255 : 0;
        for (let channel = 0; channel < 3; channel++) {
          const at = (pixel + i) * 3 + channel;
          const beside = pixels[at]! * (1 - seam) + seamColor * seam;
          pixels[at] = beside * (1 - line) + colors[color + channel]! * line + 0.5;
        }
      }
      above = samples.slice();
    }),
  };
}

function isDark(colors: Uint8Array, at: number): boolean {
  return 0.299 * colors[at]! + 0.587 * colors[at + 1]! + 0.114 * colors[at + 2]! < DARK_LUMA;
}

/**
 * The photo's own buffer, to be drawn over in place. Throws if the photo is missing or not at the plan's photo size.
 */
export function pixelsToDrawOver(photo: Photo | undefined, plan: InputPlan): Uint8Array {
  if (photo?.width !== plan.photo.width || photo.height !== plan.photo.height) {
    throw new Error('an overlay needs the photo at its own size');
  }
  return photo.pixels;
}

/**
 * A row visitor that keeps to the pixels that the network saw. Other pixels have the value `outside`, or are not
 * painted if it is undefined. `paint` gets the samples from … to − 1; `pixel` is the index of sample 0 in the photo.
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

/** (value − low) · gain runs from 0 to `top` over the range; a constant map is at the low end of `minmax`. */
function scaleOf(map: ClassMap, range: ValueRange, top: number): { low: number; gain: number } {
  const { low, high } = rangeOf(map, range);
  return { low, gain: high > low ? top / (high - low) : 0 };
}
