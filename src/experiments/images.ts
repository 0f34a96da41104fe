/** The images that experiments look at, and how many of them are in memory. */
import pLimit from 'p-limit';
import { OperatorError, ServiceError, UsageError } from '../errors.js';
import { readImage } from '../evaluation/image-file.js';
import { chooseSamples, type Sample } from '../evaluation/samples.js';
import type { ImageInput } from '../inference/infer.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Subject } from './subject.js';

/**
 * The labelled images of the folder that was named, those of the model's classes, at most `count`; the report will name them.
 * Throws OperatorError if there is none, and UsageError if no folder was named.
 */
export async function labelledImages(
  lab: Lab,
  { model }: Subject,
  { images, count = Infinity }: Pick<ExperimentOptions, 'images' | 'count'>,
): Promise<readonly Sample[]> {
  if (images === undefined) throw new UsageError('This experiment needs a folder of labelled images.');
  const samples = await chooseSamples(images, { classes: model.labels, model: model.manifest.name, count });
  lab.sees({ from: images, count: samples.length });
  return samples;
}

/**
 * Do the work for each image, as many at a time as keep the engine busy, under a progress bar. The results are in the order
 * of the files. Throws OperatorError, naming the file, for an image that the model refuses.
 */
export async function eachImage<T>(
  lab: Lab,
  { service }: Subject,
  files: readonly string[],
  what: string,
  work: (image: ImageInput, index: number) => Promise<T>,
): Promise<T[]> {
  const slots = pLimit(2 * service.pool.size);
  const bar = lab.progress(what, files.length);
  try {
    return await slots.map(files, async (file, index) => {
      const image = await readImage(file);
      try {
        return await work(image, index);
      } catch (error) {
        if (error instanceof ServiceError) throw new OperatorError(`${file}: ${error.message}`, { cause: error });
        throw error;
      } finally {
        bar.step();
      }
    });
  } finally {
    slots.clearQueue();
    bar.stop();
  }
}
