/** A folder whose manifest says fp16, on a CPU: served, in single precision, and the API says so. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { writeTinyModels } from '../support/tiny-models.js';

let models: string;
let app: TestApp;
beforeAll(async () => {
  models = await writeTinyModels();
  const file = join(models, 'tiny-resnet', 'model.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...manifest, precision: 'fp16' }));
  app = await startTestApp({}, models);
});
afterAll(async () => {
  await app.close();
  await rm(models, { recursive: true });
});

it('is ready, answers, and is said to be fp32', async () => {
  const model = (await app.http.inject('/v1/models/tiny-resnet')).json<Record<string, unknown>>();
  expect(model).toMatchObject({ state: 'ready', precision: 'fp32' });
  const payload = await readFile(new URL('../fixtures/photos/coffee.png', import.meta.url));
  const answer = await app.http.inject({ method: 'POST', url: '/v1/classify?model=tiny-resnet', payload });
  expect(answer.statusCode).toBe(200);
});
