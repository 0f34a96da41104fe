/**
 * Maps as pictures: at the photo's size or another width, in any of the formats. The photo is decoded only if it shows.
 */
import { encodeCanvas } from './canvas.js';
import { decodePhoto } from '../images/decode.js';
import type { ClassHeatmap, ImageHeatmaps } from '../inference/heatmap.js';
import type { InputPlan, PixelSize } from '../maps/input-plan.js';
import type { SheetLayout } from './layout.js';
import { formatTick, type Legend } from './legend.js';
import { composeAffine, type Affine, type Placement } from '../maps/place.js';
import { planPicture, SHEET_WIDTH } from './plan-picture.js';
import { paintLabels } from './render-labels.js';
import { encodeGray16, paintHeatmap, type RenderMode } from './render.js';
import type { Segmentation } from '../inference/segment.js';
import { composeSheet, withLegend, type Panel } from './sheet.js';
import type { MapScores } from '../maps/scores.js';
import { rangeOf, type ValueRange } from '../maps/value-range.js';
import type { DrawJob } from './studio.js';
import type { DrawingStyle, Drawn, LabelStyle } from './style.js';

/** How a picture is made. */
export interface PictureOutput extends Drawn {
  /** Called every few milliseconds; what it throws ends the drawing. */
  readonly checkpoint?: (() => void) | undefined;
}

/** Draw what a job says, until `signal` is aborted. An encoded picture. Throws IMAGE_UNDECODABLE, IMAGE_TOO_LARGE. */
export function draw(job: DrawJob, signal?: AbortSignal): Promise<Buffer> {
  const output: PictureOutput = { ...job.output, checkpoint: () => signal?.throwIfAborted() };
  return job.kind === 'heatmap'
    ? drawHeatmap(job.bytes, job.image, job.style, output)
    : drawLabels(job.bytes, job.image, job.style, output);
}

/** Draw the first class, or all of them on a sheet. An encoded picture. Throws IMAGE_UNDECODABLE, IMAGE_TOO_LARGE. */
async function drawHeatmap(
  bytes: Uint8Array,
  image: ImageHeatmaps,
  style: DrawingStyle,
  output: PictureOutput,
): Promise<Buffer> {
  const { render } = style;
  const picture = { kind: 'heatmap', style, classes: image.classes.length } as const;
  const { size, sheet } = planPicture(image.header, picture, output);
  if (sheet !== undefined) return drawSheet(bytes, image, style, sheet, output);
  const [first] = image.classes as readonly [ClassHeatmap, ...ClassHeatmap[]];
  const common = renderOf(first, image, size, style, output);
  if (render === 'gray16') return encodeGray16(common);
  const photo = render === 'heat' ? undefined : await decodePhoto(bytes, image.header, { ...output, size });
  output.checkpoint?.();
  const painted = await paintHeatmap({ ...common, mode: render as RenderMode, photo });
  const whole = style.legend ? await withLegend(painted, legendOf(first, style)) : painted;
  return encodeCanvas(whole, output.format);
}

async function drawSheet(
  bytes: Uint8Array,
  image: ImageHeatmaps,
  style: DrawingStyle,
  layout: SheetLayout,
  output: PictureOutput,
): Promise<Buffer> {
  const photo = await decodePhoto(bytes, image.header, { ...output, size: layout.panel });
  output.checkpoint?.();
  const panels: Panel[] = [{ picture: photo, caption: `${image.header.width} × ${image.header.height} pixels` }];
  for (const drawn of image.classes) {
    const mode: RenderMode = 'overlay';
    // A Buffer's own slice would share the memory.
    const copy = { ...photo, pixels: Uint8Array.from(photo.pixels) };
    const picture = await paintHeatmap({
      ...renderOf(drawn, image, layout.panel, style, output),
      mode,
      photo: copy,
    });
    const caption = `${drawn.label}, ${captionOf(drawn, style.scores)}`;
    panels.push({ picture, caption, legend: legendOf(drawn, style) });
  }
  return encodeCanvas(await composeSheet(panels, layout, style.width ?? SHEET_WIDTH), output.format);
}

function renderOf(
  { map }: ClassHeatmap,
  image: ImageHeatmaps,
  size: PixelSize,
  style: DrawingStyle,
  { checkpoint }: PictureOutput,
) {
  const { colormap, alpha, opacity } = style;
  const interpolation = style.interpolation ?? (style.render === 'contours' ? 'bicubic' : 'bilinear');
  return {
    map,
    ...resizePhoto(image, size),
    colormap,
    alpha,
    opacity,
    interpolation,
    range: rangeFor(style),
    checkpoint,
  };
}

/** Gives the map's peak. The peak of a normalized map is always 1, so its caption gives the logit that became 1. */
function captionOf({ peak, normalizedFrom }: ClassHeatmap, scores: MapScores): string {
  if (scores === 'probability') return `up to ${formatTick(peak.value * 100)} %`;
  return `logits up to ${formatTick(normalizedFrom?.high ?? peak.value)}`;
}

function legendOf({ map }: ClassHeatmap, style: DrawingStyle): Legend {
  return { colormap: style.colormap, ...rangeOf(map, rangeFor(style)) };
}

function rangeFor({ range, scores }: DrawingStyle): ValueRange {
  return range ?? (scores === 'logit' ? 'minmax' : 'absolute');
}

/** Draw a label map; alone, its colours are exact in every format. Throws IMAGE_UNDECODABLE, IMAGE_TOO_LARGE. */
async function drawLabels(
  bytes: Uint8Array,
  image: Segmentation,
  style: LabelStyle,
  output: PictureOutput,
): Promise<Buffer> {
  const { render, alpha } = style;
  const { size } = planPicture(image.header, { kind: 'labels', style }, output);
  const photo = render === 'overlay' ? await decodePhoto(bytes, image.header, { ...output, size }) : undefined;
  output.checkpoint?.();
  const { labels } = image;
  const { checkpoint } = output;
  const picture = await paintLabels({ labels, ...resizePhoto(image, size), photo, alpha, checkpoint });
  return encodeCanvas(picture, output.format, render === 'palette');
}

/** Plan and placement as if the photo had another size. */
function resizePhoto(
  { plan, placement }: { readonly plan: InputPlan; readonly placement: Placement },
  { width, height }: PixelSize,
): { readonly plan: InputPlan; readonly placement: Placement } {
  const { photo } = plan;
  const toPhoto: Affine<'photo', 'photo'> = {
    scaleX: photo.width / width,
    offsetX: 0,
    scaleY: photo.height / height,
    offsetY: 0,
  };
  return { plan: { ...plan, photo: { width, height } }, placement: composeAffine(toPhoto, placement) };
}
