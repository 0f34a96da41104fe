/** The search that follows the coverage finds what changes alone do not. */
import { describe, expect, it } from 'vitest';
import { createRandom, type Random } from '../../../../load/chaos/random.js';
import { startCoverage } from '../../../../load/fuzz/coverage.js';
import { search } from '../../../../load/fuzz/search.js';
import { readToy } from './toy-parser.js';

function changeOneLetter(random: Random, original: Buffer): Buffer {
  return Buffer.from(original.with(random.below(original.length), 0x41 + random.below(26)));
}

/** How many of the inputs were the toy's word, and how many inputs are known at the end. */
async function hunt(isGuided: boolean): Promise<{ found: number; known: number }> {
  const coverage = isGuided ? startCoverage((url) => url.includes('toy-parser')) : undefined;
  let found = 0;
  try {
    const { known } = await search({
      random: createRandom(7),
      seeds: [Buffer.from('AFILE')],
      cases: 10_000,
      coverage,
      mutate: changeOneLetter,
      run(bytes) {
        try {
          readToy(bytes);
        } catch {
          found += 1;
        }
      },
    });
    return { found, known };
  } finally {
    coverage?.stop();
  }
}

describe('search', () => {
  it('comes upon a word byte by byte where it follows the coverage', async () => {
    const { found, known } = await hunt(true);
    expect(found).toBeGreaterThan(0);
    expect(known).toBeGreaterThan(4);
  });

  it('does not, with the same seed and as many cases, where it does not', async () => {
    expect(await hunt(false)).toEqual({ found: 0, known: 1 });
  });
});
