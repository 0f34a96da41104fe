/** The answers of a changed classifier on labelled images. Hides how many are in flight. */
import pLimit from 'p-limit';
import { OperatorError, ServiceError } from '../errors.js';
import { readImage } from '../evaluation/image-file.js';
import type { Sample } from '../evaluation/samples.js';
import type { Graph } from '../graph/graph.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { expectTensor } from '../tensor.js';
import type { Lab } from './lab.js';
import type { Subject } from './subject.js';

/** Runs in flight: twice what the workers' batches hold, but no more than the queue takes. */
export function runsAtOnce({ config }: Lab, { service: { limits, pool } }: Subject): number {
  return Math.min(2 * limits.maxBatchSize * pool.size, config.maxQueue);
}

/**
 * The first class of each image, by a graph over the model's weights. Throws OperatorError naming the file of an image that
 * has no answer.
 */
export async function classesOf(
  lab: Lab,
  subject: Subject,
  graph: Graph,
  samples: readonly Sample[],
): Promise<number[]> {
  const slots = pLimit(runsAtOnce(lab, subject));
  const probe = await subject.open(graph);
  try {
    return await slots.map(samples, async ({ file }) => {
      try {
        const outputs = await probe.photo(await readImage(file));
        return largestIndex(expectTensor(outputs, LOGITS, 'float32').data);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        throw new OperatorError(`${file}: ${error.message}`, { cause: error });
      }
    });
  } finally {
    slots.clearQueue();
    await probe.close();
  }
}

/** Percent of the images whose first class is right. */
export async function accuracyOf(
  lab: Lab,
  subject: Subject,
  graph: Graph,
  samples: readonly Sample[],
): Promise<number> {
  return agreement(
    await classesOf(lab, subject, graph, samples),
    samples.map(({ classIndex }) => classIndex),
  );
}

/** Percent of the places at which two lists agree. */
export function agreement(classes: readonly number[], others: readonly number[]): number {
  return (100 * classes.filter((index, position) => index === others[position]).length) / classes.length;
}

function largestIndex(numbers: Float32Array): number {
  return numbers.reduce((best, number, index) => (number > numbers[best]! ? index : best), 0);
}
