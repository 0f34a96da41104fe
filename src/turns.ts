/**
 * Long computations on the event loop of a process that also answers others. They run in slices of SLICE_MS, and the loop
 * reads and writes its sockets between any two slices, however many computations there are: each slice has a turn of the
 * loop to itself, and the turns go round.
 *
 * `setImmediate` alone would not do: Node runs all callbacks that wait for it in one turn.
 */
import type { Steps } from './maps/steps.js';

/** Longest slice, but for the length of a step. */
const SLICE_MS = 5;

/** In the order in which they came. */
const waiting: (() => void)[] = [];
/** When the slice of the present turn of the loop began; undefined if there was none yet. */
let began: number | undefined;

/** Resolves at the beginning of a turn of the event loop that no other computation has. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(giveTurn);
  });
}

function giveTurn(): void {
  began = undefined;
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(giveTurn);
}

/** When the slice of this turn ends. Computations that begin in the same turn share it. */
function endOfSlice(): number {
  if (began === undefined) {
    began = performance.now();
    setImmediate(() => (began = undefined));
  }
  return began + SLICE_MS;
}

/**
 * Do work that is one step, at once where this turn has time left: what many do at the same time is not one slice. `check`
 * is called after a wait; what it throws is in the place of the work.
 */
export async function inSlice<Result>(work: () => Result, check?: () => void): Promise<Awaited<Result>> {
  if (performance.now() >= endOfSlice()) {
    await nextTurn();
    check?.();
    endOfSlice();
  }
  return await work();
}

/**
 * Take all steps, and resolve to their result. `check` is called at the beginning of each slice but the first; what it
 * throws ends the computation.
 */
export async function inTurns<Result>(steps: Steps<Result>, check?: () => void): Promise<Result> {
  try {
    let end = endOfSlice();
    for (;;) {
      if (performance.now() >= end) {
        await nextTurn();
        check?.();
        end = endOfSlice();
      }
      const { done, value } = steps.next();
      if (done) return value;
    }
  } finally {
    steps.return(undefined as Result);
  }
}
