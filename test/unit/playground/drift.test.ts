import { describe, expect, it } from 'vitest';
import { describeDrift } from '../../../src/playground/drift.js';

const SCALES = [0.5, 1, 1.5, 2, 5];
const LABELS = ['elephant', 'whale', 'lakeside'];

/** Predictions from the probabilities of LABELS, best first. */
const answer = (...probabilities: number[]) =>
  probabilities
    .map((probability, index) => ({ index, label: LABELS[index]!, probability }))
    .sort((a, b) => b.probability - a.probability);

describe('describeDrift', () => {
  it('says nothing without an answer at 1 and at a larger scale', () => {
    expect(describeDrift(SCALES, [])).toBeUndefined();
    expect(describeDrift(SCALES, [answer(0, 0, 1), answer(0.9, 0.1)])).toBeUndefined();
    expect(describeDrift(SCALES, [undefined, undefined, answer(0.9, 0.1)])).toBeUndefined();
    expect(describeDrift(SCALES, [undefined, [], answer(0.9, 0.1)])).toBeUndefined();
  });

  it('says how sure the network still is at the largest scale', () => {
    expect(describeDrift(SCALES, [answer(0, 0, 1), answer(0.9, 0.1), undefined, answer(0.2, 0.1)])).toBe(
      '“elephant” has 90.0 % at 1× and is still first with 20.0 % at 2×.',
    );
  });

  it('says where the class is lost first, and to what, whatever comes after', () => {
    const answers = [undefined, answer(0.9, 0.1), answer(0.2, 0.1), answer(0.01, 0.02), answer(0.3, 0.2)];
    expect(describeDrift(SCALES, answers)).toBe(
      '“elephant” has 90.0 % at 1× and is still first with 20.0 % at 1.5×. At 2× it is lost: the network says “whale”.',
    );
  });

  it('says so where it is lost at once', () => {
    expect(describeDrift(SCALES, [undefined, answer(0.9, 0.1), answer(0.0001, 0.2)])).toBe(
      '“elephant” has 90.0 % at 1×. At 1.5× it is lost: the network says “whale”.',
    );
  });
});
