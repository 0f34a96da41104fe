/** Maps as pictures at the photo's size: decodes the photo where it shows through. */
import { ServiceError } from '../errors.js';
import type { ColormapName } from './colormap.js';
import { decodePhoto, type Background } from './decode.js';
import type { ImageHeatmaps, MapScores } from './heatmap.js';
import { renderLabels } from './render-labels.js';
import { renderHeatmap, type RenderMode, type ValueRange } from './render.js';
import type { Segmentation } from './segment.js';
import type { MapInterpolation } from './upsample.js';

export interface DrawingStyle {
  readonly render: RenderMode;
  readonly colormap: ColormapName;
  readonly alpha: number;
  readonly interpolation: MapInterpolation;
  /** Absent: `minmax` for logits, which have no scale of their own, else `absolute`. */
  readonly range?: ValueRange | undefined;
  readonly scores: MapScores;
}

/** Draw the class at `position`. The result is an encoded PNG. Throws IMAGE_UNDECODABLE. */
export async function drawHeatmap(
  bytes: Uint8Array,
  { header, plan, placement, classes }: ImageHeatmaps,
  position: number,
  style: DrawingStyle,
  background: Background,
  checkpoint?: () => void,
): Promise<Buffer> {
  const drawn = classes[position];
  if (drawn === undefined) throw new ServiceError('CLASS_NOT_FOUND', `There is no map ${position}.`);
  const photo = style.render === 'overlay' ? await decodePhoto(bytes, header, { background }) : undefined;
  checkpoint?.();
  return renderHeatmap({
    map: drawn.map,
    placement,
    plan,
    mode: style.render,
    colormap: style.colormap,
    alpha: style.alpha,
    interpolation: style.interpolation,
    range: style.range ?? (style.scores === 'logit' ? 'minmax' : 'absolute'),
    photo,
    checkpoint,
  });
}

/** Draw a label map. The result is an encoded PNG. Throws IMAGE_UNDECODABLE. */
export async function drawLabels(
  bytes: Uint8Array,
  { header, labels, placement, plan }: Segmentation,
  { render, alpha }: { readonly render: 'palette' | 'overlay'; readonly alpha: number },
  background: Background,
  checkpoint?: () => void,
): Promise<Buffer> {
  const photo = render === 'overlay' ? await decodePhoto(bytes, header, { background }) : undefined;
  checkpoint?.();
  return renderLabels({ labels, placement, plan, photo, alpha, checkpoint });
}
