import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { leastRunMs } from '../../../src/runtime/run-time.js';

const WAIT_MS = 60;

/** Waits, as a run does while others have the core, and computes for at least 10 ms of the clock. */
async function run(): Promise<void> {
  await sleep(WAIT_MS);
  const end = performance.now() + 10;
  while (performance.now() < end);
}

it('does not count what a run waits for the processor', async () => {
  expect(await leastRunMs('cuda', run)).toBeGreaterThanOrEqual(WAIT_MS);
  // Its threads at the beginning of a process may compute besides, so the least of some.
  const times = [await leastRunMs('cpu', run), await leastRunMs('cpu', run), await leastRunMs('cpu', run)];
  expect(Math.min(...times)).toBeLessThan(WAIT_MS);
});
