/**
 * The latencies that no server of so many workers can beat: the same arrivals, each served by the first free worker, for the
 * same time each (M/D/c where the arrivals are Poisson). Pure.
 */

/** `arrivals`: rising, in milliseconds. `serviceMs`: of one item on one worker. In the order of the arrivals. */
export function queueLatencies(arrivals: readonly number[], workers: number, serviceMs: number): number[] {
  const freeAt = new Array<number>(workers).fill(-Infinity);
  return arrivals.map((arrival) => {
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const end = Math.max(arrival, freeAt[worker]!) + serviceMs;
    freeAt[worker] = end;
    return end - arrival;
  });
}
