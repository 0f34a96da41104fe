/**
 * Classifies the images of an evaluation, each as a request of its own, as answer-files.ts does for people. Here an
 * unreadable file ends the whole, and an image that cannot be classified is a result.
 */
import pLimit from 'p-limit';
import type { Service } from '../../app.js';
import type { Config } from '../../config.js';
import { ServiceError } from '../../errors.js';
import { classify, type ClassifyAnswer, type ClassifyOptions } from '../../inference/classify.js';
import type { ImageInput } from '../../inference/infer.js';
import type { CompiledModel } from '../../models/compile.js';
import { localContext } from '../../inference/request-context.js';
import { readImage } from '../../evaluation/image-file.js';
import { filesAtOnce } from '../local-service.js';

/** The result of one file: its classes at each scale, or its problem. */
export type FileResults = ClassifyAnswer['results'];

/**
 * Classify files. The results are in the order of the files; an image that cannot be classified is a result with its
 * problem. Throws if a file cannot be read, and for errors that no file is to blame for.
 */
export async function classifyFiles(
  service: Service,
  config: Config,
  model: CompiledModel,
  files: readonly string[],
  options: ClassifyOptions,
  onDone: () => void = () => undefined,
): Promise<FileResults[]> {
  async function classifyOne(image: ImageInput): Promise<FileResults> {
    try {
      return (await classify(service.inference, model, [image], options, localContext)).results;
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryable) throw error;
      return [{ name: image.name, problem: error }];
    }
  }

  const slots = pLimit(Math.max(1, filesAtOnce(service, config, options)));
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
