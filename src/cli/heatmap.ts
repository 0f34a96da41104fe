/** `fullconv heatmap FILE -o OUT`: the heatmap of a local image as a PNG, without a server. */
import { writeFile } from 'node:fs/promises';
import type { Config } from '../config.js';
import type { ColormapName } from '../inference/colormap.js';
import { resolveClasses } from '../inference/classes.js';
import { drawHeatmap } from '../inference/draw.js';
import { mapImage, type HeatmapOptions, type MapScores } from '../inference/heatmap.js';
import type { Fit } from '../inference/input-plan.js';
import type { RenderMode, ValueRange } from '../inference/render.js';
import type { Edge } from '../models/dense-views.js';
import { localContext, readImage, withService } from './local-service.js';

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
  readonly scores: MapScores;
  readonly render: RenderMode;
  readonly colormap: ColormapName;
  readonly range?: ValueRange;
  readonly json?: boolean;
}

export async function heatmapCommand(config: Config, file: string, flags: HeatmapFlags): Promise<void> {
  const photo = await readImage(file);
  const { image, picture } = await withService(config, ({ registry, inference }) =>
    registry.use(flags.model, async (model) => {
      const options: HeatmapOptions = {
        fit: flags.fit,
        size: flags.size,
        scales: flags.scale,
        flip: flags.flip,
        outputStride: flags.outputStride,
        edge: flags.edge,
        scores: flags.scores,
        classes: resolveClasses([flags.class], model.labels),
      };
      const image = await mapImage(inference, model, photo, options, localContext);
      const style = { ...flags, alpha: 0.5, interpolation: 'bilinear' } as const;
      return {
        image,
        picture: await drawHeatmap(photo.bytes, image, 0, style, config.background),
      };
    }),
  );
  await writeFile(flags.output, picture);
  const { label, id, peak, box, map } = image.classes[0]!;
  const summary = { class: label, id, peak, box, map: { width: map.width, height: map.height }, output: flags.output };
  process.stdout.write(
    flags.json
      ? JSON.stringify(summary) + '\n'
      : `${label} (${id}): ${formatValue(peak.value, flags.scores)} at (${peak.x}, ${peak.y}), ` +
          (box === undefined ? '' : `box ${box.width}×${box.height} at (${box.left}, ${box.top}); `) +
          `${map.width}×${map.height} cells → ${flags.output}\n`,
  );
}

function formatValue(value: number, scores: MapScores): string {
  return scores === 'probability' ? `${(value * 100).toFixed(1)} %` : value.toFixed(2);
}
