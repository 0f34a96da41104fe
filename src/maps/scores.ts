/** Scores of classes: logits to probabilities, means, and the best few. Pure; no function changes its arguments. */
import { descendingKeys, sortedPositions } from './radix-sort.js';
import { eachRange, finish, type Steps } from './steps.js';

/** What the score of a class is: a probability in [0, 1], or the network's raw output. */
export const SCORES = {
  probability: 'softmax over classes; of independent classes the sigmoid of each',
  logit: 'raw scores',
} as const;

export type ScoreKind = keyof typeof SCORES;

/** What the values of a map are. A constant map is normalized to zeros. */
export const MAP_SCORES = {
  probability: 'softmax over classes at each position; of independent classes the sigmoid of each',
  logit: 'raw scores',
  normalized: 'raw scores scaled to 0–1 by the extremes of each map',
} as const;

export type MapScores = keyof typeof MAP_SCORES;

/** What makes probabilities of logits. */
export const ACTIVATIONS = {
  softmax: 'one class excludes the others',
  sigmoid: 'each class is true or not by itself',
} as const;

export type Activation = keyof typeof ACTIVATIONS;

/** How logits become probabilities: the activation of logit / temperature. */
export interface Conversion {
  readonly activation: Activation;
  /** Above 0. Above 1 the net is less sure of itself than its logits say (temperature scaling: Guo 2017). */
  readonly temperature: number;
}

/** An entry of a score vector: which class, how much. */
export interface Scored {
  readonly index: number;
  readonly value: number;
}

/** Probabilities over classes, `[K]` → `[K]`; shifted by the largest logit, so that no exponential overflows. */
export function softmax(logits: Float32Array, temperature = 1): Float32Array {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp((logit - largest) / temperature);
  const probabilities = new Float32Array(logits.length);
  for (let i = 0; i < logits.length; i++) probabilities[i] = Math.exp((logits[i]! - largest) / temperature) / sum;
  return probabilities;
}

/** The probability of one class by itself. */
export function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

/** `[K]` → `[K]`. */
export function toProbabilities(logits: Float32Array, { activation, temperature }: Conversion): Float32Array {
  return activation === 'sigmoid' ? logits.map((logit) => sigmoid(logit / temperature)) : softmax(logits, temperature);
}

/** Insertion takes time with the square of `k`; from here on sorting is faster. */
const MAX_INSERTED = 64;

/**
 * The `k` largest values, largest first, and the lower index first if values are equal; all of them if `k` exceeds
 * their number. A few by insertion into the best so far: 4 µs for 5 of 1000, a sixth of the time that sorting takes.
 */
export function topK(values: Float32Array, k: number): Scored[] {
  if (k > MAX_INSERTED) {
    const order = finish(sortedPositions(descendingKeys(values)));
    return Array.from(order.subarray(0, k), (index) => ({ index, value: values[index]! }));
  }
  const best: Scored[] = [];
  if (k <= 0) return best;
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (best.length === k && value <= best[k - 1]!.value) continue;
    best.splice(firstBelow(best, value), 0, { index, value });
    if (best.length > k) best.pop();
  }
  return best;
}

/**
 * The mean of the probabilities or of the logits over runs. Each run has the logits of the whole image, `[K]`; so has
 * the mean.
 */
export function* meanScores(
  logits: readonly Float32Array[],
  kind: ScoreKind,
  conversion: Conversion,
): Steps<Float32Array> {
  const scoresOf = (vector: Float32Array): Float32Array =>
    kind === 'logit' ? vector : toProbabilities(vector, conversion);
  const [first = new Float32Array()] = logits;
  if (logits.length < 2) return scoresOf(first);
  const sums = new Float64Array(first.length);
  for (const vector of logits) {
    const scores = scoresOf(vector);
    for (let i = 0; i < sums.length; i++) sums[i]! += scores[i]!;
    yield;
  }
  return Float32Array.from(sums, (sum) => sum / logits.length);
}

/** Position of the first entry less than `value`, by bisection. */
function firstBelow(descending: readonly Scored[], value: number): number {
  let low = 0;
  let high = descending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (descending[middle]!.value >= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Probabilities of a class at each position: exp(logit / temperature − log Σ exp(logits / temperature)), with the logits of the
 * class and the log-normalizer over all classes, `[h, w]` each; or the sigmoid of logit / temperature. A new buffer `[h, w]`.
 */
export function* probabilitiesOf(
  logits: Float32Array,
  logNormalizer: Float32Array,
  { activation, temperature }: Conversion,
): Steps<Float32Array> {
  const values = new Float32Array(logits.length);
  yield* eachRange(logits.length, (from, end) => {
    if (activation === 'sigmoid') for (let i = from; i < end; i++) values[i] = sigmoid(logits[i]! / temperature);
    // The normalizer is rounded: it may be below the logit of a class that is as good as certain.
    else
      for (let i = from; i < end; i++) values[i] = Math.min(1, Math.exp(logits[i]! / temperature - logNormalizer[i]!));
  });
  return values;
}
