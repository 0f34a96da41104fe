/**
 * How long a run takes a device. On a CPU that is processor time: what else the machine does meanwhile makes a run wait, and would be
 * taken for a slow engine.
 */
import type { DeviceKind } from '../device.js';

/** Timed runs; fewer if they are slow. */
const RUNS = 3;
const LONG_ENOUGH_MS = 400;

/** The least milliseconds of a few runs, one after the other. */
export async function leastRunMs(kind: DeviceKind, run: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  const end = performance.now() + LONG_ENOUGH_MS;
  while (times.length < RUNS && (times.length === 0 || performance.now() < end)) {
    const stop = kind === 'cpu' ? processorClock() : wallClock();
    await run();
    times.push(stop());
  }
  return Math.min(...times);
}

function wallClock(): () => number {
  const start = performance.now();
  return () => performance.now() - start;
}

/** Of all threads of this process. */
function processorClock(): () => number {
  const start = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
}
