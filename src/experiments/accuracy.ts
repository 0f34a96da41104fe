/**
 * Accuracy over multiply-adds, a ball for each model with its parameters as the area: the axes of Canziani, Paszke and
 * Culurciello, "An Analysis of Deep Neural Network Models for Practical Applications" (2016), for the models that are there.
 */
import { OperatorError, UsageError } from '../errors.js';
import { chooseSamples } from '../evaluation/samples.js';
import { measureTopK } from '../evaluation/top-k.js';
import type { FailedImage } from '../inference/answer-each.js';
import { shortSide } from '../maps/input-plan.js';
import { nativeCost } from './cost.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

export interface AccurateModel {
  readonly model: string;
  /** Its classes, of which the images show some. */
  readonly classes: number;
  readonly images: number;
  readonly failed: number;
  /** Shares of the images. */
  readonly top1: number;
  readonly top5: number;
  /** Of one image of the size that the net was made for. */
  readonly multiplyAdds: number;
  readonly parameters: number;
  readonly precision: string;
}

export interface AccuracyData {
  /** Those that saw the same images stand in the plot: those of the most images. */
  readonly plotted: readonly string[];
  readonly models: readonly AccurateModel[];
  /** Models that know none of the images' classes. */
  readonly leftOut: readonly string[];
}

export async function accuracy(
  lab: Lab,
  { images, model: asked, count = Infinity }: ExperimentOptions,
): Promise<Findings & { readonly data: AccuracyData }> {
  if (images === undefined) throw new UsageError('This experiment needs a folder of labelled images.');
  const models: AccurateModel[] = [];
  const leftOut: string[] = [];
  const failures: FailedImage[] = [];
  /** The models by the images that they saw. */
  const groups = new Map<string, AccurateModel[]>();
  for (const name of asked ?? (await lab.names())) {
    const found = await lab.use(name, (subject) => accuracyOf(lab, subject, { folder: images, count }));
    if (found === undefined) {
      leftOut.push(name);
      continue;
    }
    models.push(found.result);
    failures.push(...found.failures);
    groups.set(found.seen, [...(groups.get(found.seen) ?? []), found.result]);
  }
  if (models.length === 0) throw new OperatorError(`${images} has no image of a class of ${leftOut.join(', ')}`);
  const [largest = []] = [...groups.values()].sort(([a], [b]) => b!.images - a!.images);
  lab.sees({ from: images, count: largest[0]!.images });
  const data = { plotted: largest.map(({ model }) => model), models, leftOut };
  return { title: 'accuracy over multiply-adds', data, sections: sectionsOf(data, images), failures };
}

/** With the images it saw, as a text. Undefined if no image shows a class of the model. */
async function accuracyOf(
  lab: Lab,
  { service, model, network }: Subject,
  { folder, count }: { readonly folder: string; readonly count: number },
): Promise<
  { readonly result: AccurateModel; readonly failures: readonly FailedImage[]; readonly seen: string } | undefined
> {
  const { manifest, labels, parameters, precision } = model;
  const { name, input } = manifest;
  const samples = await chooseSamples(folder, { classes: labels, model: name, count }).catch((error: unknown) => {
    if (error instanceof OperatorError) return [];
    throw error;
  });
  if (samples.length === 0) return undefined;
  const bar = lab.progress(name, samples.length);
  const size = shortSide(input.size);
  const { images, failures, top1, top5 } = await measureTopK(
    { ...service, maxQueue: lab.config.maxQueue },
    model,
    samples,
    { size, onDone: () => bar.step() },
  ).finally(() => bar.stop());
  return {
    failures,
    seen: samples.map(({ file }) => file).join('\n'),
    result: {
      ...{ model: name, classes: labels.length, images, failed: failures.length, top1, top5 },
      ...{ multiplyAdds: nativeCost(network), parameters, precision },
    },
  };
}

function sectionsOf({ models, plotted, leftOut }: AccuracyData, folder: string): Section[] {
  const others = models.filter(({ model }) => !plotted.includes(model)).map(({ model }) => model);
  const percent = (part: number): string => (100 * part).toFixed(1);
  const left =
    leftOut.length === 0
      ? []
      : [{ text: `Left out, because no image shows a class of theirs: ${leftOut.join(', ')}.` }];
  return [
    {
      table: `Top-1 and top-5 accuracy on ${folder}`,
      header: ['model', 'classes', 'images', 'top-1, %', 'top-5, %', 'GMAC', 'parameters, M', 'precision'],
      rows: models.map(({ model, classes, images, top1, top5, multiplyAdds, parameters, precision }) => [
        ...[model, classes, images, percent(top1), percent(top5)],
        ...[(multiplyAdds / 1e9).toFixed(2), (parameters / 1e6).toFixed(2), precision],
      ]),
    },
    ...(others.length === 0 ? [] : [{ text: `Not in the plot, because they saw other images: ${others.join(', ')}.` }]),
    ...left,
    {
      figure: 'accuracy',
      caption: 'Top-1 accuracy over multiply-adds',
      draw: () =>
        draw(
          models.filter(({ model }) => plotted.includes(model)),
          folder,
        ),
    },
  ];
}

async function draw(models: readonly AccurateModel[], folder: string): Promise<string> {
  const [{ drawBalls }, { linearAxis, logAxis }] = await Promise.all([
    import('../plots/balls.js'),
    import('../plots/axes.js'),
  ]);
  const balls = models.map(({ model, multiplyAdds, parameters, top1, precision }) => ({
    ...{ name: model, family: model, hollow: precision === 'int8' },
    ...{ x: multiplyAdds / 1e9, y: 100 * top1, parametersM: parameters / 1e6 },
  }));
  return drawBalls({
    titles: [`${models[0]!.images} labelled images of ${folder}; hollow: int8`],
    x: logAxis(
      'GMAC of an image',
      balls.map(({ x }) => x),
      1.5,
    ),
    y: linearAxis(
      'top-1 accuracy, %',
      balls.map(({ y }) => y),
      5,
    ),
    balls,
  });
}
