/**
 * How far probabilities say how often answers are right, and the temperature that makes them. Pure.
 * Sources: Guo 2017 (On Calibration of Modern Neural Networks), Naeini 2015 (expected calibration error).
 */
import { MAX_TEMPERATURE, MIN_TEMPERATURE } from '../models/manifest.js';
import { softmax } from '../maps/scores.js';

/** An image whose class is known: its logits `[K]`. */
export interface Labelled {
  readonly logits: Float32Array;
  readonly classIndex: number;
  /** How often it counts. Default: 1. */
  readonly weight?: number;
}

/** An answer: the probability of its best class, and whether that is the right one. */
export interface Guess {
  readonly confidence: number;
  readonly isRight: boolean;
  /** How often it counts. Default: 1. */
  readonly weight?: number;
}

/** Halvings of the logarithm of the temperature: 9.2 / 2²⁴ is below 10⁻⁶. */
const HALVINGS = 24;

const BINS = 15;

/**
 * The temperature at which the images have the least negative log-likelihood, within the manifest's limits. The likelihood is
 * convex in 1 / temperature, so its slope has one zero, which is found by bisection.
 */
export function fitTemperature(images: readonly Labelled[]): number {
  let [low, high] = [Math.log(MIN_TEMPERATURE), Math.log(MAX_TEMPERATURE)];
  for (let step = 0; step < HALVINGS; step++) {
    const middle = (low + high) / 2;
    // Above zero: the mean logit is above that of the class, so a smaller 1 / temperature is better.
    if (slope(images, Math.exp(middle)) > 0) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}

/** The derivative of the negative log-likelihood by 1 / temperature: Σ (mean logit under the probabilities − logit of the class). */
function slope(images: readonly Labelled[], temperature: number): number {
  let sum = 0;
  for (const { logits, classIndex, weight = 1 } of images) {
    const probabilities = softmax(logits, temperature);
    let mean = 0;
    for (let index = 0; index < logits.length; index++) mean += probabilities[index]! * logits[index]!;
    sum += weight * (mean - logits[classIndex]!);
  }
  return sum;
}

/** The mean of −log p of the images' own classes. */
export function negativeLogLikelihood(images: readonly Labelled[], temperature: number): number {
  const least = Number.MIN_VALUE;
  let sum = 0;
  for (const { logits, classIndex, weight = 1 } of images) {
    sum -= weight * Math.log(Math.max(least, softmax(logits, temperature)[classIndex]!));
  }
  return sum / totalWeight(images);
}

/**
 * The expected calibration error, 0 to 1: the mean distance between confidence and share of right answers over 15 bins of equal
 * width, weighted by their images.
 */
export function calibrationError(guesses: readonly Guess[]): number {
  const surplus = new Float64Array(BINS);
  for (const { confidence, isRight, weight = 1 } of guesses) {
    const bin = Math.min(BINS - 1, Math.floor(confidence * BINS));
    surplus[bin]! += weight * (confidence - (isRight ? 1 : 0));
  }
  return surplus.reduce((sum, each) => sum + Math.abs(each), 0) / totalWeight(guesses);
}

function totalWeight(counted: readonly { readonly weight?: number }[]): number {
  return counted.reduce((sum, { weight = 1 }) => sum + weight, 0);
}

/**
 * The weights with which `accuracy`, between 0 and 1, of the images are right, all right ones alike and all wrong ones alike. For
 * images that are easier, or harder, than those that a net will see. Some must be right and some wrong.
 */
export function weightsFor(accuracy: number, areRight: readonly boolean[]): number[] {
  const share = areRight.filter(Boolean).length / areRight.length;
  return areRight.map((isRight) => (isRight ? accuracy / share : (1 - accuracy) / (1 - share)));
}

/**
 * The area under the ROC curve: the probability that one of the first has a larger number than one of the others, equal ones
 * counted by half. 0.5 if the numbers say nothing.
 */
export function areaUnderRoc(first: readonly number[], others: readonly number[]): number {
  const sorted = Float64Array.from(others).sort();
  let wins = 0;
  for (const value of first) {
    wins += (below(sorted, value, false) + below(sorted, value, true)) / 2;
  }
  return wins / (first.length * others.length);
}

/** How many of the rising numbers are less than `value`, or at most as large. */
function below(rising: Float64Array, value: number, orEqual: boolean): number {
  let [low, high] = [0, rising.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle]! < value || (orEqual && rising[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}
