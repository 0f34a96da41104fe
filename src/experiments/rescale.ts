/**
 * One photograph at several scales: how the answer of a net that was trained at one size changes with the size of what it
 * sees. A net with global average pooling answers at any size; that its answer stays right is another matter.
 */
import { basename } from 'node:path';
import { findClass } from '../classes/classes.js';
import { OperatorError, ServiceError, UsageError } from '../errors.js';
import { readImage } from '../evaluation/image-file.js';
import { classInName } from '../evaluation/samples.js';
import { classify, type Prediction } from '../inference/classify.js';
import type { ImageInput } from '../inference/infer.js';
import { localContext } from '../inference/request-context.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

const SCALES = [1, 1.1, 1.5, 2, 3, 5, 10];

/** What the lecture saw: Keras' ResNet-50 on its photograph of an elephant. At 10 the class was not among three. */
const LECTURE = {
  name: "lecture: Keras' ResNet-50, another African elephant",
  probability: new Map([
    [1, 0.946],
    [1.1, 0.892],
    [1.5, 0.803],
    [2, 0.716],
    [3, 0.653],
    [5, 0.281],
  ]),
};

export interface RescaledModel {
  readonly model: string;
  /** The class that the photograph shows, or else the model's answer at its own size. */
  readonly class: { readonly id: string; readonly label: string };
  readonly scales: readonly Rescaled[];
}

export type Rescaled = { readonly scale: number } & (
  | {
      /** Sides of the input, in pixels. */
      readonly width: number;
      readonly height: number;
      /** Of the class, and its rank, from 1. */
      readonly probability: number;
      readonly rank: number;
      /** The best three. */
      readonly best: readonly Prediction[];
    }
  /** Why the net gave no answer. */
  | { readonly problem: string }
);

export interface RescaleData {
  readonly photo: string;
  readonly models: readonly RescaledModel[];
  readonly lecture: readonly { readonly scale: number; readonly probability: number }[];
}

export async function rescale(
  lab: Lab,
  { images: file, model: models = [], scale: scales = SCALES, class: name }: ExperimentOptions,
): Promise<Findings & { readonly data: RescaleData }> {
  if (file === undefined) throw new UsageError('This experiment needs a photograph.');
  const image = await readImage(file);
  const found: RescaledModel[] = [];
  const asked = models.length === 0 ? [undefined] : models;
  const bar = lab.progress('scales', asked.length * scales.length);
  try {
    for (const each of asked) {
      found.push(
        await lab.use(each, (subject) => rescaleWith(subject, image, { scales, name, step: () => bar.step() })),
      );
    }
  } finally {
    bar.stop();
  }
  lab.sees({ from: file, count: 1 });
  const lecture = [...LECTURE.probability].map(([scale, probability]) => ({ scale, probability }));
  const data = { photo: basename(file), models: found, lecture };
  return { title: 'one photograph at several scales', data, sections: sectionsOf(data) };
}

async function rescaleWith(
  { service, model }: Subject,
  image: ImageInput,
  { scales, name, step }: { scales: readonly number[]; name: string | undefined; step: () => void },
): Promise<RescaledModel> {
  const { labels, manifest } = model;
  const answerAt = async (scale: number) => {
    const options = { scales: [scale], flip: false, topK: labels.length, scores: 'probability' } as const;
    const [answer] = (await classify(service.inference, model, [image], options, localContext)).results;
    if (answer === undefined || 'problem' in answer) throw answer?.problem ?? new Error('there is no answer');
    return answer;
  };
  const shown = await shownClass(name, image.name, manifest.name, labels, () => answerAt(1));
  const results: Rescaled[] = [];
  for (const scale of scales) {
    try {
      const { predictions, input } = await answerAt(scale);
      const rank = predictions.findIndex(({ index }) => index === shown);
      const { width, height } = input;
      const best = predictions.slice(0, 3);
      results.push({ scale, width, height, probability: predictions[rank]!.score, rank: rank + 1, best });
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryable) throw error;
      results.push({ scale, problem: error.message });
    }
    step();
  }
  const [problem] = results.flatMap((result) => ('problem' in result ? [result.problem] : []));
  if (problem !== undefined && results.every((result) => 'problem' in result)) {
    throw new OperatorError(`${manifest.name}: ${problem}`);
  }
  const { id, label } = labels[shown]!;
  return { model: manifest.name, class: { id, label }, scales: results };
}

/** The class that was named, that is in the file's name, or that the model sees at its own size. */
async function shownClass(
  name: string | undefined,
  file: string,
  model: string,
  labels: Subject['model']['labels'],
  answer: () => Promise<{ readonly predictions: readonly Prediction[] }>,
): Promise<number> {
  if (name === undefined) return classInName(file, labels) ?? (await answer()).predictions[0]!.index;
  const index = findClass(name, labels);
  if (index === undefined) throw new UsageError(`${model} has no class "${name}"`);
  return index;
}

function sectionsOf({ models, photo }: RescaleData): Section[] {
  const scales = models[0]!.scales.map(({ scale }) => scale);
  const sizes = models[0]!.scales.map((result) => ('problem' in result ? '' : Math.min(result.width, result.height)));
  return [
    {
      table: `Probability of the class of ${photo}; * where it is the first`,
      header: ['scale', 'size', ...models.map(({ model, class: { label } }) => `${model}: ${label}`), LECTURE.name],
      rows: scales.map((scale, index) => [
        scale,
        sizes[index]!,
        ...models.map(({ scales: results }) => probabilityText(results[index]!)),
        LECTURE.probability.get(scale)?.toFixed(3) ?? '',
      ]),
    },
    ...models.map(({ model, scales: results }) => ({
      table: `${model}, its best three`,
      header: ['scale', 'first', 'second', 'third'],
      rows: results.map((result) => [
        result.scale,
        ...('problem' in result
          ? [result.problem, '', '']
          : result.best.map(({ label, score }) => `${label} ${score.toFixed(3)}`)),
      ]),
    })),
    {
      figure: 'rescale',
      caption: 'Probability of the class over the scale; hollow where another class is the first',
      draw: () => draw(models),
    },
  ];
}

function probabilityText(result: Rescaled): string {
  if ('problem' in result) return '–';
  return result.probability.toFixed(3) + (result.rank === 1 ? '*' : '');
}

async function draw(models: readonly RescaledModel[]): Promise<string> {
  const [{ drawCurves }, { linearAxis, logAxis }] = await Promise.all([
    import('../plots/curves.js'),
    import('../plots/axes.js'),
  ]);
  const lecture = [...LECTURE.probability].map(([x, y]) => ({ x, y }));
  const curves = models.map(({ model, class: { label }, scales }) => ({
    name: `${model}: ${label}`,
    dots: true,
    points: scales.flatMap((result) =>
      'problem' in result ? [] : [{ x: result.scale, y: result.probability, hollow: result.rank !== 1 }],
    ),
  }));
  const xs = [...curves.flatMap(({ points }) => points.map(({ x }) => x)), ...lecture.map(({ x }) => x)];
  return drawCurves({
    title: 'probability of the class of a photograph; hollow: another class is the first',
    x: logAxis("scale: times the model's own size", xs, 1.1),
    y: linearAxis('probability', [0, 1], 0.03),
    curves: [...curves, { name: LECTURE.name, points: lecture, dashed: true, dots: true }],
  });
}
