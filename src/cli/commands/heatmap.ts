/** `fullconv heatmap FILES`: pictures of where a class is in images, by a local engine or a server's (`--server`). */
import type { DrawnMap, HeatmapFlags, HeatmapSummary } from '../answers.js';
import type { Config } from '../../config.js';
import { UsageError } from '../../errors.js';
import { bestClasses, MAX_CLASSES, resolveClasses, type ClassSelector } from '../../classes/classes.js';
import { pictureScores } from '../../drawing/studio.js';
import { DEFAULT_ALPHA, SHEET_CLASSES, type PictureFormat } from '../../drawing/words.js';
import { mapImageAs, type HeatmapOptions } from '../../inference/heatmap.js';
import type { MapScores } from '../../maps/scores.js';
import type { Label } from '../../models/manifest.js';
import type { Answerer } from '../files/answer-files.js';
import { findInputs } from '../files/input-files.js';
import { localContext } from '../../inference/request-context.js';
import { imagesAtOnce } from '../../inference/images-at-once.js';
import { withModel } from '../local-service.js';
import { answerWithMaps } from './maps.js';
import { planOutputs } from '../files/output-files.js';
import { remoteHeatmaps } from '../remote.js';

export async function heatmapCommand(config: Config, args: readonly string[], flags: HeatmapFlags): Promise<void> {
  checkClassCount(flags);
  const inputs = await findInputs(args);
  const outputs = await planOutputs(inputs, flags);
  const { format } = outputs;
  if (flags.render === 'gray16' && format !== 'png') {
    throw new UsageError(`${flags.output ?? format}: only a PNG holds 16-bit values`);
  }
  const run = (heatmaps: Answerer<DrawnMap<HeatmapSummary>>): Promise<void> =>
    answerWithMaps(inputs, outputs, flags, heatmaps, (summary) => describe(summary, flags.scores ?? 'probability'));
  if (flags.server !== undefined)
    await run(remoteHeatmaps({ url: flags.server, apiKey: config.apiKey }, flags, format));
  else await withLocalHeatmaps(config, flags, format, run);
}

/** As HTTP checks it. Throws UsageError. */
function checkClassCount({ class: name, top = 0, render }: HeatmapFlags): void {
  const count = top + (name === undefined ? 0 : 1);
  if (count > MAX_CLASSES) throw new UsageError(`--top: with --class it must be at most ${MAX_CLASSES - 1}`);
  if (count > 1 && render !== 'sheet') {
    const what = name === undefined ? `--top ${top}` : `--class with --top ${top}`;
    throw new UsageError(`${what}: a picture shows one class, unless it is a --render sheet`);
  }
}

async function withLocalHeatmaps(
  config: Config,
  flags: HeatmapFlags,
  format: PictureFormat,
  work: (heatmaps: Answerer<DrawnMap<HeatmapSummary>>) => Promise<void>,
): Promise<void> {
  const { fit, size, scale: scales, flip, outputStride, edge, map, scores = 'probability' } = flags;
  await withModel(config, flags.model, (service, model) => {
    const { inference, studio } = service;
    const output = studio.output(format);
    const classes = classesOf(flags, model.labels);
    const options: HeatmapOptions = { fit, size, scales, flip, outputStride, edge, map, scores, classes };
    const style = { ...flags, scores: flags.scores ?? pictureScores(model, flags.render), alpha: DEFAULT_ALPHA };
    return work({
      atOnce: imagesAtOnce(service, config.maxQueue, options),
      async answer(photo) {
        const kinds = [scores, style.scores];
        const [image, drawn] = await mapImageAs(inference, model, photo, { ...options, kinds }, localContext);
        const { label, id, peak, box, map } = image!.classes[0]!;
        return {
          picture: await studio.draw(
            model,
            { kind: 'heatmap', bytes: photo.bytes, image: drawn!, style, output },
            localContext,
          ),
          map,
          summary: { class: label, id, peak, box, map: { width: map.width, height: map.height } },
        };
      },
    });
  });
}

function describe({ class: label, id, peak, box, map }: HeatmapSummary, scores: MapScores): string {
  return (
    `${label} (${id}): ${formatValue(peak.value, scores)} at (${peak.x}, ${peak.y}), ` +
    (box === undefined ? '' : `box ${box.width}×${box.height} at (${box.left}, ${box.top}); `) +
    `${map.width}×${map.height} cells`
  );
}

function formatValue(value: number, scores: MapScores): string {
  return scores === 'probability' ? `${(value * 100).toFixed(1)} %` : value.toFixed(2);
}

/** The named class and the `top` best ones. With neither: the best class, or SHEET_CLASSES of them on a sheet. */
function classesOf({ class: name, top, render }: HeatmapFlags, labels: readonly Label[]): ClassSelector[] {
  const best = top ?? (name === undefined ? (render === 'sheet' ? SHEET_CLASSES : 1) : 0);
  return [...resolveClasses(name === undefined ? [] : [name], labels), ...bestClasses(best, labels)];
}
