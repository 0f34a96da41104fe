import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createClassSearch, distinctNames, type NamedClass } from '../../../src/classes/class-search.js';

const LABELS = JSON.parse(
  readFileSync(new URL('../../../models/imagenet-efficientnet-lite0/labels.json', import.meta.url), 'utf8'),
) as NamedClass[];
const search = createClassSearch(LABELS);
const found = (text: string): string[] => search.matching(text).map((index) => LABELS[index]!.label);

describe('matching', () => {
  it('finds every class that has the word in its name, and those of other words after them', () => {
    expect(found('elephant').slice(0, 2)).toEqual(['Indian elephant', 'African elephant']);
    expect(found('african elephant').slice(0, 2)).toEqual(['African elephant', 'African chameleon']);
    expect(found('african elephant')).toContain('Indian elephant');
  });

  it('puts the whole name before the whole word, that before its beginning, and that before a part', () => {
    const tigers = found('tiger');
    expect(tigers[0]).toBe('tiger');
    expect(tigers.slice(1, 4).sort()).toEqual(['tiger beetle', 'tiger cat', 'tiger shark']);
    const cats = found('cat');
    expect(cats.indexOf('Egyptian cat')).toBeLessThan(cats.indexOf('catamaran'));
    const buses = found('bus');
    expect(buses.indexOf('school bus')).toBeLessThan(buses.indexOf('bustard'));
    expect(buses.indexOf('bustard')).toBeLessThan(buses.indexOf('minibus'));
  });

  it.each([
    ['zeb', 'zebra'],
    ['golden ret', 'golden retriever'],
    ['african ele', 'African elephant'],
  ])('finds what begins with %s', (text, label) => expect(found(text)[0]).toBe(label));

  it.each([
    ['zebar', 'zebra'],
    ['zerba', 'zebra'],
    ['expresso', 'espresso'],
    ['golden retreiver', 'golden retriever'],
    ['dalmation', 'dalmatian'],
    ['hipopotamus', 'hippopotamus'],
    ['hippoptm', 'hippopotamus'],
    ['great gray owl', 'great grey owl'],
  ])('finds what %s was meant to be', (text, label) => expect(found(text)[0]).toBe(label));

  it('finds both elephants with a typing error', () => {
    expect(found('elefant').slice(0, 2).sort()).toEqual(['African elephant', 'Indian elephant']);
  });

  it.each([
    ['zebras', 'zebra'],
    ['strawberries', 'strawberry'],
    ['school buses', 'school bus'],
    ['timber wolves', 'timber wolf'],
    ['red foxes', 'red fox'],
    ['lens caps', 'lens cap'],
    ['sunglass', 'sunglass'],
    ['sunglasses', 'sunglasses'],
  ])('finds the plural %s', (text, label) => expect(found(text)[0]).toBe(label));

  it.each([
    ['retriever golden', 'golden retriever'],
    ['cup of coffee', 'cup'],
    ['seasnake', 'sea snake'],
    ['sea shore', 'seashore'],
    ['jack o lantern', "jack-o'-lantern"],
    ['carpenters kit', "carpenter's kit"],
    ['  ZEBRA ', 'zebra'],
  ])('finds %s, in whatever order and however it is written', (text, label) => expect(found(text)[0]).toBe(label));

  it.each([
    ['n02504458', [386]],
    ['N02504458', [386]],
    ['n0250445', [386]],
    ['386', [386]],
    ['0', [0]],
    ['n02012849', [134]],
  ])('finds the id or index %s', (text, indices) => expect(search.matching(text)).toEqual(indices));

  it('tells classes of one label apart by the id', () => {
    expect(search.matching('crane').slice(0, 2)).toEqual([134, 517]);
    expect(search.matching('crane (n03126707)')[0]).toBe(517);
    expect(search.matching('n03126707 crane')[0]).toBe(517);
  });

  it('has all classes in their order for a text without words, and none for one that fits nowhere', () => {
    expect(search.matching(' ')).toEqual(LABELS.map((_, index) => index));
    expect(search.matching('qqqq')).toEqual([]);
    expect(search.matching('1000')).toEqual([]);
  });

  it('finds each of the names that a label lists', () => {
    const listed = createClassSearch([
      { id: 'a', label: 'tabby, tabby cat' },
      { id: 'b', label: 'cat' },
      { id: 'c', label: 'tabby bear' },
    ]);
    expect(listed.matching('tabby')).toEqual([0, 2]);
    expect(listed.matching('tabby-cat')[0]).toBe(0);
  });

  it('finds names of other alphabets, with and without their accents', () => {
    const foreign = createClassSearch(['Löwe', 'café', 'слон', '象'].map((label, i) => ({ id: `x${i}`, label })));
    for (const [text, index] of [
      ['lowe', 0],
      ['CAFE', 1],
      ['слон', 2],
      ['象', 3],
    ] as const) {
      expect(foreign.matching(text)[0]).toBe(index);
    }
  });

  it('finds every class by its own label, before all others', { timeout: 30_000 }, () => {
    for (const [index, { label }] of LABELS.entries()) {
      const first = search.matching(label)[0]!;
      expect(LABELS[first]!.label.toLowerCase(), label).toBe(LABELS[index]!.label.toLowerCase());
    }
  });

  it('takes texts of any length and kind', () => {
    for (const text of ['x '.repeat(1e5), 'a'.repeat(1e5), "'", '-', '\u0000', '(', '🦓']) {
      expect(() => search.matching(text)).not.toThrow();
    }
  });
});

describe('nearest', () => {
  it('has as many as are asked for: those that fit, then those of the fewest edits', () => {
    const nearest = (text: string, count = 3): string[] => search.nearest(text, count).map((i) => LABELS[i]!.label);
    expect(nearest('elephant').slice(0, 2)).toEqual(['Indian elephant', 'African elephant']);
    expect(nearest('kat')).toHaveLength(3);
    expect(new Set(search.nearest('elephant', 1000)).size).toBe(1000);
  });
});

describe('distinctNames', () => {
  it('adds the id to labels that are the same in any case, and to no other', () => {
    const names = distinctNames(LABELS);
    expect(new Set(names).size).toBe(1000);
    expect(LABELS.flatMap(({ label }, index) => (names[index] === label ? [] : [names[index]]))).toEqual([
      'crane (n02012849)',
      'Cardigan (n02113186)',
      'cardigan (n02963159)',
      'crane (n03126707)',
      'maillot (n03710637)',
      'maillot (n03710721)',
    ]);
  });
});
