/** `fullconv calibrate FOLDER`: the temperature of a model (evaluation/calibration.ts), measured on images that it was not fitted on. */
import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Service } from '../../app.js';
import type { Config } from '../../config.js';
import { OperatorError } from '../../errors.js';
import {
  areaUnderRoc,
  calibrationError,
  fitTemperature,
  negativeLogLikelihood,
  weightsFor,
  type Labelled,
} from '../../evaluation/calibration.js';
import { classifyFiles } from '../../evaluation/classify-files.js';
import { chooseImages, chooseSamples } from '../../evaluation/samples.js';
import { writeWhole } from '../../files.js';
import { shortSide, type Fit } from '../../maps/input-plan.js';
import { softmax } from '../../maps/scores.js';
import type { CompiledModel } from '../../models/compile.js';
import { MANIFEST_FILE, MAX_TEMPERATURE, MIN_TEMPERATURE } from '../../models/manifest.js';
import { tellFailures } from '../files/tell-failures.js';
import { formatTable, withModel } from '../local-service.js';
import { startCountingBar } from '../terminal/counting-bar.js';

export interface CalibrateFlags {
  readonly model?: string;
  readonly count: number;
  readonly others?: string;
  /** Between 0 and 1. */
  readonly accuracy?: number;
  readonly size?: number;
  readonly fit?: Fit;
  readonly write?: boolean;
  readonly json?: boolean;
}

/** What the probabilities at one temperature are worth. */
interface Worth {
  readonly temperature: number;
  readonly calibrationError: number;
  readonly negativeLogLikelihood: number;
  readonly meanConfidence: number;
  /** How well the best class's probability tells images of the classes from others. */
  readonly probabilityAuroc?: number;
}

interface CalibrationReport {
  readonly model: string;
  readonly size: number;
  readonly images: number;
  /** Of those that were not fitted on. */
  readonly top1: number;
  /** Fitted on all images. */
  readonly temperature: number;
  /** On the second half of the images: as the logits are, and at a temperature that was fitted on the first half. */
  readonly before: Worth;
  readonly after: Worth;
  readonly others?: { readonly images: number; readonly logitAuroc: number };
}

/** Images of which half are fitted on. */
const MIN_IMAGES = 100;

export async function calibrateCommand(config: Config, folder: string, flags: CalibrateFlags): Promise<void> {
  const report = await withModel(config, flags.model, async (service, model) => {
    checkCanCalibrate(config, model, flags);
    const measured = await calibrate(service, config, { model, folder, flags });
    if (flags.write === true) await writeTemperature(model, measured.temperature);
    return measured;
  });
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : textOf(report, flags));
}

/** Throws OperatorError. */
function checkCanCalibrate(
  { cache }: Config,
  { manifest, conversion, labels, folder }: CompiledModel,
  flags: CalibrateFlags,
) {
  if (conversion.activation !== 'softmax' || labels.length < 2) {
    throw new OperatorError(`${manifest.name} has no classes that exclude each other: there is nothing to calibrate`);
  }
  if (flags.write === true && !relative(resolve(cache), resolve(folder)).startsWith('..')) {
    throw new OperatorError(
      `${manifest.name} is served from the cache, where nothing written stays: make a model folder of it with fullconv import`,
    );
  }
}

interface Task {
  readonly model: CompiledModel;
  readonly folder: string;
  readonly flags: CalibrateFlags;
}

async function calibrate(service: Service, config: Config, { model, folder, flags }: Task): Promise<CalibrationReport> {
  const { name, input } = model.manifest;
  const { count, size = shortSide(input.size), fit } = flags;
  const samples = await chooseSamples(folder, { classes: model.labels, model: name, count });
  const labelled = await logitsOf(service, config, { model, files: samples.map(({ file }) => file), size, fit });
  const known = labelled.flatMap((logits, index) =>
    logits === undefined ? [] : [{ logits, classIndex: samples[index]!.classIndex }],
  );
  const areRight = known.map(isRight);
  if (flags.accuracy !== undefined && new Set(areRight).size === 1) {
    throw new OperatorError(
      `--accuracy ${flags.accuracy}: of these images ${areRight[0] ? 'all' : 'none'} are right, so that nothing can be weighed`,
    );
  }
  const weights = flags.accuracy === undefined ? undefined : weightsFor(flags.accuracy, areRight);
  const images = known.map((image, index) => ({ ...image, weight: weights?.[index] ?? 1 }));
  if (images.length < MIN_IMAGES) {
    throw new OperatorError(
      `${folder} has ${images.length} images of classes of ${name}; at least ${MIN_IMAGES} are needed`,
    );
  }
  const otherFiles = flags.others === undefined ? [] : await chooseImages(flags.others, count);
  if (flags.others !== undefined && otherFiles.length === 0) throw new OperatorError(`${flags.others} has no image`);
  const answered = await logitsOf(service, config, { model, files: otherFiles, size, fit });
  const others = answered.filter((logits) => logits !== undefined);

  // In turns, so that both halves have all classes of a sorted folder.
  const [fitted, held] = [0, 1].map((half) => images.filter((_, index) => index % 2 === half)) as [
    Weighted[],
    Weighted[],
  ];
  const rightOf = held.map(isRight);
  const heldWeight = held.reduce((sum, { weight }) => sum + weight, 0);
  const worthAt = (temperature: number): Worth => {
    const confidences = held.map(({ logits }) => confidence(logits, temperature));
    const guesses = held.map(({ weight }, index) => ({
      ...{ confidence: confidences[index]!, isRight: rightOf[index]!, weight },
    }));
    return {
      temperature,
      calibrationError: calibrationError(guesses),
      negativeLogLikelihood: negativeLogLikelihood(held, temperature),
      meanConfidence: guesses.reduce((sum, each) => sum + each.weight * each.confidence, 0) / heldWeight,
      ...(others.length > 0 && {
        probabilityAuroc: areaUnderRoc(
          confidences,
          others.map((logits) => confidence(logits, temperature)),
        ),
      }),
    };
  };
  return {
    ...{ model: name, size, images: images.length, top1: rightOf.filter(Boolean).length / held.length },
    temperature: rounded(fitTemperature(images)),
    before: worthAt(1),
    after: worthAt(rounded(fitTemperature(fitted))),
    ...(others.length > 0 && {
      others: {
        images: others.length,
        logitAuroc: areaUnderRoc(
          held.map(({ logits }) => largest(logits)),
          others.map(largest),
        ),
      },
    }),
  };
}

interface Files {
  readonly model: CompiledModel;
  readonly files: readonly string[];
  readonly size: number;
  readonly fit: Fit | undefined;
}

/** Of images without an answer, which are told, nothing. */
async function logitsOf(service: Service, config: Config, { model, files, size, fit }: Files) {
  if (files.length === 0) return [];
  const bar = startCountingBar(`${model.manifest.name} at ${size}`, files.length);
  const classifier = { ...service, maxQueue: config.maxQueue };
  const onDone = (): void => bar.increment();
  // The logits are a view of the run's output.
  const answers = await classifyFiles(classifier, model, files, { size, fit, onDone }, (logits) => ({
    logits: logits.slice(),
  })).finally(() => bar.stop());
  tellFailures(answers.filter((answer) => 'problem' in answer));
  return answers.map((answer) => ('problem' in answer ? undefined : answer.logits));
}

type Weighted = Labelled & { readonly weight: number };

/** Of equal logits the right class's counts as the largest. */
function isRight({ logits, classIndex }: Labelled): boolean {
  return logits.every((logit) => logit <= logits[classIndex]!);
}

/** The probability of the best class. */
function confidence(logits: Float32Array, temperature: number): number {
  return largest(softmax(logits, temperature));
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

/** Digits beyond these say nothing. */
function rounded(temperature: number): number {
  return Math.min(MAX_TEMPERATURE, Math.max(MIN_TEMPERATURE, Number(temperature.toPrecision(3))));
}

async function writeTemperature({ folder }: CompiledModel, temperature: number): Promise<void> {
  const file = join(folder, MANIFEST_FILE);
  const manifest = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeWhole(file, `${JSON.stringify({ ...manifest, temperature }, null, 2)}\n`);
}

function textOf(
  { model, size, images, top1, temperature, before, after, others }: CalibrationReport,
  flags: CalibrateFlags,
): string {
  const percent = (share: number): string => (100 * share).toFixed(2);
  const rows: [string, (worth: Worth) => string][] = [
    ['temperature', ({ temperature: each }) => String(each)],
    ['ECE %', ({ calibrationError: error }) => percent(error)],
    ['negative log-likelihood', ({ negativeLogLikelihood: each }) => each.toFixed(4)],
    ['mean confidence %', ({ meanConfidence }) => percent(meanConfidence)],
    ...(others === undefined
      ? []
      : [
          ['AUROC of the probability', ({ probabilityAuroc = NaN }) => probabilityAuroc.toFixed(4)] as [
            string,
            (worth: Worth) => string,
          ],
        ]),
  ];
  const table = formatTable(
    ['', 'before', 'after'],
    rows.map(([name, of]) => [name, of(before), of(after)]),
  );
  const against =
    others === undefined
      ? ''
      : `AUROC of the largest logit against ${others.images} others: ${others.logitAuroc.toFixed(4)}\n`;
  const counted = flags.accuracy === undefined ? '' : `, counted as if ${percent(flags.accuracy)} % were right`;
  const what = flags.write === true ? 'written into its model.json' : '--write keeps it';
  return (
    `${model} at ${size} pixels, ${images} images: temperature ${temperature}; ${what}\n\n` +
    `On every second image, fitted on the others; top-1 ${percent(top1)} %${counted}:\n\n${table}${against === '' ? '' : `\n${against}`}`
  );
}
