/**
 * Whether bytes move fast enough: a client sends its body, or takes its answer, with a least number of bytes a second.
 * Averages are over windows, so that neither a fast beginning pays for a stall, nor a short stall is held against anyone.
 */

/** Length of a window. */
export const PACE_MS = 10_000;

export interface Pace {
  /** Whether fewer bytes than they should have moved in the last window. `total`: all bytes up to `now`, in milliseconds. */
  isTooSlow(total: number, now: number): boolean;
  /** Begin a window. */
  restart(total: number, now: number): void;
}

/** `minRate`: bytes a second; 0 for any. */
export function createPace(minRate: number, windowMs = PACE_MS): Pace {
  let since: number | undefined;
  let before = 0;
  const restart = (total: number, now: number): void => {
    since = now;
    before = total;
  };
  return {
    restart,
    isTooSlow(total, now) {
      if (since === undefined) restart(total, now);
      const ms = now - since!;
      if (minRate === 0 || ms < windowMs) return false;
      if ((total - before) * 1000 < minRate * ms) return true;
      restart(total, now);
      return false;
    },
  };
}
