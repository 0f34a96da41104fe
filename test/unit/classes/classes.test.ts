import { describe, expect, it, vi } from 'vitest';
import { createClassSearch, referenceTo } from '../../../src/classes/class-search.js';
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

  it('brings no text into a form of Unicode whose marks would take the square of their number', () => {
    const normalize = vi.spyOn(String.prototype, 'normalize');
    // Each mark of the second kind goes before all of the first.
    const marks = (count: number): string => `e${'\u0301'.repeat(count)}${'\u0316'.repeat(count)}`;
    try {
      expect(() => resolveClasses([marks(4096)], LABELS)).toThrow(expect.objectContaining({ code: 'CLASS_NOT_FOUND' }));
      const labels = [...LABELS, { id: 'x', label: marks(4096) }, { id: 'y', label: marks(1) }];
      expect(findClass(marks(4096), labels)).toBe(LABELS.length);
      expect(findClass(`e\u0316\u0301`, labels)).toBe(LABELS.length + 1);
      createClassSearch(labels).nearest('lion', 3);
      for (const text of normalize.mock.contexts) expect(String(text)).not.toMatch(/\p{M}{31}/u);
      expect(normalize).toHaveBeenCalled();
    } finally {
      normalize.mockRestore();
    }
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

describe('labels of any text', () => {
  const texts = [
    '1984',
    'Fish, & chips (50 %)',
    'C++',
    'C',
    'Käsespätzle',
    'Cafe\u0301',
    'O\u2019Hara\u2019s "best"',
    'top',
    'index:3',
    'id: a',
    '7',
    ' padded ',
    'a,b',
    'a',
    'b',
  ];
  const labels = texts.map((label, index) => ({ id: `n${index}`, label }));

  it.each(texts.filter((text) => !['top', '7', 'index:3'].includes(text)).map((text) => [text, texts.indexOf(text)]))(
    '%s',
    (text, index) => {
      expect(resolveClasses([text], labels)).toEqual([index]);
      expect(resolveClasses([`label:${text}`], labels)).toEqual([index]);
    },
  );

  it.each([
    ['label:top', 7],
    ['LABEL: Top', 7],
    ['label:7', 10],
    ['index:7', 7],
    ['id:n7', 7],
    ['Index:0', 0],
    ['index:3', 3],
    ['label:index:3', 8],
    ['Caf\u00e9', 5],
    ['KÄSESPÄTZLE', 4],
    ['8', 8],
  ])('%s is understood', (name, index) => expect(resolveClasses([name], labels)).toEqual([index]));

  it('a number that may mean two classes is refused, with both ways to say it', () => {
    expect(() => resolveClasses(['1', '7'], labels)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        errors: [
          {
            parameter: 'class',
            detail: '7 is the index of "top" and the label of class 10; write index:7 or label:7',
          },
        ],
      }),
    );
    const digits = ['0', '1', '10', '2'].map((label) => ({ id: `folder-${label}`, label }));
    expect(resolveClasses(['0', '1', '10'], digits)).toEqual([0, 1, 2]);
    expect(() => resolveClasses(['2'], digits)).toThrow('two classes that 2 may mean');
    const ids = ['5', '1', '0'].map((id) => ({ id, label: `number ${id}` }));
    expect(() => resolveClasses(['0'], ids)).toThrow(
      expect.objectContaining({
        errors: [expect.objectContaining({ detail: expect.stringMatching(/write index:0 or id:0$/) as string })],
      }),
    );
  });

  it.each(['index:99', 'label:nothing', 'id:1984', '99'])('%s is no class', (name) => {
    expect(() => resolveClasses([name], labels)).toThrow(expect.objectContaining({ code: 'CLASS_NOT_FOUND' }));
  });

  it('commas separate no classes, and whoever thinks so is told', () => {
    expect(resolveClasses(['a,b'], labels)).toEqual([12]);
    expect(() => resolveClasses(['b,a'], labels)).toThrow(
      expect.objectContaining({
        errors: [
          expect.objectContaining({
            detail: expect.stringMatching(/; several classes are several parameters: class=…&class=…$/) as string,
          }),
        ],
      }),
    );
  });
});

describe('referenceTo', () => {
  it('is the number of a class, or says that it is one where others have that name', () => {
    const labels = ['0', '2', '1', 'x'].map((label, index) => ({ id: `n${index}`, label }));
    expect([0, 1, 2, 3].map((index) => referenceTo(index, labels))).toEqual(['0', 'index:1', 'index:2', '3']);
    for (const index of [0, 1, 2, 3]) expect(resolveClasses([referenceTo(index, labels)], labels)).toEqual([index]);
  });
});
