/**
 * Classifies the images of an evaluation, each as a request of its own, as cli/files/answer-files.ts does for people. Here an
 * unreadable file ends the whole, and an image that cannot be classified is a result.
 */
import pLimit from 'p-limit';
import { ServiceError } from '../errors.js';
import type { FailedImage } from '../inference/answer-each.js';
import { imagesAtOnce, type Throughput } from '../inference/images-at-once.js';
import type { ImageInput, Inference } from '../inference/infer.js';
import { localContext } from '../inference/request-context.js';
import { scoreImages, type ScoresOptions } from '../inference/scores.js';
import type { Fit } from '../maps/input-plan.js';
import type { CompiledModel } from '../models/compile.js';
import { readImage } from './image-file.js';

/** What classifies: a service, with its limit of passes in the server. */
export interface Classifier extends Throughput {
  readonly inference: Inference;
  readonly maxQueue: number;
}

export interface FilesOptions {
  /** Short side of the input, in pixels. */
  readonly size: number;
  /** Default: the model's own. */
  readonly fit?: Fit | undefined;
  readonly onDone?: (() => void) | undefined;
}

/**
 * Classify files, and keep of each what `read` makes of its logits, `[K]`. The results are in the order of the files; an image that
 * cannot be classified is a result with its problem. Throws if a file cannot be read, for errors that no file is to blame for, and
 * the problem of the first image if no image has an answer.
 */
export async function classifyFiles<T extends object>(
  classifier: Classifier,
  model: CompiledModel,
  files: readonly string[],
  { size, fit, onDone }: FilesOptions,
  read: (logits: Float32Array, index: number) => T,
): Promise<(T | FailedImage)[]> {
  const options: ScoresOptions = { fit, size, scales: [1], flip: false, scores: 'logit' };

  async function classifyOne(image: ImageInput, index: number): Promise<T | FailedImage> {
    try {
      const [result] = await scoreImages(classifier.inference, model, [image], options, localContext);
      return 'problem' in result! ? result : read(result!.answer, index);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryable) throw error;
      return { name: image.name, problem: error };
    }
  }

  const slots = pLimit(Math.max(1, imagesAtOnce(classifier, classifier.maxQueue, options)));
  try {
    const results = await slots.map(files, async (file, index) => {
      const result = await classifyOne(await readImage(file), index);
      onDone?.();
      return result;
    });
    const failures = results.filter((result) => 'problem' in result);
    if (failures.length === results.length && failures[0] !== undefined) throw failures[0].problem;
    return results;
  } finally {
    slots.clearQueue();
  }
}
