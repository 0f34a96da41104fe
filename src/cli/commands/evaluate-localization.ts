/**
 * `fullconv evaluate --localization FOLDER`: how well heatmaps show where things are, on photographs with boxes or
 * masks (evaluation/annotations.ts has the format, evaluation/localization.ts the measures). A category may stand for
 * several classes. The map is that of the class which the model finds likeliest in the photograph. This class is chosen
 * at the model's own size: the settings of the maps change where the heatmap looks, but not what it looks for.
 *
 * The first line of the table is the baseline: a map that knows nothing and points at the centre.
 */
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { Service } from '../../app.js';
import type { Config } from '../../config.js';
import { OperatorError } from '../../errors.js';
import { readAnnotations, readCategories, type LocalizationCase } from '../../evaluation/annotations.js';
import { gridOf, LocalizationMeter, type LocalizationScore } from '../../evaluation/localization.js';
import { classify } from '../../inference/classify.js';
import { findClass } from '../../classes/classes.js';
import { mapImage, type HeatmapOptions } from '../../inference/heatmap.js';
import { composeAffine, type Affine } from '../../maps/place.js';
import { upsampleMap } from '../../maps/upsample.js';
import type { CompiledModel } from '../../models/compile.js';
import type { Edge } from '../../maps/edges.js';
import { shortSide, type Fit } from '../../maps/input-plan.js';
import type { MapScores } from '../../maps/scores.js';
import type { Label } from '../../models/manifest.js';
import { localContext } from '../../inference/request-context.js';
import { readImage } from '../../evaluation/image-file.js';
import { printRows, withService } from '../local-service.js';

export interface LocalizationFlags {
  readonly model?: readonly string[];
  readonly annotations?: string;
  readonly categories?: string;
  readonly tolerance: number;
  readonly fit: Fit;
  readonly size?: readonly number[];
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly scores: MapScores;
  readonly json?: boolean;
}

/** A case with the model's classes that its category may stand for. */
interface KnownCase extends LocalizationCase {
  readonly classes: readonly number[];
}

type MapOptions = Omit<HeatmapOptions, 'classes'>;

export async function evaluateLocalizationCommand(
  config: Config,
  folder: string,
  flags: LocalizationFlags,
): Promise<void> {
  const cases = await readAnnotations(flags.annotations ?? join(folder, 'annotations.json'));
  const categories =
    flags.categories === undefined ? new Map<string, string[]>() : await readCategories(flags.categories);
  const rows = await withService(config, async (service) => {
    const done: object[] = [];
    for (const name of flags.model ?? [undefined]) {
      await service.registry.use(name, async (model) => {
        const known = casesKnownTo(model.labels, cases, categories);
        if (known.length === 0) throw new OperatorError(`no category is a class of ${model.manifest.name}`);
        if (done.length === 0) done.push(row('the centre', '', scoreOfCentre(known, flags.tolerance)));
        for (const size of flags.size ?? [model.manifest.maps?.size ?? shortSide(model.manifest.input.size)]) {
          const { fit, scale: scales, flip, outputStride, edge, scores } = flags;
          const options: MapOptions = { fit, size, scales, flip, outputStride, edge, scores };
          done.push(
            row(model.manifest.name, size, await score(service, model, folder, known, options, flags.tolerance)),
          );
        }
      });
    }
    return done;
  });
  printRows(rows, flags.json);
}

function row(model: string, size: number | string, score: LocalizationScore): object {
  const percent = (part: number): string => (part * 100).toFixed(1);
  const { cases, pointing, maxBoxAccuracy, pixelAveragePrecision } = score;
  return {
    model,
    size,
    cases,
    'pointing game %': percent(pointing),
    'MaxBoxAccV2 %': percent(maxBoxAccuracy),
    'PxAP %': pixelAveragePrecision === undefined ? '–' : percent(pixelAveragePrecision),
  };
}

/**
 * The cases whose category is a class of the model: by the list of categories, or by its own name if it is not listed.
 */
function casesKnownTo(
  labels: readonly Label[],
  cases: readonly LocalizationCase[],
  categories: ReadonlyMap<string, readonly string[]>,
): KnownCase[] {
  return cases.flatMap((known) => {
    const classes = (categories.get(known.category) ?? [known.category]).flatMap((name) => classesNamed(name, labels));
    return classes.length === 0 ? [] : [{ ...known, classes }];
  });
}

/**
 * One class by index, id or label, or all classes in a range of ids, ends included: `n02085620..n02113978` are the
 * dogs.
 */
function classesNamed(name: string, labels: readonly Label[]): number[] {
  const [first, last] = name.split('..');
  if (first !== undefined && last !== undefined) {
    return labels.flatMap(({ id }, index) => (id >= first && id <= last ? [index] : []));
  }
  const index = findClass(name, labels);
  return index === undefined ? [] : [index];
}

async function score(
  { inference }: Service,
  model: CompiledModel,
  folder: string,
  cases: readonly KnownCase[],
  options: MapOptions,
  tolerance: number,
): Promise<LocalizationScore> {
  const meter = new LocalizationMeter(tolerance);
  const slots = pLimit(2);
  const whole = { fit: 'whole', scales: [1], flip: false, scores: 'logit', topK: model.labels.length } as const;
  await slots.map(cases, async (located) => {
    const image = await readImage(join(folder, located.file));
    const [answer] = (await classify(inference, model, [image], whole, localContext)).results;
    if (answer === undefined || 'problem' in answer) throw new OperatorError(`${located.file} cannot be classified`);
    const { index } = answer.predictions.find((prediction) => located.classes.includes(prediction.index))!;
    const { header, placement, classes } = await mapImage(
      inference,
      model,
      image,
      { ...options, classes: [index] },
      localContext,
    );
    const { photo } = located;
    if (header.width !== photo.width || header.height !== photo.height) {
      throw new OperatorError(
        `${located.file} has ${header.width}×${header.height} pixels, in the annotations ${photo.width}×${photo.height}`,
      );
    }
    const { map, peak } = classes[0]!;
    const grid = gridOf(photo);
    const gridToPhoto: Affine<'grid', 'photo'> = {
      scaleX: photo.width / grid.width,
      offsetX: 0,
      scaleY: photo.height / grid.height,
      offsetY: 0,
    };
    const values = await upsampleMap(map, composeAffine(gridToPhoto, placement), grid, 'bilinear');
    meter.add({ ...located, mask: located.mask() }, peak, values);
  });
  return meter.score;
}

/** A map that falls from the centre of the photograph to its corners. */
function scoreOfCentre(cases: readonly LocalizationCase[], tolerance: number): LocalizationScore {
  const meter = new LocalizationMeter(tolerance);
  for (const located of cases) {
    const { photo } = located;
    const { width, height } = gridOf(photo);
    const values = Float32Array.from({ length: width * height }, (_, pixel) => {
      const x = ((pixel % width) + 0.5) / width - 0.5;
      const y = (Math.floor(pixel / width) + 0.5) / height - 0.5;
      return -Math.hypot(x, y);
    });
    const centre = { x: Math.floor(photo.width / 2), y: Math.floor(photo.height / 2) };
    meter.add({ ...located, mask: located.mask() }, centre, values);
  }
  return meter.score;
}
