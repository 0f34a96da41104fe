/**
 * A label map as pixels at the photo's size: one colour per class, alone or blended over the photo. Every pixel has the
 * label of the cell whose centre is nearest. Pixels that are unlabelled, or that the network never saw, are black, or
 * show the photo.
 */
import type { Photo } from '../images/decode.js';
import type { Canvas } from './canvas.js';
import { labelColor } from './label-color.js';
import type { InputPlan } from '../maps/input-plan.js';
import type { Placement } from '../maps/place.js';
import { pixelsToDrawOver, withinCovered } from './render.js';
import { UNLABELLED, type LabelMap } from '../maps/label-map.js';
import { sampleRows } from '../maps/upsample.js';

export interface LabelRender {
  readonly labels: LabelMap;
  readonly placement: Placement;
  readonly plan: InputPlan;
  /** Drawn over in place. Absent: the labels stand alone. */
  readonly photo?: Photo | undefined;
  /** Weight of the colour over the photo, 0 to 1. */
  readonly alpha: number;
  /** Called every few milliseconds; an error it throws ends the drawing. */
  readonly checkpoint?: (() => void) | undefined;
}

/** Paint a label map at the plan's photo size. If `photo` is given, the result is its own buffer. */
export async function paintLabels({ labels, placement, plan, photo, alpha, checkpoint }: LabelRender): Promise<Canvas> {
  const { width, height } = plan.photo;
  const pixels = photo === undefined ? new Uint8Array(width * height * 3) : pixelsToDrawOver(photo, plan);
  const opacity = photo === undefined ? 1 : alpha;
  const paint = withinCovered(plan, undefined, (samples, from, to, pixel) => {
    for (let i = from; i < to; i++) {
      const label = samples[i]!;
      if (label === UNLABELLED) continue;
      const color = labelColor(label);
      for (let channel = 0; channel < 3; channel++) {
        const at = (pixel + i) * 3 + channel;
        pixels[at] = Math.round(pixels[at]! * (1 - opacity) + ((color >> (16 - 8 * channel)) & 255) * opacity);
      }
    }
  });
  const map = { ...labels, values: Float32Array.from(labels.values) };
  await sampleRows(map, placement, plan.photo, 'nearest', paint, checkpoint);
  return { width, height, pixels };
}
