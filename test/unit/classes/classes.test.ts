import { describe, expect, it } from 'vitest';
import { findClass, resolveClasses } from '../../../src/classes/classes.js';

const LABELS = ['lemon', 'lion', 'altar', 'African elephant', 'espresso', 'tabby, tabby cat'].map((label, index) => ({
  id: `id-${index}`,
  label,
}));

describe('resolveClasses', () => {
  it.each([
    ['elephant', 'African elephant'],
    ['expresso', 'espresso'],
    ['tabby-cat', 'tabby, tabby cat'],
  ])('names the three labels nearest to an unknown class, those that it is a part of first: %s', (name, nearest) => {
    const detail = new RegExp(`the nearest labels are "${nearest}", "[^"]+", "[^"]+"$`);
    expect(() => resolveClasses([name], LABELS)).toThrow(
      expect.objectContaining({
        code: 'CLASS_NOT_FOUND',
        errors: [{ parameter: 'class', detail: expect.stringMatching(detail) as string }],
      }),
    );
  });
});

describe('findClass', () => {
  const labels = ['Cardigan', 'cardigan', 'crane', 'crane'].map((label, index) => ({ id: `n0${index}`, label }));

  it.each([
    ['Cardigan', 0],
    ['cardigan', 1],
    ['CARDIGAN', 0],
    ['crane', 2],
    ['crane (n03)', 3],
    ['N03', 3],
    ['3', 3],
    ['4', undefined],
    ['cran', undefined],
  ])('finds the class of %s', (name, index) => expect(findClass(name, labels)).toBe(index));
});
