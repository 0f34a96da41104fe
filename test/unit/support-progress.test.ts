/** What the tests themselves wait by. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { measureProcessor, whileItWorks, type Limits } from '../support/progress.js';

const limits = (changes: Partial<Limits> = {}): Limits => ({
  leastShare: 0.03,
  stillMs: 3000,
  mostProcessorMs: 60_000,
  sampleMs: 200,
  ...changes,
});

/** Keep this process at work for so long, or until it is told to stop. */
async function compute(ms: number, stop?: AbortSignal): Promise<void> {
  const begun = performance.now();
  while (performance.now() - begun < ms && stop?.aborted !== true) {
    for (const turn = performance.now(); performance.now() - turn < 5;);
    await sleep(0);
  }
}

function hang(): Promise<never> {
  return new Promise(() => undefined);
}

describe('whileItWorks', () => {
  it('gives what the work gives, or throws what it throws', async () => {
    expect(await whileItWorks(() => Promise.resolve(5), limits())).toBe(5);
    await expect(whileItWorks(() => Promise.reject(new Error('no')), limits())).rejects.toThrow('no');
  });

  it('gives up what stands still', async () => {
    await expect(whileItWorks(hang, limits())).rejects.toThrow(
      /^it stands still: 0\.\d s of processor time in \d+\.\d s/,
    );
  });

  it('waits for what works, here or in another process', async () => {
    await whileItWorks(() => compute(7000), limits());
    const script = 'for (const begun = Date.now(); Date.now() - begun < 7000;);';
    await whileItWorks(() => promisify(execFile)(process.execPath, ['-e', script]), limits());
  });

  it('names the processes that stand still', async () => {
    const ends = new AbortController();
    const child = promisify(execFile)(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { signal: ends.signal });
    await expect(whileItWorks(() => child, limits())).rejects.toThrow(/stands still[^]*setInterval/);
    ends.abort();
    await expect(child).rejects.toThrow();
  });

  it('gives up what goes on for ever', async () => {
    const stop = new AbortController();
    const endless = whileItWorks(() => compute(Infinity, stop.signal), limits({ mostProcessorMs: 500 }));
    await expect(endless).rejects.toThrow(/^it goes on and on: \d\.\d s of processor time/);
    stop.abort();
  });

  it('gives up the innermost only', async () => {
    const outer = whileItWorks(
      async () => {
        await expect(whileItWorks(hang, limits())).rejects.toThrow('stands still');
        return 'goes on';
      },
      limits({ stillMs: 1000 }),
    );
    expect(await outer).toBe('goes on');
  });
});

describe('measureProcessor', () => {
  it('counts work, and no waiting', async () => {
    expect((await measureProcessor(() => compute(500))).ms).toBeGreaterThan(20);
    expect((await measureProcessor(() => sleep(500))).ms).toBeLessThan(250);
  });
});
