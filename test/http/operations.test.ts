import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/errors.js';
import { openapiDocument } from '../../src/http/openapi.js';
import { ROUTES } from '../../src/http/routes/index.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { writeTinyModel } from '../support/tiny-models.js';

const TOKEN = 'a-token';
let app: TestApp;
let cat: Buffer;
beforeAll(async () => {
  app = await startTestApp({ FULLCONV_ADMIN_TOKEN: TOKEN });
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => app.close());

const admin = (url: string, authorization = `Bearer ${TOKEN}`) =>
  app.http.inject({ method: 'POST', url, headers: { authorization } });
const classify = (model: string, query = '') =>
  app.http.inject({
    method: 'POST',
    url: `/v1/classify?model=${model}${query}`,
    payload: cat,
    headers: { 'content-type': 'image/png' },
  });
const imagesInFlight = async (): Promise<number> =>
  Number(/^fullconv_images_in_flight (\d+)/m.exec((await app.http.inject('/metrics')).body)![1]);

/** Requests that are long enough in flight to be known to be: resolves when the server has taken all of them. */
async function inFlight(model: string, count: number): Promise<ReturnType<typeof classify>[]> {
  let answered = 0;
  const requests = Array.from({ length: count }, async () => classify(model, '&scale=8').finally(() => answered++));
  let known: number;
  do {
    await new Promise(setImmediate);
    known = answered;
    known += await imagesInFlight();
  } while (known < count);
  expect(answered).toBeLessThan(count);
  return requests;
}

describe('models', () => {
  it('lists what can be asked of each', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: Record<string, unknown>[] }>();
    expect(models.map(({ name }) => name)).toEqual(['tiny-resnet', 'tiny-vgg']);
    expect(models[0]).toMatchObject({
      state: 'ready',
      default: true,
      classes: 10,
      outputStrides: [16, 8, 4],
      edges: ['valid', 'same'],
      architecture: 'resnet18',
    });
    const detail = (await app.http.inject('/v1/models/tiny-vgg')).json<{ labels: unknown[]; minimumSize: number }>();
    expect(detail.labels).toHaveLength(10);
    expect(detail.minimumSize).toBe(64);
    expect((await app.http.inject('/v1/models/none')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  it('says what they run on and why, and what a run of each costs once there was one', async () => {
    await classify('tiny-vgg');
    const answer = (await app.http.inject('/v1/models')).json<Record<string, unknown> & { models: unknown[] }>();
    expect(answer['device']).toEqual({ names: ['cpu'], why: 'asked for' });
    expect(answer.models[1]).toMatchObject({
      name: 'tiny-vgg',
      devices: ['cpu'],
      provider: 'cpu',
      inputStep: 1,
      runCost: { fixedMs: expect.any(Number) as number, msPerGmac: expect.any(Number) as number },
    });
    const { runCost } = answer.models[1] as { runCost: Record<string, number> };
    expect(runCost['msPerGflop'], 'the old name').toBe(runCost['msPerGmac']);
  });

  it('loads a folder that has been dropped in, unloads it, and answers in between', async () => {
    await writeTinyModel(app.models, 'tiny-resnet', 'newcomer');
    expect((await classify('newcomer')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect((await admin('/v1/models/newcomer/load')).json()).toMatchObject({ state: 'ready' });
    expect((await classify('newcomer')).statusCode).toBe(200);

    const requests = await inFlight('newcomer', 8);
    expect((await admin('/v1/models/newcomer/unload')).json()).toMatchObject({ state: 'unloaded' });
    for (const response of await Promise.all(requests)) expect(response.statusCode).toBe(200);
    expect((await classify('newcomer')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  it('loads a model again while requests are in flight and it is being unloaded', async () => {
    await writeTinyModel(app.models, 'tiny-resnet', 'restless');
    expect((await admin('/v1/models/restless/load')).json()).toMatchObject({ state: 'ready' });
    const requests = await inFlight('restless', 8);
    const unloading = admin('/v1/models/restless/unload');
    const loading = admin('/v1/models/restless/load');
    for (const response of await Promise.all(requests)) expect(response.statusCode).toBe(200);
    expect((await unloading).json()).toMatchObject({ state: 'unloaded' });
    expect((await loading).json()).toMatchObject({ state: 'ready' });
    expect((await classify('restless')).statusCode).toBe(200);
  });

  it('answers by the new input preset after a reload of the same weights', async () => {
    await writeTinyModel(app.models, 'tiny-resnet', 'retuned');
    await admin('/v1/models/retuned/load');
    const before = (await classify('retuned')).json<{ results: unknown[] }>();
    const file = join(app.models, 'retuned', 'model.json');
    const manifest = JSON.parse(await readFile(file, 'utf8')) as { input: object };
    await writeFile(file, JSON.stringify({ ...manifest, input: { ...manifest.input, mean: [0, 0, 0] } }));
    expect((await admin('/v1/models/retuned/load')).json()).toMatchObject({ state: 'ready' });
    const after = (await classify('retuned')).json<{ results: unknown[] }>();
    expect(after.results).not.toEqual(before.results);
  });

  it('says what is wrong with one that cannot be loaded, and not where models lie', async () => {
    await writeTinyModel(app.models, 'tiny-resnet', 'broken');
    await writeFile(join(app.models, 'broken', 'labels.json'), '[]');
    await admin('/v1/models/broken/load');
    const { body } = await app.http.inject('/v1/models/broken');
    const entry = JSON.parse(body) as { state: string; reason: string };
    expect(entry.state).toBe('failed');
    expect(entry.reason).toMatch(/^labels\.json: /);
    expect(body).not.toContain(app.models);
    expect((await classify('broken')).json()).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      errors: [{ parameter: 'model', detail: expect.stringContaining('tiny-resnet') as string }],
    });
  });

  it('keeps administration from whoever has no token', async () => {
    for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${TOKEN}`]) {
      const response = await admin('/v1/models/tiny-vgg/unload', authorization);
      expect(response.statusCode).toBe(401);
      expect(response.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect((await classify('tiny-vgg')).statusCode).toBe(200);
  });
});

describe('probes and metrics', () => {
  it('is not ready while the configured default model is not', async () => {
    const lame = await startTestApp(
      { FULLCONV_DEFAULT_MODEL: 'tiny-vgg', FULLCONV_ADMIN_TOKEN: TOKEN, FULLCONV_WORKERS: '1' },
      app.models,
    );
    const post = (url: string) =>
      lame.http.inject({ method: 'POST', url, payload: cat, headers: { authorization: `Bearer ${TOKEN}` } });
    await post('/v1/models/tiny-vgg/unload');
    expect((await lame.http.inject('/readyz')).statusCode).toBe(503);
    expect((await post('/v1/classify')).json()).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      detail: 'The model "tiny-vgg" is unloaded.',
    });
    await lame.close();
  });

  it('is alive, ready, and not ready once it drains', async () => {
    const draining = await startTestApp({}, app.models);
    expect((await draining.http.inject('/livez')).statusCode).toBe(200);
    expect((await draining.http.inject('/readyz')).statusCode).toBe(200);
    draining.markDraining();
    expect((await draining.http.inject('/readyz')).statusCode).toBe(503);
    expect((await draining.http.inject('/livez')).statusCode).toBe(200);
    await draining.close();
  });

  it('counts requests, phases, batches and the reasons of dispatch', async () => {
    expect((await classify('tiny-resnet')).statusCode).toBe(200);
    const { body, headers } = await app.http.inject('/metrics');
    expect(body).toContain('fullconv_device_info{engine="onnxruntime",device="cpu",provider="cpu",why="asked for"} 1');
    expect(body).toMatch(/^fullconv_run_fixed_seconds\{session="tiny-resnet@1\/classify"\} /m);
    const perGmac = /^fullconv_run_seconds_per_gmac(\{session="tiny-resnet@1\/classify"\} .*)$/m.exec(body);
    expect(perGmac).not.toBeNull();
    expect(body.split('\n'), 'the old name').toContain(`fullconv_run_seconds_per_gflop${perGmac![1]}`);
    expect(headers['content-type']).toMatch('text/plain');
    for (const phase of ['decode', 'queue', 'infer']) {
      expect(body).toMatch(
        new RegExp(`fullconv_phase_duration_seconds_count\\{phase="${phase}",model="tiny-resnet"\\} [1-9]`),
      );
    }
    expect(body).toMatch(
      /fullconv_request_duration_seconds_count\{route="\/v1\/classify",method="POST",status="200"\} [1-9]/,
    );
    expect(body).toMatch(/fullconv_batch_size_count\{session="tiny-resnet@.*\} [1-9]/);
    expect(body).toMatch(/fullconv_dispatches_total\{session="tiny-resnet@.*reason="\w+"\} [1-9]/);
  });
});

describe('the OpenAPI document', () => {
  it('is the committed one', async () => {
    const committed = await readFile(new URL('../../openapi/openapi.json', import.meta.url), 'utf8');
    expect(JSON.parse(committed)).toEqual(JSON.parse(JSON.stringify(openapiDocument(ROUTES))));
    expect((await app.http.inject('/openapi.json')).json()).toEqual(JSON.parse(committed));
  });

  it('names every code of the error table that a route of /v1 can answer', () => {
    const OF_V2 = ['NOT_IMPLEMENTED', 'MODEL_NOT_READY'];
    const text = JSON.stringify(openapiDocument(ROUTES));
    const elsewhere = new Set(['RATE_LIMITED', 'HEADERS_TOO_LARGE', 'METHOD_NOT_ALLOWED', 'NOT_FOUND', ...OF_V2]);
    for (const code of Object.keys(ERROR_TABLE).filter((name) => !elsewhere.has(name)))
      expect(text).toContain(`${code}: `);
  });

  it('has no dangling reference', () => {
    const text = JSON.stringify(openapiDocument(ROUTES));
    const { components } = JSON.parse(text) as { components: { schemas: Record<string, unknown> } };
    for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
      expect(components.schemas).toHaveProperty(name!);
  });
});
