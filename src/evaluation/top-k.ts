/**
 * Top-1 and top-5 accuracy on labelled images, and the calibration error of their probabilities, through the same decoding, resizing
 * and engine that requests take. An image that cannot be classified counts as wrong, and as failed.
 */
import type { FailedImage } from '../inference/answer-each.js';
import { toProbabilities, topK } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { calibrationError } from './calibration.js';
import { classifyFiles, type Classifier, type FilesOptions } from './classify-files.js';
import type { Sample } from './samples.js';

export interface TopK {
  readonly images: number;
  /** The images without an answer: file name and reason. */
  readonly failures: readonly FailedImage[];
  /** Shares of the images, from 0 to 1. */
  readonly top1: number;
  readonly top5: number;
  /** Expected calibration error (calibration.ts) of the images with an answer. */
  readonly calibrationError: number;
  /** Seconds that all of them took. */
  readonly seconds: number;
}

/** Throws the ServiceError of the first image if no image has an answer. */
export async function measureTopK(
  classifier: Classifier,
  model: CompiledModel,
  samples: readonly Sample[],
  options: FilesOptions,
): Promise<TopK> {
  const files = samples.map(({ file }) => file);
  const started = performance.now();
  const answers = await classifyFiles(classifier, model, files, options, (logits, index) => {
    const best = topK(logits, 5).map((each) => each.index);
    return {
      rank: best.indexOf(samples[index]!.classIndex),
      confidence: toProbabilities(logits, model.conversion)[best[0]!]!,
    };
  });
  const seconds = (performance.now() - started) / 1000;
  const failures = answers.filter((answer) => 'problem' in answer);
  const guesses = answers.flatMap((answer) => ('problem' in answer ? [] : answer));
  const share = (k: number): number => guesses.filter(({ rank }) => rank >= 0 && rank < k).length / samples.length;
  return {
    ...{ images: samples.length, failures, top1: share(1), top5: share(5), seconds },
    calibrationError: calibrationError(guesses.map(({ rank, confidence }) => ({ confidence, isRight: rank === 0 }))),
  };
}
