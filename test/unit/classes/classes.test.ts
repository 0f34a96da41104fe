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

  it('reads the labels once, however many requests name unknown classes', () => {
    let reads = 0;
    const labels = LABELS.map(({ id, label }) => ({
      id,
      get label() {
        reads++;
        return label;
      },
    }));
    const ask = () => expect(() => resolveClasses(['elephant', 'nobody knows this'], labels)).toThrow('no class');
    ask();
    const first = reads;
    ask();
    expect(first).toBeGreaterThan(0);
    expect(reads).toBe(first);
  });

  it('compares an unknown class with 25,000 labels at most', () => {
    const labels = Array.from({ length: 25_001 }, (_, index) => ({ id: `id-${index}`, label: `label ${index}` }));
    const suggestions = (count: number): unknown => {
      try {
        return resolveClasses(['lable 7', 'lable 8'], labels.slice(0, count));
      } catch (error) {
        return (error as { errors: { detail: string }[] }).errors.filter(({ detail }) => detail.includes('nearest'))
          .length;
      }
    };
    expect(suggestions(12_500)).toBe(2);
    expect(suggestions(25_000)).toBe(1);
    expect(suggestions(25_001)).toBe(0);
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
