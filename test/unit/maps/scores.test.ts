import { describe, expect, it } from 'vitest';
import { meanScores, probabilitiesOf, sigmoid, softmax, toProbabilities, topK } from '../../../src/maps/scores.js';
import { finish } from '../../../src/maps/steps.js';

const SOFTMAX = { activation: 'softmax', temperature: 1 } as const;
const SIGMOID = { activation: 'sigmoid', temperature: 1 } as const;

describe('softmax', () => {
  it('gives probabilities that sum to one and keep the ratios exp(a − b)', () => {
    const [a, b, c] = softmax(Float32Array.of(1, 2, 3)) as unknown as [number, number, number];
    expect(a + b + c).toBeCloseTo(1, 6);
    expect(c / b).toBeCloseTo(Math.E, 5);
  });

  it('does not overflow on large logits', () => {
    expect([...softmax(Float32Array.of(1000, 1000, -1000))]).toEqual([0.5, 0.5, 0]);
  });
});

describe('a temperature', () => {
  it('divides the logits', () => {
    const logits = Float32Array.of(1, 2, 3);
    const halves = logits.map((logit) => logit / 2);
    const warm = { temperature: 2 };
    const probabilities = softmax(halves);
    expect(toProbabilities(logits, { activation: 'softmax', ...warm })).toEqual(probabilities);
    expect(toProbabilities(logits, { activation: 'sigmoid', ...warm })).toEqual(halves.map(sigmoid));
    expect(finish(meanScores([logits], 'probability', { activation: 'softmax', ...warm }))).toEqual(probabilities);
    expect(finish(meanScores([logits], 'logit', { activation: 'softmax', ...warm }))).toBe(logits);
    const normalizer = logits.map(() => Math.log(halves.reduce((sum, logit) => sum + Math.exp(logit), 0)));
    finish(probabilitiesOf(logits, normalizer, { activation: 'softmax', ...warm })).forEach((value, index) =>
      expect(value).toBeCloseTo(probabilities[index]!, 6),
    );
    expect(finish(probabilitiesOf(logits, normalizer, { activation: 'sigmoid', ...warm }))).toEqual(
      halves.map(sigmoid),
    );
  });
});

describe('topK', () => {
  it('gives the largest first, and of equals the lower index first', () => {
    expect(topK(Float32Array.of(0.5, 2, 1, 2, 0), 3)).toEqual([
      { index: 1, value: 2 },
      { index: 3, value: 2 },
      { index: 2, value: 1 },
    ]);
    expect(topK(new Float32Array(5), 2).map(({ index }) => index)).toEqual([0, 1]);
  });

  it('gives all there are when asked for more, none when asked for none, and leaves its argument alone', () => {
    const values = Float32Array.of(3, 1, 2);
    expect(topK(values, 9).map(({ index }) => index)).toEqual([0, 2, 1]);
    expect(topK(values, 0)).toEqual([]);
    expect([...values]).toEqual([3, 1, 2]);
  });
});

describe('topK against a sort', () => {
  it('agrees for every k, ties included', () => {
    const values = Float32Array.from({ length: 60 }, (_, i) => (i * 37) % 11);
    const sorted = [...values.entries()]
      .sort(([i, a], [j, b]) => b - a || i - j)
      .map(([index, value]) => ({ index, value }));
    for (let k = 0; k <= 61; k++) expect(topK(values, k)).toEqual(sorted.slice(0, k));
  });

  it('agrees where there is much to sort: negative values, both zeros, ties', () => {
    const values = Float32Array.from({ length: 5000 }, (_, i) => Math.round(Math.sin(i * i) * 40) / 8);
    values.set([0, -0, -0, 0, Infinity, -Infinity, 1e-40, -1e-40]);
    const sorted = [...values.entries()]
      .sort(([i, a], [j, b]) => b - a || i - j)
      .map(([index, value]) => ({ index, value }));
    for (const k of [64, 65, 500, 5000, 6000]) expect(topK(values, k)).toEqual(sorted.slice(0, k));
  });
});

describe('meanScores', () => {
  it('is the mean of probabilities, or of logits', () => {
    const runs = [Float32Array.of(1, 2, 3), Float32Array.of(5, 1, 0)];
    expect(finish(meanScores(runs, 'logit', SOFTMAX))).toEqual(Float32Array.of(3, 1.5, 1.5));
    const [a, b] = runs.map((run) => softmax(run)) as [Float32Array, Float32Array];
    const mean = a.map((value, i) => (value + b[i]!) / 2);
    finish(meanScores(runs, 'probability', SOFTMAX)).forEach((value, i) => expect(value).toBeCloseTo(mean[i]!, 6));
    expect(finish(meanScores(runs.slice(0, 1), 'logit', SOFTMAX))).toBe(runs[0]);
  });

  it('is the mean of the sigmoids of independent classes', () => {
    const runs = [Float32Array.of(0, 2), Float32Array.of(0, -2)];
    expect(finish(meanScores(runs, 'probability', SIGMOID))).toEqual(Float32Array.of(0.5, 0.5));
    expect(finish(meanScores(runs.slice(0, 1), 'probability', SIGMOID))[1]).toBeCloseTo(1 / (1 + Math.exp(-2)), 6);
    const extremes = finish(meanScores([Float32Array.of(1e4, -1e4)], 'probability', SIGMOID));
    expect([...extremes]).toEqual([1, 0]);
  });
});

describe('probabilitiesOf', () => {
  it('subtracts the log-normalizer of each position', () => {
    const logits = Float32Array.of(1, 2);
    const normalizer = Float32Array.of(3, 2);
    const expected = [-2, 0].map(Math.exp);
    finish(probabilitiesOf(logits, normalizer, SOFTMAX)).forEach((value, i) =>
      expect(value).toBeCloseTo(expected[i]!, 6),
    );
  });

  it('is at most 1, where the normalizer was rounded down', () => {
    const temperature = 0.807;
    const logits = Float32Array.from({ length: 200 }, (_, i) => i / 7);
    // In single precision, as the graph calculates it for a class without rivals.
    const inverse = Math.fround(1 / temperature);
    const normalizer = logits.map((logit) => Math.fround(logit * inverse));
    const values = finish(probabilitiesOf(logits, normalizer, { activation: 'softmax', temperature }));
    expect(Math.max(...values)).toBe(1);
    expect(Math.min(...values)).toBeGreaterThan(0.9999);
  });

  it('is the sigmoid of the logit of independent classes', () => {
    const values = finish(probabilitiesOf(Float32Array.of(0, -1), Float32Array.of(9, 9), SIGMOID));
    [0.5, 1 / (1 + Math.E)].forEach((value, i) => expect(values[i]).toBeCloseTo(value, 6));
  });
});
