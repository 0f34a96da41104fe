/** `fullconv heatmap FILE -o OUT`: the heatmap of a local image as a PNG, with an engine of its own or by a server's. */
import { writeFile } from 'node:fs/promises';
import type { Config } from '../config.js';
import type { ColormapName } from '../inference/colormap.js';
import { resolveClasses } from '../inference/classes.js';
import { drawHeatmap } from '../inference/draw.js';
import { mapImage, type HeatmapOptions } from '../inference/heatmap.js';
import type { Fit } from '../inference/input-plan.js';
import type { Box, Peak } from '../inference/localize.js';
import type { RenderMode, ValueRange } from '../inference/render.js';
import type { Edge } from '../models/dense-views.js';
import { localContext, readImage, withService } from './local-service.js';
import { heatmapRemotely } from './remote.js';

export interface HeatmapFlags {
  readonly output: string;
  readonly model?: string;
  readonly class: string;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly render: RenderMode;
  readonly colormap: ColormapName;
  readonly range: ValueRange;
  readonly server?: URL;
  readonly json?: boolean;
}

/** What there is to say of a heatmap besides its picture. */
export interface HeatmapSummary {
  readonly class: string;
  readonly id: string;
  readonly peak: Peak;
  readonly box: Box;
  readonly map: { readonly width: number; readonly height: number };
  readonly output: string;
}

/** A heatmap as a picture, and what there is to say of it. */
export interface DrawnHeatmap {
  readonly picture: Uint8Array;
  readonly summary: Omit<HeatmapSummary, 'output'>;
}

export async function heatmapCommand(config: Config, file: string, flags: HeatmapFlags): Promise<void> {
  const { server, output } = flags;
  const drawn = await (server === undefined
    ? heatmapLocally(config, file, flags)
    : heatmapRemotely(server, file, flags));
  await writeFile(output, drawn.picture);
  const summary: HeatmapSummary = { ...drawn.summary, output };
  const { class: label, id, peak, box, map } = summary;
  process.stdout.write(
    flags.json
      ? JSON.stringify(summary) + '\n'
      : `${label} (${id}): ${(peak.value * 100).toFixed(1)} % at (${peak.x}, ${peak.y}), ` +
          `box ${box.width}×${box.height} at (${box.left}, ${box.top}); ${map.width}×${map.height} cells → ${output}\n`,
  );
}

async function heatmapLocally(config: Config, file: string, flags: HeatmapFlags): Promise<DrawnHeatmap> {
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
        scores: 'probability',
        classes: resolveClasses([flags.class], model.labels),
      };
      const image = await mapImage(inference, model, photo, options, localContext);
      const style = { ...flags, alpha: 0.5, interpolation: 'bilinear', scores: 'probability' } as const;
      const { label, id, peak, box, map } = image.classes[0]!;
      return {
        picture: await drawHeatmap(photo.bytes, image, 0, style, config.background),
        summary: { class: label, id, peak, box, map: { width: map.width, height: map.height } },
      };
    }),
  );
}
