import { describe, expect, it } from 'vitest';
import { probabilitiesOf, softmax, topK } from '../../../src/maps/scores.js';

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
});

describe('probabilitiesOf', () => {
  it('subtracts the log-normalizer of its position from each class', () => {
    const logits = Float32Array.of(1, 2, 3, 4);
    const normalizer = Float32Array.of(3, 4);
    const expected = [-2, -2, 0, 0].map(Math.exp);
    probabilitiesOf(logits, normalizer).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6));
  });
});
