import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/errors.js';
import { openapiDocument } from '../../src/http/openapi.js';
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
const classify = (model: string) =>
  app.http.inject({
    method: 'POST',
    url: `/v1/classify?model=${model}`,
    payload: cat,
    headers: { 'content-type': 'image/png' },
  });

describe('models', () => {
  it('lists what can be asked of each', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: Record<string, unknown>[] }>();
    expect(models.map(({ name }) => name)).toEqual(['tiny-resnet', 'tiny-vgg']);
    expect(models[0]).toMatchObject({
      state: 'ready',
      default: true,
      classes: 10,
      outputStrides: [16],
      architecture: 'resnet18',
    });
    const detail = (await app.http.inject('/v1/models/tiny-vgg')).json<{ labels: unknown[]; minimumSize: number }>();
    expect(detail.labels).toHaveLength(10);
    expect(detail.minimumSize).toBe(64);
    expect((await app.http.inject('/v1/models/none')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  it('loads a folder that has been dropped in, unloads it, and answers in between', async () => {
    await writeTinyModel(app.models, 'tiny-resnet', 'newcomer');
    expect((await classify('newcomer')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect((await admin('/v1/models/newcomer/load')).json()).toMatchObject({ state: 'ready' });
    expect((await classify('newcomer')).statusCode).toBe(200);

    const inFlight = Array.from({ length: 8 }, () => classify('newcomer'));
    await new Promise((resolve) => setImmediate(resolve));
    expect((await admin('/v1/models/newcomer/unload')).json()).toMatchObject({ state: 'unloaded' });
    for (const response of await Promise.all(inFlight)) expect([200, 404]).toContain(response.statusCode);
    expect((await classify('newcomer')).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' });
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
    expect(JSON.parse(committed)).toEqual(JSON.parse(JSON.stringify(openapiDocument())));
    expect((await app.http.inject('/openapi.json')).json()).toEqual(JSON.parse(committed));
  });

  it('names every code of the error table that a native route can answer', () => {
    const text = JSON.stringify(openapiDocument());
    const elsewhere = new Set(['RATE_LIMITED', 'METHOD_NOT_ALLOWED', 'NOT_FOUND']);
    for (const code of Object.keys(ERROR_TABLE).filter((name) => !elsewhere.has(name)))
      expect(text).toContain(`${code}: `);
  });

  it('has no dangling reference', () => {
    const text = JSON.stringify(openapiDocument());
    const { components } = JSON.parse(text) as { components: { schemas: Record<string, unknown> } };
    for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
      expect(components.schemas).toHaveProperty(name!);
  });
});
