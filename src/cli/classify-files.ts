/**
 * Local image files through the network, each as a request of its own: as many at once as keep the workers busy and the
 * queue takes, and only those in memory. The batcher puts them together again.
 */
import pLimit from 'p-limit';
import type { Service } from '../app.js';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import { classify, type ClassifyAnswer, type ClassifyOptions } from '../inference/classify.js';
import { passesPerImage } from '../inference/answer-each.js';
import type { ImageInput } from '../inference/infer.js';
import type { CompiledModel } from '../models/compile.js';
import { localContext, readImage } from './local-service.js';

/** What became of one file: its classes at each scale, or its problem. */
export type FileResults = ClassifyAnswer['results'];

/**
 * Classify files; their results are in the order of the files. A file that holds no image that can be classified is a
 * result too; one that cannot be read ends the whole, as does what no file is to blame for.
 */
export async function classifyFiles(
  { inference, pool, limits }: Service,
  { maxQueue }: Config,
  model: CompiledModel,
  files: readonly string[],
  options: ClassifyOptions,
  onDone: () => void = () => undefined,
): Promise<FileResults[]> {
  async function classifyOne(image: ImageInput): Promise<FileResults> {
    try {
      return (await classify(inference, model, [image], options, localContext)).results;
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryable) throw error;
      return [{ name: image.name, problem: error }];
    }
  }

  const atOnce = Math.min(2 * limits.maxBatchSize * pool.size, Math.floor(maxQueue / passesPerImage(options)));
  const slots = pLimit(Math.max(1, atOnce));
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
