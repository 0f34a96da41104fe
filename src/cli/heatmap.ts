/** `fullconv heatmap FILE -o OUT`: the heatmap of a local image as a PNG, with an engine of its own or by a server's. */
import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Config } from '../config.js';
import { OperatorError } from '../errors.js';
import { PICTURE_FORMATS, type PictureFormat } from '../inference/canvas.js';
import type { ColormapName } from '../inference/colormap.js';
import { bestClasses, resolveClasses, type ClassSelector } from '../inference/classes.js';
import { drawHeatmap, type Drawing } from '../inference/draw.js';
import { mapImage, type HeatmapOptions, type MapScores } from '../inference/heatmap.js';
import type { Fit } from '../inference/input-plan.js';
import type { Opacity, ValueRange } from '../inference/render.js';
import type { Box, Peak } from '../inference/localize.js';
import type { Edge } from '../models/dense-views.js';
import type { Label } from '../models/manifest.js';
import { localContext, readImage, withService } from './local-service.js';
import { heatmapRemotely } from './remote.js';

export interface HeatmapFlags {
  readonly output: string;
  readonly model?: string;
  readonly class?: string;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly scores: MapScores;
  readonly render: Drawing;
  readonly colormap: ColormapName;
  readonly range?: ValueRange;
  readonly opacity: Opacity;
  readonly legend: boolean;
  readonly top?: number;
  readonly width?: number;
  readonly server?: URL;
  readonly json?: boolean;
}

/** What there is to say of a heatmap besides its picture. */
export interface HeatmapSummary {
  readonly class: string;
  readonly id: string;
  readonly peak: Peak;
  /** Absent where nothing reaches the threshold. */
  readonly box?: Box | undefined;
  readonly map: { readonly width: number; readonly height: number };
  readonly output: string;
}

/** A heatmap as a picture, and what there is to say of it. */
export interface DrawnHeatmap {
  readonly picture: Uint8Array;
  readonly summary: Omit<HeatmapSummary, 'output'>;
}

export async function heatmapCommand(config: Config, file: string, flags: HeatmapFlags): Promise<void> {
  const { server, output, scores } = flags;
  const format = formatOf(flags);
  const drawn = await (server === undefined
    ? heatmapLocally(config, file, flags, format)
    : heatmapRemotely(server, file, flags, format));
  await writeFile(output, drawn.picture);
  const summary: HeatmapSummary = { ...drawn.summary, output };
  const { class: label, id, peak, box, map } = summary;
  process.stdout.write(
    flags.json
      ? JSON.stringify(summary) + '\n'
      : `${label} (${id}): ${formatValue(peak.value, scores)} at (${peak.x}, ${peak.y}), ` +
          (box === undefined ? '' : `box ${box.width}×${box.height} at (${box.left}, ${box.top}); `) +
          `${map.width}×${map.height} cells → ${output}\n`,
  );
}

async function heatmapLocally(
  config: Config,
  file: string,
  flags: HeatmapFlags,
  format: PictureFormat,
): Promise<DrawnHeatmap> {
  const photo = await readImage(file);
  return withService(config, ({ registry, inference }) =>
    registry.use(flags.model, async (model) => {
      const options: HeatmapOptions = {
        fit: flags.fit,
        size: flags.size,
        scales: flags.scale,
        flip: flags.flip,
        outputStride: flags.outputStride,
        edge: flags.edge,
        scores: flags.scores,
        classes: classesOf(flags, model.labels),
      };
      const image = await mapImage(inference, model, photo, options, localContext);
      const style = { ...flags, alpha: 0.5 };
      const { label, id, peak, box, map } = image.classes[0]!;
      return {
        picture: await drawHeatmap(photo.bytes, image, style, { ...config, format }),
        summary: { class: label, id, peak, box, map: { width: map.width, height: map.height } },
      };
    }),
  );
}

function formatValue(value: number, scores: MapScores): string {
  return scores === 'probability' ? `${(value * 100).toFixed(1)} %` : value.toFixed(2);
}

/** The class asked for, or the best; on a sheet the three best. */
function classesOf({ class: name, top, render }: HeatmapFlags, labels: readonly Label[]): ClassSelector[] {
  const best = top ?? (name === undefined ? (render === 'sheet' ? 3 : 1) : 0);
  return [...resolveClasses(name === undefined ? [] : [name], labels), ...bestClasses(best, labels)];
}

/** By the name of the file to write. */
function formatOf({ output, render }: HeatmapFlags): PictureFormat {
  const extension = extname(output).slice(1).toLowerCase();
  const format = PICTURE_FORMATS.find((known) => known === extension);
  if (format === undefined) throw new OperatorError(`${output}: its name must end in .${PICTURE_FORMATS.join(', .')}`);
  if (render === 'gray16' && format !== 'png') throw new OperatorError(`${output}: only a PNG holds 16-bit values`);
  return format;
}
