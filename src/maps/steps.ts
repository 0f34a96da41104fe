/**
 * Computations over maps in steps. A map may have millions of cells, and the thread that answers requests must not be
 * gone for as long as that takes. So functions that visit every cell are generators: they yield at least once for every
 * STEP_CELLS cells they visit, and return their result. Whoever runs them decides what happens between two steps: the
 * server gives the event loop a turn (turns.ts). Pure.
 */

/** Yields between its steps, each well under a millisecond. Returns the result. */
export type Steps<Result> = Generator<void, Result, void>;

/** The most cells that one step visits. A visit takes 1 to 150 ns. */
export const STEP_CELLS = 4096;

/** Take all steps at once. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Call `visit` with ranges [from, end) that together are [0, length), one in each step. */
export function* eachRange(length: number, visit: (from: number, end: number) => void): Steps<void> {
  for (let from = 0; from < length; from += STEP_CELLS) {
    visit(from, Math.min(from + STEP_CELLS, length));
    yield;
  }
}

/** Counts visits for loops that have no even ranges, such as walks along a border. */
export class StepCounter {
  #visits = 0;

  /** Whether it is time to yield, with `visits` more since the last call. */
  isDue(visits: number): boolean {
    this.#visits += visits;
    if (this.#visits < STEP_CELLS) return false;
    this.#visits = 0;
    return true;
  }
}
