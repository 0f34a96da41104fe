/** What a fuzzer makes of files follows from its seed, and is never empty, unchanged for long, or without end. */
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../../load/chaos/random.js';
import { mutateBytes, mutateJson } from '../../../../load/fuzz/mutate.js';

const FILE = Buffer.from('a file that is a little longer than the others');
const OTHERS = [Buffer.from('other'), Buffer.alloc(3000, 7)];

const mutants = (seed: number): string[] => {
  const random = createRandom(seed);
  return Array.from({ length: 500 }, () =>
    mutateBytes(random, FILE, { others: OTHERS, words: ['WORD'] }).toString('latin1'),
  );
};

describe('mutateBytes', () => {
  it('makes the same of the same seed, and something else of another', () => {
    expect(mutants(1)).toEqual(mutants(1));
    expect(mutants(1)).not.toEqual(mutants(2));
  });

  it('makes files of every length, with words and pieces of others, and leaves the original as it is', () => {
    const before = FILE.toString();
    const made = mutants(3);
    expect(new Set(made).size).toBeGreaterThan(400);
    expect(made.every((text) => text.length > 0 && text.length <= 2 ** 18)).toBe(true);
    expect(made.some((text) => text.length < FILE.length / 2)).toBe(true);
    expect(made.some((text) => text.length > 2 * FILE.length)).toBe(true);
    expect(made.some((text) => text.includes('WORD'))).toBe(true);
    expect(made.some((text) => text.includes('\x07\x07\x07'))).toBe(true);
    expect(FILE.toString()).toBe(before);
  });
});

describe('mutateJson', () => {
  const TEXT = JSON.stringify({ name: 'a', sizes: [1, 2, { deep: true }], nothing: null });

  it('makes texts that are JSON still, and others of them', () => {
    const random = createRandom(5);
    const made = Array.from({ length: 500 }, () => mutateJson(random, TEXT));
    expect(() => made.map((text) => JSON.parse(text) as unknown)).not.toThrow();
    expect(new Set(made).size).toBeGreaterThan(300);
    expect(made.some((text) => /"(\w+)":0,"\1":/.test(text))).toBe(true);
  });
});
