/**
 * The machine's monotonic clock, which all processes on it share: `performance.now()` counts from another moment in each. So one
 * process can say when something was, and another place it in its own time.
 */

/** In milliseconds, from some moment in the past. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A time of the machine's clock, in milliseconds of this process's `performance.now()`. */
export function toLocalTime(machineMs: number): number {
  return machineMs + performance.now() - machineNow();
}
