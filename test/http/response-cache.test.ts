/** Answers of the whole server that are kept, and shared by those who ask at once. */
import { readFile } from 'node:fs/promises';
import type { InjectOptions } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { binaryBody, binaryInput, bytesTensor, readAnswer } from '../support/open-inference.js';

const TOKEN = 'a-token';

let app: TestApp;
let cat: Buffer;
let coffee: Buffer;
beforeAll(async () => {
  app = await startTestApp({ FULLCONV_RESPONSE_CACHE_MB: '16', FULLCONV_ADMIN_TOKEN: TOKEN });
  const photo = (name: string) => readFile(new URL(`../fixtures/photos/${name}`, import.meta.url));
  [cat, coffee] = await Promise.all([photo('chelsea.png'), photo('coffee.png')]);
});
afterAll(() => app.close());

const post = (url: string, payload: Buffer | string = cat, headers: InjectOptions['headers'] = {}) =>
  app.http.inject({ method: 'POST', url, payload, headers });
const STORED = 'fullconv; fwd=miss; stored';
const HIT = 'fullconv; hit';

interface Stats {
  inference_count: number;
  execution_count: number;
  inference_stats: Record<string, { count: number; ns: number }>;
}
async function statsOf(model: string): Promise<Stats> {
  const answer = await app.http.inject(`/v2/models/${model}/stats`);
  return answer.json<{ model_stats: Stats[] }>().model_stats[0]!;
}

describe.each([
  ['/v1/classify?topK=3', 'application/json'],
  ['/v1/heatmap?class=1', 'image/png'],
  ['/v1/heatmap?class=1', 'application/json'],
  ['/v1/heatmap?class=1', 'application/x-npy'],
  ['/v1/segment?render=overlay', 'image/webp'],
  ['/v1/segment', 'application/json'],
])('%s as %s', (url, accept) => {
  it('is computed once, and is the same again, but for the time that it took', async () => {
    const first = await post(url, cat, { accept });
    expect([first.statusCode, first.headers['cache-status']]).toEqual([200, STORED]);
    const again = await post(url, cat, { accept });
    expect([again.statusCode, again.headers['cache-status']]).toEqual([200, HIT]);
    if (accept === 'application/json') {
      const timing = { decodeMs: 0, queueMs: 0, inferMs: 0, batchSize: 0 };
      expect(first.json<{ timing: { batchSize: number } }>().timing.batchSize).toBeGreaterThan(0);
      expect(again.json()).toEqual({ ...first.json<object>(), timing });
    } else {
      expect(again.rawPayload).toEqual(first.rawPayload);
    }
    const described = ({ headers }: typeof first) =>
      Object.entries(headers).filter(([name]) => /^(content-type|vary|fullconv-.*)$/.test(name));
    expect(described(again)).toEqual(described(first));
    expect(again.headers['x-request-id']).not.toBe(first.headers['x-request-id']);
    expect((await post(url, coffee, { accept })).headers['cache-status']).toBe(STORED);
  });
});

describe('a question', () => {
  it('is the same however it is written', async () => {
    await post('/v1/classify?scale=1&flip=true');
    for (const url of [
      '/v1/classify?flip=1',
      '/v1/classify?flip&topK=5&priority=-3',
      '/v1/classify?deadlineMs=3600000&flip=true&model=tiny-resnet&scores=probability',
    ]) {
      expect((await post(url)).headers['cache-status'], url).toBe(HIT);
    }
    await post('/v1/heatmap');
    expect((await post('/v1/heatmap?class=top')).headers['cache-status']).toBe(HIT);
    const body = JSON.stringify({ images: [{ base64: cat.toString('base64') }] });
    const asJson = await post('/v1/classify?flip=1', body, { 'content-type': 'application/json' });
    expect(asJson.headers['cache-status']).toBe(HIT);
  });

  it('is another with other parameters, another model, another name of the image', async () => {
    for (const url of [
      '/v1/classify?flip=true&topK=4',
      '/v1/classify?flip=true&scores=logit',
      '/v1/classify?flip=true&model=tiny-vgg',
    ]) {
      expect((await post(url)).headers['cache-status'], url).toBe(STORED);
    }
    const body = JSON.stringify({ images: [{ base64: cat.toString('base64'), name: 'cat' }] });
    const named = await post('/v1/classify?flip=1', body, { 'content-type': 'application/json' });
    expect([named.headers['cache-status'], named.json<{ results: { name: string }[] }>().results[0]!.name]).toEqual([
      STORED,
      'cat',
    ]);
  });

  it('that fails is not kept, nor is an answer in which an image failed', async () => {
    for (const [images, status] of [
      [[cat.subarray(0, 1000)], 422],
      [[cat, cat.subarray(0, 1000)], 200],
    ] as const) {
      const body = JSON.stringify({ images: images.map((image) => ({ base64: image.toString('base64') })) });
      const ask = () => post('/v1/classify', body, { 'content-type': 'application/json' });
      const answers = [await ask(), await ask()];
      expect(answers.map(({ statusCode }) => statusCode)).toEqual([status, status]);
      for (const { headers } of answers) expect(headers['cache-status'] ?? 'none').not.toMatch(/hit|stored/);
    }
  });

  it('is parsed and refused as ever, though its answer is kept', async () => {
    await post('/v1/heatmap', cat, { accept: 'image/png' });
    expect((await post('/v1/heatmap?colour=1')).statusCode).toBe(400);
    expect((await post('/v1/heatmap?model=none')).statusCode).toBe(404);
    expect((await post('/v1/heatmap', cat, { accept: 'text/html' })).statusCode).toBe(406);
  });

  it('asked many times at once runs once', async () => {
    const before = await statsOf('tiny-vgg');
    const asked = Array.from({ length: 20 }, () => post('/v1/classify?model=tiny-vgg&size=96', coffee));
    const answers = await Promise.all(asked);
    const after = await statsOf('tiny-vgg');
    expect(after.inference_count - before.inference_count).toBe(1);
    const statuses = answers.map(({ headers }) => String(headers['cache-status'])).sort();
    expect(statuses.filter((status) => status === STORED)).toHaveLength(1);
    expect(statuses.filter((status) => status === 'fullconv; fwd=miss; collapsed' || status === HIT)).toHaveLength(19);
    const [first, ...others] = answers.map((answer) => answer.json<{ results: object }>().results);
    for (const other of others) expect(other).toEqual(first);
  });

  it('is computed anew when its model is another, and not answered when it is gone', async () => {
    const { readFile: read, writeFile } = await import('node:fs/promises');
    const headers = { authorization: `Bearer ${TOKEN}` };
    const administer = (what: string) => post(`/v1/models/tiny-vgg/${what}`, '', headers);
    const ask = () => post('/v1/classify?model=tiny-vgg&topK=2');
    const first = await ask();
    await administer('unload');
    expect((await ask()).statusCode).toBe(404);
    await administer('load');
    // The same model again.
    expect((await ask()).headers['cache-status']).toBe(HIT);
    const manifest = `${app.models}/tiny-vgg/model.json`;
    const described = JSON.parse(await read(manifest, 'utf8')) as { input: { mean: number[] } };
    described.input.mean = [0.1, 0.1, 0.1];
    await writeFile(manifest, JSON.stringify(described));
    await administer('load');
    const other = await ask();
    expect(other.headers['cache-status']).toBe(STORED);
    expect(other.headers['fullconv-model-digest']).not.toBe(first.headers['fullconv-model-digest']);
  });
});

describe('below /v2', () => {
  const ask = (id: string | undefined, more: object = {}, image = cat, model = 'tiny-resnet') => {
    const tensor = bytesTensor(image);
    const body = { ...(id !== undefined && { id }), inputs: [binaryInput('BYTES', [1], tensor.length)], ...more };
    const { payload, headers } = binaryBody(body, tensor);
    return post(`/v2/models/${model}/infer`, payload, headers);
  };

  it.each([false, true])('answers are kept, each with the id of its own request; binary: %s', async (binary) => {
    const more = { parameters: { binary_data_output: binary } };
    const first = await ask('one', more);
    expect(first.headers['cache-status']).toBe(STORED);
    for (const id of ['two', undefined, '', 'ü"\n']) {
      const again = await ask(id, more);
      expect(again.headers['cache-status']).toBe(HIT);
      const { answer, binary: values } = readAnswer(again);
      const { id: asked, ...rest } = readAnswer(first).answer;
      expect([asked, answer]).toEqual(['one', { ...rest, ...(id !== undefined && { id }) }]);
      expect(values).toEqual(readAnswer(first).binary);
      expect(Number(again.headers['content-length'])).toBe(again.rawPayload.length);
    }
  });

  it('another form, other outputs and other parameters are other questions', async () => {
    await ask(undefined, {}, coffee);
    for (const more of [
      { outputs: [{ name: 'scores', parameters: { classification: 2 } }] },
      { outputs: [{ name: 'scores', parameters: { binary_data: true } }] },
      { parameters: { flip: true } },
    ]) {
      expect((await ask(undefined, more, coffee)).headers['cache-status']).toBe(STORED);
    }
    for (const more of [{ outputs: [{ name: 'scores' }] }, { parameters: { priority: 3, timeout: 3_600_000_000 } }]) {
      expect((await ask('id', more, coffee)).headers['cache-status']).toBe(HIT);
    }
    expect((await ask(undefined, {}, coffee, 'tiny-resnet.encoded')).json()).toMatchObject({
      model_name: 'tiny-resnet.encoded',
    });
  });

  it('statistics count hits as answers that nothing ran for', async () => {
    const more = { parameters: { size: 80 } };
    const before = await statsOf('tiny-resnet');
    for (let asked = 0; asked < 3; asked++) await ask(undefined, more);
    const after = await statsOf('tiny-resnet');
    const grown = (key: string) => after.inference_stats[key]!.count - before.inference_stats[key]!.count;
    expect(['success', 'queue', 'cache_hit', 'cache_miss'].map(grown)).toEqual([3, 3, 2, 1]);
    expect(['compute_input', 'compute_infer', 'compute_output', 'fail'].map(grown)).toEqual([1, 1, 1, 0]);
    expect([after.inference_count - before.inference_count, after.execution_count - before.execution_count]).toEqual([
      1, 1,
    ]);
    expect(Number.isSafeInteger(after.inference_stats['cache_hit']!.ns)).toBe(true);
    expect((await app.http.inject('/v2/models/tiny-resnet/config')).json()).toMatchObject({
      response_cache: { enable: true },
    });
  });
});

it('the metrics count hits, misses and what is kept', async () => {
  const metrics = (await app.http.inject('/metrics')).body;
  for (const line of [
    /^fullconv_response_cache_lookups_total{result="hit"} [1-9]/m,
    /^fullconv_response_cache_lookups_total{result="miss"} [1-9]/m,
    /^fullconv_response_cache_lookups_total{result="collapsed"} \d/m,
    /^fullconv_response_cache_bytes [1-9]\d{4}/m,
    /^fullconv_response_cache_entries [1-9]/m,
    /^fullconv_response_cache_evictions_total 0$/m,
  ]) {
    expect(metrics).toMatch(line);
  }
});

describe('a full server', () => {
  let full: TestApp;
  beforeAll(async () => {
    full = await startTestApp({ FULLCONV_RESPONSE_CACHE_MB: '16', FULLCONV_MAX_QUEUE: '1' });
  });
  afterAll(() => full.close());

  it('answers what is kept, and refuses the rest', async () => {
    const ask = (url: string) => full.http.inject({ method: 'POST', url, payload: cat });
    await ask('/v1/classify');
    const release = full.service.inference.admission.admit(1);
    expect((await ask('/v1/classify')).headers['cache-status']).toBe(HIT);
    expect((await ask('/v1/classify?topK=1')).json()).toMatchObject({ code: 'QUEUE_FULL', limit: { name: 'passes' } });
    release();
    expect((await ask('/v1/classify?topK=1')).statusCode).toBe(200);
  });
});

it('a server without a cache says nothing of one', async () => {
  const plain = await startTestApp();
  try {
    for (let asked = 0; asked < 2; asked++) {
      const { statusCode, headers } = await plain.http.inject({ method: 'POST', url: '/v1/classify', payload: cat });
      expect([statusCode, headers['cache-status']]).toEqual([200, undefined]);
    }
    expect((await plain.http.inject('/metrics')).body).toContain('fullconv_response_cache_entries 0');
  } finally {
    await plain.close();
  }
});
