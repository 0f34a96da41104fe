import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startTestApp } from '../support/app.js';

interface Answer {
  results: { predictions: { index: number }[] }[];
}

it('a worker that dies in a run is replaced, and its requests are answered all the same', async () => {
  const marker = join(tmpdir(), `fullconv-mortal-${process.pid}`);
  process.env['MORTAL_WORKER_MARKER'] = marker;
  const workerFile = fileURLToPath(new URL('../fixtures/mortal-worker.mjs', import.meta.url));
  const app = await startTestApp({}, undefined, { workerFile });
  try {
    const payload = await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
    const classify = () => app.http.inject({ method: 'POST', url: '/v1/classify', payload });
    const best = (body: string): unknown => (JSON.parse(body) as Answer).results[0]!.predictions[0]!.index;
    const expected = best((await classify()).body);
    await writeFile(marker, '');
    const responses = await Promise.all(Array.from({ length: 10 }, classify));
    expect(existsSync(marker)).toBe(false);
    for (const response of responses) {
      expect(response.statusCode, response.body).toBe(200);
      expect(best(response.body)).toBe(expected);
    }
    const { body } = await app.http.inject('/metrics');
    expect(body).toContain('fullconv_workers_lost_total 1');
    expect((await classify()).statusCode).toBe(200);
    expect((await app.http.inject('/readyz')).statusCode).toBe(200);
  } finally {
    await app.close();
  }
});
