/**
 * Top-1 and top-5 accuracy on labelled images, through the same decoding, resizing and engine that requests take. An image
 * that cannot be classified counts as wrong, and as failed.
 */
import type { ServiceError } from '../errors.js';
import type { ClassifyOptions } from '../inference/classify.js';
import type { Fit } from '../maps/input-plan.js';
import type { CompiledModel } from '../models/compile.js';
import { classifyFiles, type FileResults, type Classifier } from './classify-files.js';
import type { Sample } from './samples.js';

export interface TopK {
  readonly images: number;
  /** The images without an answer: file name and reason. */
  readonly failures: readonly { readonly name: string; readonly problem: ServiceError }[];
  /** Shares of the images, from 0 to 1. */
  readonly top1: number;
  readonly top5: number;
  /** Seconds that all of them took. */
  readonly seconds: number;
}

export interface TopKOptions {
  /** Short side of the input, in pixels. */
  readonly size: number;
  /** Default: the model's own. */
  readonly fit?: Fit | undefined;
  readonly onDone?: () => void;
}

/** Throws the ServiceError of the first image if no image has an answer. */
export async function measureTopK(
  classifier: Classifier,
  model: CompiledModel,
  samples: readonly Sample[],
  { size, fit, onDone }: TopKOptions,
): Promise<TopK> {
  const options: ClassifyOptions = { fit, size, scales: [1], flip: false, topK: 5, scores: 'logit' };
  const files = samples.map(({ file }) => file);
  const started = performance.now();
  const answers = await classifyFiles(classifier, model, files, options, onDone);
  const seconds = (performance.now() - started) / 1000;
  const failures = answers.flat().filter((result) => 'problem' in result);
  if (failures.length === samples.length && failures[0] !== undefined) throw failures[0].problem;
  const ranks = answers.map(indicesOf);
  const share = (k: number): number =>
    samples.filter(({ classIndex }, position) => ranks[position]!.slice(0, k).includes(classIndex)).length /
    samples.length;
  return { images: samples.length, failures, top1: share(1), top5: share(5), seconds };
}

/** The classes of an image, best first; none where it failed. */
function indicesOf([result]: FileResults): number[] {
  return result === undefined || 'problem' in result ? [] : result.predictions.map(({ index }) => index);
}
