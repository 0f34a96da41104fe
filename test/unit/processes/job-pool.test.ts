/** Processes for single jobs that cannot be started, or not yet: who is told, and when. What dies in a job is in decoders.test.ts. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createJobPool, type JobPool, type JobPoolOptions } from '../../../src/processes/job-pool.js';
import { START_ATTEMPTS } from '../../../src/processes/restart-policy.js';
import type { WorkerLost } from '../../../src/processes/slot.js';

interface Errand {
  readonly ms: number;
  readonly mortal?: string;
}

const WORKER_FILE = fileURLToPath(new URL('../../fixtures/errand-worker.mjs', import.meta.url));

describe('processes for jobs', () => {
  let folder: string;
  let marker: string;
  let lost: WorkerLost[] = [];
  let noneLeft: Error[] = [];
  let pool: JobPool<Errand>;

  function start(options: Partial<JobPoolOptions> = {}): JobPool<Errand> {
    pool = createJobPool<Errand>({
      ...{ size: 2, task: 'run this errand', workerFile: WORKER_FILE },
      onWorkerLost: (info) => lost.push(info),
      onNoneLeft: (reason) => noneLeft.push(reason),
      ...options,
    });
    return pool;
  }

  const ask = (job: Errand, signal?: AbortSignal): Promise<Errand> =>
    pool.do<Errand>(job, { signal, maxAnswerBytes: 0 });
  const givenUp = (): number => lost.filter(({ restartInMs }) => restartInMs === undefined).length;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-jobs-'));
    marker = join(folder, 'no-starts');
    process.env['ERRAND_MARKER'] = marker;
  });
  afterEach(async () => {
    await pool.drain();
    await rm(marker, { force: true });
    delete process.env['ERRAND_START_MS'];
    lost = [];
    noneLeft = [];
  });
  afterAll(async () => {
    delete process.env['ERRAND_MARKER'];
    await rm(folder, { recursive: true });
  });

  it('that cannot be started fail every job that was asked for, and the next one tries again', async () => {
    start();
    await writeFile(marker, '');
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => ask({ ms: 0 })));
    expect(answers).toEqual(
      Array(8).fill({
        status: 'rejected',
        reason: expect.objectContaining({
          code: 'WORKER_LOST',
          message: 'No process can be started to run this errand.',
        }) as Error,
      }),
    );
    expect(noneLeft[0]?.message).toContain('it ended with code 3');
    // Not once more for each job. The second process may have a start left.
    expect(lost.length).toBeLessThanOrEqual(2 * START_ATTEMPTS);
    await rm(marker);
    expect(await ask({ ms: 0 })).toEqual({ ms: 0 });
  });

  it('that cannot be started fail no job that was asked for after the last try began', async () => {
    let later: Promise<Errand> | undefined;
    start({
      size: 1,
      onWorkerLost(info) {
        lost.push(info);
        if (info.restartInMs !== undefined) return;
        rmSync(marker);
        later = ask({ ms: 1 });
      },
    });
    await writeFile(marker, '');
    await expect(ask({ ms: 0 })).rejects.toMatchObject({ code: 'WORKER_LOST' });
    expect(await later).toEqual({ ms: 1 });
    expect(lost.length).toBe(START_ATTEMPTS);
  });

  it('that cannot be replaced leave their jobs to the others', async () => {
    start().start();
    await Promise.all([ask({ ms: 100 }), ask({ ms: 100 })]);
    await writeFile(marker, '');
    const mortal = join(folder, 'mortal');
    await writeFile(mortal, '');
    expect(await ask({ ms: 0, mortal })).toEqual({ ms: 0, mortal });
    await expect.poll(givenUp).toBe(1);
    expect(await Promise.all([1, 2, 3, 4].map((ms) => ask({ ms })))).toEqual([1, 2, 3, 4].map((ms) => ({ ms })));
    expect(noneLeft).toEqual([]);
  });

  it('that the system cannot even try to start fail the job', async () => {
    start({ workerFile: 'no\0path' });
    await expect(ask({ ms: 0 })).rejects.toMatchObject({ code: 'WORKER_LOST' });
    expect(lost[0]!.error.message).toContain('null bytes');
  });

  it('are not waited for by a job that nobody waits for', async () => {
    process.env['ERRAND_START_MS'] = '1500';
    start({ size: 1 });
    const client = new AbortController();
    const job = ask({ ms: 0 }, client.signal);
    const next = ask({ ms: 1 });
    client.abort(new Error('gone'));
    expect(await Promise.race([job.catch((error: unknown) => (error as Error).message), next])).toBe('gone');
    expect(await next).toEqual({ ms: 1 });
  });

  it('that are busy are not waited for by a job that nobody waits for, either', async () => {
    start({ size: 1 });
    const busy = ask({ ms: 1000 });
    const client = new AbortController();
    const queued = ask({ ms: 0 }, client.signal).catch((error: unknown) => (error as Error).message);
    const next = ask({ ms: 1 });
    client.abort(new Error('gone'));
    expect(await Promise.race([queued, busy])).toBe('gone');
    expect(await Promise.all([busy, next])).toEqual([{ ms: 1000 }, { ms: 1 }]);
  });
});
