import { expect, it } from 'vitest';
import { meaningsOf, wordsOf } from '../../src/vocabulary.js';

const FITS = { crop: 'the centre', whole: 'all of it' } as const;

it('gives the words in their order', () => {
  expect(wordsOf(FITS)).toEqual(['crop', 'whole']);
});

it('says what each of them means', () => {
  expect(meaningsOf(FITS)).toBe('crop: the centre; whole: all of it');
});
