/**
 * Decides when a worker that died is started again. Pure. A start counts as failed until the worker has proven itself:
 * it has answered a run, or it has been ready for PROVEN_AFTER_MS. How long the start itself took proves nothing. Each
 * failed start in a row doubles the delay before the next one; after START_ATTEMPTS the worker is given up.
 *
 * A worker that dies in a run is started again at once: the run may be to blame, and each requested run causes at most
 * one such death. The death does not end a row of failed starts unless the worker had proven itself before.
 */

/** Failed starts in a row after which a worker is given up. */
export const START_ATTEMPTS = 5;
const FIRST_DELAY_MS = 100;
/** Much longer than any start: a crash loop that is slower than this takes a small share of a core. */
const PROVEN_AFTER_MS = 60_000;

/** What is known of a dead worker. */
export interface WorkerLife {
  /** How long it was ready to run; undefined when it never was. */
  readonly readyForMs: number | undefined;
  /** It has answered a run. */
  readonly hasServed: boolean;
  /** A request was in flight when it died. */
  readonly wasBusy: boolean;
}

export interface Restart {
  /** Failed starts in a row, this one included. */
  readonly failedStarts: number;
  /** `start`: before the worker had proven itself, with nothing in flight; `run`: any other time. */
  readonly during: 'start' | 'run';
  /** The delay before the next start; undefined if the worker is given up. */
  readonly restartInMs: number | undefined;
}

/** What to do with a worker that had `failedStarts` failed starts in a row before this life. */
export function planRestart(failedStarts: number, { readyForMs, hasServed, wasBusy }: WorkerLife): Restart {
  if (readyForMs !== undefined) {
    if (hasServed || readyForMs >= PROVEN_AFTER_MS) return { failedStarts: 0, during: 'run', restartInMs: 0 };
    if (wasBusy) return { failedStarts, during: 'run', restartInMs: 0 };
  }
  return {
    failedStarts: failedStarts + 1,
    during: 'start',
    restartInMs: failedStarts + 1 < START_ATTEMPTS ? FIRST_DELAY_MS * 2 ** failedStarts : undefined,
  };
}
