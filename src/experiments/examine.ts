/** The answers of a changed classifier on labelled images. Hides how many are in flight. */
import pLimit from 'p-limit';
import { OperatorError, ServiceError } from '../errors.js';
import { readImage } from '../evaluation/image-file.js';
import type { Sample } from '../evaluation/samples.js';
import type { Graph } from '../graph/graph.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { expectTensor, type TensorMap } from '../tensor.js';
import type { Subject } from './subject.js';

/**
 * What a graph over the model's weights gives for each image, in the order of the images. Throws OperatorError naming the
 * file of an image that has no answer.
 */
export async function observe<T>(
  subject: Subject,
  graph: Graph,
  samples: readonly Sample[],
  read: (outputs: TensorMap, sample: Sample) => T,
): Promise<T[]> {
  const { limits, pool } = subject.service;
  const slots = pLimit(2 * limits.maxBatchSize * pool.size);
  const probe = await subject.open(graph);
  try {
    return await slots.map(samples, async (sample) => {
      try {
        return read(await probe.photo(await readImage(sample.file)), sample);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        throw new OperatorError(`${sample.file}: ${error.message}`, { cause: error });
      }
    });
  } finally {
    await probe.close();
  }
}

/** The first class of each image. */
export function classesOf(subject: Subject, graph: Graph, samples: readonly Sample[]): Promise<number[]> {
  return observe(subject, graph, samples, (outputs) => largestIndex(expectTensor(outputs, LOGITS, 'float32').data));
}

/** Percent of the images whose first class is right. */
export async function accuracyOf(subject: Subject, graph: Graph, samples: readonly Sample[]): Promise<number> {
  return agreement(
    await classesOf(subject, graph, samples),
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
