/** What clients type for a class. */
import { createClassSearch } from '../../../src/classes/class-search.js';
import { check, type Target } from '../target.js';

const LABELS = ['tench, Tinca tinca', 'tiger cat', 'Egyptian cat', "yellow lady's slipper", 'Crème brûlée', '犬', 'a'];

export const classSearch: Target = {
  open() {
    const search = createClassSearch(LABELS.map((label, index) => ({ id: `n${index}`, label })));
    return Promise.resolve({
      seeds: LABELS.map((label) => Buffer.from(label)),
      words: [' ', ', ', "'s", 'cats', 'İ', '\u0301', '\ud83d\ude00', 'ß'],
      run(bytes) {
        const text = bytes.toString();
        const known = (index: number): boolean => index >= 0 && index < LABELS.length;
        check(search.matching(text).every(known), 'matches are classes');
        const nearest = search.nearest(text, 5);
        check(nearest.length === 5 && new Set(nearest).size === 5 && nearest.every(known), 'five classes are nearest');
      },
    });
  },
};
