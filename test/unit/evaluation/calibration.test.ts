import { describe, expect, it } from 'vitest';
import {
  areaUnderRoc,
  calibrationError,
  fitTemperature,
  negativeLogLikelihood,
  weightsFor,
  type Labelled,
} from '../../../src/evaluation/calibration.js';
import { softmax } from '../../../src/maps/scores.js';
import { createRandom } from '../../../load/chaos/random.js';

const random = createRandom(7);

/** Images whose classes really have the probabilities of their logits, and logits that are `factor` times those. */
function imagesOf(count: number, factor: number): Labelled[] {
  return Array.from({ length: count }, () => {
    const logits = Float32Array.from({ length: 8 }, () => 4 * random.next());
    let left = random.next();
    const classIndex = softmax(logits).findIndex((probability) => (left -= probability) < 0);
    return { logits: logits.map((logit) => factor * logit), classIndex: Math.max(0, classIndex) };
  });
}

describe('fitTemperature', () => {
  it.each([0.4, 1, 3])('finds by how much logits are too large: %s', (factor) => {
    const images = imagesOf(4000, factor);
    const temperature = fitTemperature(images);
    expect(temperature / factor).toBeGreaterThan(0.93);
    expect(temperature / factor).toBeLessThan(1.07);
    const likelihood = negativeLogLikelihood(images, temperature);
    for (const other of [0.98, 1.02]) {
      expect(negativeLogLikelihood(images, other * temperature)).toBeGreaterThan(likelihood);
    }
    const errorAt = (at: number): number =>
      calibrationError(
        images.map(({ logits, classIndex }) => {
          const probabilities = softmax(logits, at);
          const confidence = Math.max(...probabilities);
          return { confidence, isRight: probabilities[classIndex] === confidence };
        }),
      );
    expect(errorAt(temperature)).toBeLessThan(0.025);
    if (factor !== 1) expect(errorAt(1)).toBeGreaterThan(0.1);
  });

  it('stays within its limits where every image is right, or none', () => {
    const logits = Float32Array.of(2, 1);
    expect(fitTemperature([{ logits, classIndex: 0 }])).toBeLessThan(0.1);
    expect(fitTemperature([{ logits, classIndex: 1 }])).toBeCloseTo(100, 2);
  });
});

it('negativeLogLikelihood is finite for a class that has no probability', () => {
  expect(negativeLogLikelihood([{ logits: Float32Array.of(1e4, -1e4), classIndex: 1 }], 1)).toBeGreaterThan(700);
  expect(negativeLogLikelihood([{ logits: Float32Array.of(0, 0), classIndex: 1 }], 1)).toBeCloseTo(Math.LN2, 6);
});

describe('calibrationError', () => {
  it('is the distance of confidence from the share of right answers, by bins', () => {
    const guesses = (confidence: number, right: number, wrong: number) => [
      ...Array.from({ length: right }, () => ({ confidence, isRight: true })),
      ...Array.from({ length: wrong }, () => ({ confidence, isRight: false })),
    ];
    expect(calibrationError(guesses(0.75, 3, 1))).toBeCloseTo(0, 9);
    expect(calibrationError(guesses(1, 3, 1))).toBeCloseTo(0.25, 9);
    // Too sure in one bin does not make up for too modest in another.
    expect(calibrationError([...guesses(0.9, 2, 2), ...guesses(0.1, 2, 2)])).toBeCloseTo(0.4, 9);
  });
});

describe('areaUnderRoc', () => {
  it('is the share of pairs in the right order, equal ones by half', () => {
    expect(areaUnderRoc([2, 3], [0, 1])).toBe(1);
    expect(areaUnderRoc([0, 1], [2, 3])).toBe(0);
    expect(areaUnderRoc([1, 1], [1, 1])).toBe(0.5);
    expect(areaUnderRoc([1, 3], [0, 2, 3])).toBeCloseTo((1 + 0 + 0 + 1 + 1 + 0.5) / 6, 9);
  });
});

describe('weightsFor', () => {
  it('has a selection of easy images count as the images that it was selected from', () => {
    const all = imagesOf(8000, 0.7);
    const isRight = ({ logits, classIndex }: Labelled): boolean => logits[classIndex] === Math.max(...logits);
    const accuracy = all.filter(isRight).length / all.length;
    // Two thirds of the wrong answers are left out.
    const easy = all.filter((image, index) => isRight(image) || index % 3 === 0);
    const weights = weightsFor(accuracy, easy.map(isRight));
    const weighted = easy.map((image, index) => ({ ...image, weight: weights[index]! }));
    expect(fitTemperature(easy) / fitTemperature(all)).toBeLessThan(0.9);
    expect(fitTemperature(weighted) / fitTemperature(all)).toBeGreaterThan(0.97);
    expect(fitTemperature(weighted) / fitTemperature(all)).toBeLessThan(1.03);
    expect(negativeLogLikelihood(weighted, 0.7)).toBeCloseTo(negativeLogLikelihood(all, 0.7), 1);
    const guessesOf = (images: readonly Labelled[]) =>
      images.map((image) => {
        const confidence = Math.max(...softmax(image.logits, 0.7));
        return { confidence, isRight: isRight(image), ...(image.weight !== undefined && { weight: image.weight }) };
      });
    expect(calibrationError(guessesOf(easy))).toBeGreaterThan(0.06);
    expect(calibrationError(guessesOf(weighted))).toBeLessThan(0.03);
  });
});
