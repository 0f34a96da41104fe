/**
 * The search for inputs that a parser does not take as it should. It changes inputs that it knows; with coverage it also keeps
 * each input that reaches a new block of code, and goes on from there. Without, it knows only the seeds (blind search).
 */
import type { Random } from '../chaos/random.js';
import type { Coverage } from './coverage.js';

export interface SearchOptions {
  readonly random: Random;
  /** At least one. */
  readonly seeds: readonly Buffer[];
  readonly cases: number;
  readonly coverage?: Coverage | undefined;
  readonly isOver?: () => boolean;
  readonly mutate: (random: Random, original: Buffer, known: readonly Buffer[]) => Buffer;
  /** Must not throw. It is run again with an input that may have reached something new. */
  readonly run: (bytes: Buffer) => Promise<void> | void;
}

export interface SearchResult {
  readonly cases: number;
  /** Inputs that are known at the end: the seeds, and those that were kept. */
  readonly known: number;
}

/** Inputs between two looks at the coverage, each of which takes some milliseconds. */
const BATCH = 64;
/** Inputs that were found last are changed more often. */
const NEWEST = 8;

export async function search(options: SearchOptions): Promise<SearchResult> {
  const { random, seeds, cases, coverage, mutate, run, isOver = () => false } = options;
  const known = [...seeds];
  for (const seed of seeds) await run(seed);
  coverage?.look().keep();

  /** An original by chance: half of the time one of the newest. */
  const original = (): Buffer => random.pick(random.next() < 0.5 ? known.slice(-NEWEST) : known);

  /** Find the inputs of a batch that reach what the whole of it has reached: by halves, because looks are dear. */
  async function narrow(batch: readonly Buffer[], watched: Coverage): Promise<void> {
    const middle = Math.ceil(batch.length / 2);
    for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
      for (const bytes of half) await run(bytes);
      const fresh = watched.look();
      if (fresh.count === 0) continue;
      if (half.length > 1) {
        await narrow(half, watched);
      } else {
        known.push(...half);
        fresh.keep();
      }
    }
  }

  async function keepNew(batch: readonly Buffer[]): Promise<void> {
    if (coverage === undefined) return;
    const fresh = coverage.look();
    if (fresh.count === 0) return;
    await narrow(batch, coverage);
    // What did not come again, such as code that runs now and then.
    fresh.keep();
  }

  let done = 0;
  while (done < cases && !isOver()) {
    const batch: Buffer[] = [];
    while (batch.length < BATCH && done < cases && !isOver()) {
      const bytes = mutate(random, original(), known);
      batch.push(bytes);
      await run(bytes);
      done += 1;
    }
    await keepNew(batch);
  }
  return { cases: done, known: known.length };
}
