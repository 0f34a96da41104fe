/** What engines keep of large runs is in the account of memory, and is given back: without need after a while, or when asked. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';

const MIB = 2 ** 20;

let app: TestApp;
let photo: Buffer;

beforeAll(async () => {
  photo = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
  app = await startTestApp({ FULLCONV_WORKERS: '1' });
});
afterAll(() => app.close());

// On a busy machine the while may be over before the next line runs.
beforeEach(async () => {
  for (let attempt = 0; attempt < 5 && app.service.memory.inUse.kept === 0; attempt++) {
    const { statusCode } = await app.http.inject({ method: 'POST', url: '/v1/heatmap?size=1120', payload: photo });
    expect(statusCode).toBe(200);
  }
});

/** Bytes of a use, as the metrics say. */
async function bytesOf(use: string): Promise<number> {
  const { body } = await app.http.inject('/metrics');
  return Number(new RegExp(`^fullconv_memory_bytes\\{use="${use}"\\} (\\S+)$`, 'm').exec(body)![1]);
}

async function untilGivenBack(): Promise<void> {
  while ((await bytesOf('kept')) > 0) await sleep(20);
}

it('counts it until no run has needed it for a while', async () => {
  const { memory } = app.service;
  const { kept, runs } = memory.inUse;
  expect(kept).toBeGreaterThan(MIB);
  expect(runs).toBe(0);
  expect(memory.freeForRuns).toBe(memory.bytes - kept);
  expect([0, kept]).toContain(await bytesOf('kept'));
  await untilGivenBack();
  expect(memory.freeForRuns).toBe(memory.bytes);
});

it('has it given back when a run lacks it', async () => {
  const shrink = vi.spyOn(app.service.pool, 'shrink');
  app.service.memory.wanted();
  expect(shrink).toHaveBeenCalledOnce();
  await untilGivenBack();
  app.service.memory.wanted();
  expect(shrink).toHaveBeenCalledOnce();
});
