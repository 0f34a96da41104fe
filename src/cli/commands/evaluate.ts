/**
 * `fullconv evaluate FOLDER`: top-1 and top-5 accuracy through the same decoding, resizing and engine that requests
 * take; evaluation/samples.ts has the layouts of folders. An image that cannot be classified counts as
 * wrong, and as `failed`.
 */
import { SingleBar } from 'cli-progress';
import type { Config } from '../../config.js';
import { chooseSamples, type Sample } from '../../evaluation/samples.js';
import type { ClassifyOptions } from '../../inference/classify.js';
import { shortSide, type Fit } from '../../maps/input-plan.js';
import type { CompiledModel } from '../../models/compile.js';
import type { Service } from '../../app.js';
import { classifyFiles, type FileResults } from '../files/classify-files.js';
import { errorText } from '../error-text.js';
import { printRows, withService } from '../local-service.js';

export interface EvaluateFlags {
  readonly model?: readonly string[];
  readonly size?: readonly number[];
  readonly fit?: Fit | undefined;
  readonly json?: boolean;
}

/** A line of the table. */
interface Evaluation {
  readonly model: string;
  readonly size: number;
  readonly images: number;
  readonly failed: number;
  readonly 'top-1 %': number;
  readonly 'top-5 %': number;
  readonly 'images/s': number;
}

export async function evaluateCommand(config: Config, folder: string, flags: EvaluateFlags): Promise<void> {
  const evaluations = await withService(config, async (service) => {
    const done: Evaluation[] = [];
    for (const name of flags.model ?? [undefined]) {
      await service.registry.use(name, async (model) => {
        const samples = await chooseSamples(folder, { classes: model.labels, model: model.manifest.name });
        for (const size of flags.size ?? [shortSide(model.manifest.input.size)]) {
          done.push(await evaluate(service, config, model, samples, size, flags.fit));
        }
      });
    }
    return done;
  });
  printRows(evaluations, flags.json);
}

async function evaluate(
  service: Service,
  config: Config,
  model: CompiledModel,
  samples: readonly Sample[],
  size: number,
  fit: Fit | undefined,
): Promise<Evaluation> {
  const { name } = model.manifest;
  const files = samples.map(({ file }) => file);
  const options: ClassifyOptions = { fit, size, scales: [1], flip: false, topK: 5, scores: 'logit' };
  const bar = new SingleBar({
    format: `${name} at ${size} {bar} {percentage}% | {value}/{total} | {eta_formatted} left`,
    stream: process.stderr,
    noTTYOutput: false,
  });
  bar.start(samples.length, 0);
  const started = performance.now();
  const answers = await classifyFiles(service, config, model, files, options, () => bar.increment()).finally(() =>
    bar.stop(),
  );
  const seconds = (performance.now() - started) / 1000;

  const failures = answers.flat().filter((result) => 'problem' in result);
  if (failures.length === samples.length) throw failures[0]!.problem;
  for (const { name: file, problem } of failures) process.stderr.write(`${file}: ${errorText(problem)}\n`);
  const ranks = answers.map(indicesOf);
  const hits = (k: number): number =>
    samples.filter(({ classIndex }, position) => ranks[position]!.slice(0, k).includes(classIndex)).length;
  return {
    model: name,
    size,
    images: samples.length,
    failed: failures.length,
    'top-1 %': percentage(hits(1), samples.length),
    'top-5 %': percentage(hits(5), samples.length),
    'images/s': Math.round(samples.length / seconds),
  };
}

/** The classes of an image, best first; none where it failed. */
function indicesOf([result]: FileResults): number[] {
  return result === undefined || 'problem' in result ? [] : result.predictions.map(({ index }) => index);
}

function percentage(part: number, whole: number): number {
  return Math.round((part / whole) * 10000) / 100;
}
