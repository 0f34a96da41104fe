/**
 * Classifies the images of an evaluation, each as a request of its own, as cli/files/answer-files.ts does for people. Here an
 * unreadable file ends the whole, and an image that cannot be classified is a result.
 */
import pLimit from 'p-limit';
import { ServiceError } from '../errors.js';
import { classify, type ClassifyAnswer, type ClassifyOptions } from '../inference/classify.js';
import { imagesAtOnce, type Throughput } from '../inference/images-at-once.js';
import type { ImageInput, Inference } from '../inference/infer.js';
import { localContext } from '../inference/request-context.js';
import type { CompiledModel } from '../models/compile.js';
import { readImage } from './image-file.js';

/** What classifies: a service, with its limit of passes in the server. */
export interface Classifier extends Throughput {
  readonly inference: Inference;
  readonly maxQueue: number;
}

/** The result of one file: its classes at each scale, or its problem. */
export type FileResults = ClassifyAnswer['results'];

/**
 * Classify files. The results are in the order of the files; an image that cannot be classified is a result with its
 * problem. Throws if a file cannot be read, and for errors that no file is to blame for.
 */
export async function classifyFiles(
  classifier: Classifier,
  model: CompiledModel,
  files: readonly string[],
  options: ClassifyOptions,
  onDone: () => void = () => undefined,
): Promise<FileResults[]> {
  async function classifyOne(image: ImageInput): Promise<FileResults> {
    try {
      return (await classify(classifier.inference, model, [image], options, localContext)).results;
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryable) throw error;
      return [{ name: image.name, problem: error }];
    }
  }

  const slots = pLimit(Math.max(1, imagesAtOnce(classifier, classifier.maxQueue, options)));
  try {
    return await slots.map(files, async (file) => {
      const results = await classifyOne(await readImage(file));
      onDone();
      return results;
    });
  } finally {
    slots.clearQueue();
  }
}
