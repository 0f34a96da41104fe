/** `fullconv segment FILES`: the winning class of every position, as pictures and shares. */
import type { DrawnMap, SegmentFlags, SegmentSummary } from '../answers.js';
import type { Config } from '../../config.js';
import { DEFAULT_ALPHA, type PictureFormat } from '../../drawing/words.js';
import { segment, type Segmentation, type SegmentOptions } from '../../inference/segment.js';
import type { Answerer } from '../files/answer-files.js';
import { findInputs } from '../files/input-files.js';
import { localContext } from '../../inference/request-context.js';
import { imagesAtOnce } from '../../inference/images-at-once.js';
import { withModel } from '../local-service.js';
import { answerWithMaps } from './maps.js';
import { planOutputs } from '../files/output-files.js';
import { remoteSegments } from '../remote.js';

/** The most classes that the line for people names. */
const NAMED = 5;

export async function segmentCommand(config: Config, args: readonly string[], flags: SegmentFlags): Promise<void> {
  const inputs = await findInputs(args);
  const outputs = await planOutputs(inputs, flags);
  const run = (segments: Answerer<DrawnMap<SegmentSummary>>): Promise<void> =>
    answerWithMaps(inputs, outputs, flags, segments, describe);
  if (flags.server !== undefined)
    await run(remoteSegments({ url: flags.server, apiKey: config.apiKey }, flags, outputs.format));
  else await withLocalSegments(config, flags, outputs.format, run);
}

async function withLocalSegments(
  config: Config,
  flags: SegmentFlags,
  format: PictureFormat,
  work: (segments: Answerer<DrawnMap<SegmentSummary>>) => Promise<void>,
): Promise<void> {
  const { fit, size, scale: scales, flip, outputStride, edge, map, minProbability } = flags;
  const options: SegmentOptions = { fit, size, scales, flip, outputStride, edge, map, minProbability };
  await withModel(config, flags.model, (service, model) => {
    const { inference, studio } = service;
    const output = studio.output(format);
    const style = { ...flags, alpha: DEFAULT_ALPHA };
    return work({
      atOnce: imagesAtOnce(service, config.maxQueue, options),
      async answer(photo) {
        const { results } = await segment(inference, model, [photo], options, localContext);
        // `segment` throws if its only image fails, so no result is a problem.
        const [image] = results as [Segmentation];
        const { classes, unlabelled, labels } = image;
        return {
          picture: await studio.draw(model, { kind: 'labels', bytes: photo.bytes, image, style, output }, localContext),
          summary: { classes, unlabelled, map: { width: labels.width, height: labels.height } },
        };
      },
    });
  });
}

function describe({ classes, unlabelled, map }: SegmentSummary): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const others = classes.length - NAMED;
  return [
    ...classes.slice(0, NAMED).map(({ label, share }) => `${label} ${percent(share)}`),
    ...(others > 0 ? [`${others} more`] : []),
    ...(unlabelled > 0 ? [`unlabelled ${percent(unlabelled)}`] : []),
    `${map.width}×${map.height} cells`,
  ].join('; ');
}
