/** Models that are loaded when they are asked for, versions, and a watched folder, as clients see them. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { binaryBody, binaryInput, bytesTensor } from '../support/open-inference.js';
import { writeSmallVgg, writeTinyModel } from '../support/tiny-models.js';

const TOKEN = { authorization: 'Bearer secret' };
const NAMES = ['a', 'b', 'c', 'd', 'e'];

interface Model {
  readonly name: string;
  readonly version?: string;
  readonly state: string;
  readonly reason?: string;
  readonly default: boolean;
  readonly memoryBytes: number;
  readonly digest?: string;
}

let photo: Buffer;
/** Five models. */
let five: string;
let bytes: number;
beforeAll(async () => {
  photo = await sharp({ create: { width: 32, height: 32, channels: 3, background: '#c63' } })
    .png()
    .toBuffer();
  five = await mkdtemp(join(tmpdir(), 'fullconv-five-'));
  for (const name of NAMES) await writeSmallVgg(five, name);
  const all = await start({}, five);
  bytes = (await modelsOf(all)).find(({ name }) => name === 'a')!.memoryBytes;
  await all.close();
});
afterAll(() => rm(five, { recursive: true }));

let app: TestApp | undefined;
afterEach(async () => {
  await app?.close();
  app = undefined;
});

const start = (environment: Record<string, string>, folder?: string): Promise<TestApp> =>
  startTestApp({ FULLCONV_ADMIN_TOKEN: 'secret', FULLCONV_WORKERS: '1', ...environment }, folder);
/** With room for two of the five. */
const startTight = async (environment: Record<string, string> = {}): Promise<TestApp> =>
  (app = await start({ FULLCONV_MODEL_MEMORY: String((2.5 * bytes) / 2 ** 20), ...environment }, five));

const get = async <T>({ http }: TestApp, url: string): Promise<T> => {
  const { statusCode, body } = await http.inject(url);
  expect(statusCode, body).toBe(200);
  return JSON.parse(body) as T;
};
const modelsOf = async (of: TestApp): Promise<readonly Model[]> =>
  (await get<{ models: Model[] }>(of, '/v1/models')).models;
const classify = ({ http }: TestApp, query: string) =>
  http.inject({ method: 'POST', url: `/v1/classify?${query}`, payload: photo });
const administer = ({ http }: TestApp, what: string) =>
  http.inject({ method: 'POST', url: what, headers: TOKEN, payload: '' });

async function answerer(of: TestApp, query: string): Promise<string> {
  const { statusCode, headers, body } = await classify(of, query);
  expect(statusCode, body).toBe(200);
  const { model } = JSON.parse(body) as { model: { name: string; version: string; digest: string } };
  expect(headers['fullconv-model']).toBe(`${model.name}@${model.version}`);
  expect(headers['fullconv-model-digest']).toBe(model.digest);
  return `${model.name}@${model.version}`;
}

async function metric(of: TestApp, name: string): Promise<number> {
  const { body } = await of.http.inject('/metrics');
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)![1]);
}

describe('with room for two models', () => {
  it('five are answered in turn and at once, with never more than two in memory', async () => {
    const tight = await startTight();
    for (const name of [...NAMES, ...NAMES]) {
      expect(await answerer(tight, `model=${name}`)).toBe(`${name}@1`);
      expect((await modelsOf(tight)).filter(({ state }) => state === 'ready').length).toBeLessThanOrEqual(2);
    }
    const asked = Array.from({ length: 60 }, (_, index) => NAMES[(index * 3) % 5]!);
    const answers = await Promise.all(asked.map((name) => answerer(tight, `model=${name}`)));
    expect(answers).toEqual(asked.map((name) => `${name}@1`));
    expect(await metric(tight, 'fullconv_model_evictions_total')).toBeGreaterThan(5);
    expect(await metric(tight, 'fullconv_model_memory_bytes{model="a",version="1"}').catch(() => 0)).toBeDefined();
  });

  it('lists the others with what they would take, and is ready', async () => {
    const tight = await startTight();
    const models = await modelsOf(tight);
    expect(models.map(({ state }) => state)).toEqual(['ready', 'ready', 'unloaded', 'unloaded', 'unloaded']);
    expect(models[3]).toMatchObject({ version: '1', reason: 'it is loaded when it is asked for', default: false });
    for (const { memoryBytes } of models) expect(Math.abs(memoryBytes - bytes)).toBeLessThan(bytes / 2);
    for (const name of ['b', 'c', 'd']) await answerer(tight, `model=${name}`);
    expect(await get(tight, '/readyz')).toEqual({ status: 'ready' });
    expect((await modelsOf(tight)).find(({ name }) => name === 'a')).toMatchObject({
      state: 'unloaded',
      default: true,
    });
    expect(await answerer(tight, '')).toBe('a@1');
  });

  it('loads nothing for what is refused before', async () => {
    const tight = await startTight();
    const load = vi.spyOn(tight.service.pool, 'open');
    for (const query of ['model=e&topK=none', 'model=nothing', 'model=e&version=7', 'model=e&version=canary']) {
      expect([400, 404]).toContain((await classify(tight, query)).statusCode);
    }
    await tight.http.inject({
      method: 'POST',
      url: '/v1/heatmap?model=e',
      payload: photo,
      headers: { accept: 'text/csv' },
    });
    await tight.http.inject({ method: 'POST', url: '/v2/models/e/infer', payload: '{"inputs":[]}' });
    expect(load).not.toHaveBeenCalled();
  });

  it('answers with DEADLINE_EXCEEDED where a load takes longer than the request may, and the load goes on', async () => {
    const tight = await startTight();
    const { pool } = tight.service;
    const open = pool.open.bind(pool);
    let goOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    vi.spyOn(pool, 'open').mockImplementation(async (spec) => {
      await held;
      return open(spec);
    });
    const { statusCode, body } = await classify(tight, 'model=e&deadlineMs=2000');
    expect(statusCode, body).toBe(504);
    expect(JSON.parse(body)).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      detail: expect.stringMatching(/model was being loaded/) as string,
    });
    // The one that was loaded first at the start is unloaded for it; the other one answers.
    const other = (await modelsOf(tight)).find(({ state }) => state === 'ready')!.name;
    expect(await answerer(tight, `model=${other}`)).toBe(`${other}@1`);
    goOn();
    expect(await answerer(tight, 'model=e')).toBe('e@1');
  });

  it('refuses a model that is too large with the limit, and one that is broken without trying again and again', async () => {
    const small = (app = await start({ FULLCONV_MODEL_MEMORY: String(bytes / 4 / 2 ** 20) }, five));
    const { statusCode, headers, body } = await classify(small, 'model=b');
    expect(statusCode, body).toBe(503);
    expect(headers['retry-after']).toBe('3600');
    expect(JSON.parse(body)).toMatchObject({ code: 'MODEL_NOT_READY', limit: { name: 'model_memory' } });
    for (let time = 0; time < 5; time++) await classify(small, 'model=b');
    expect(await metric(small, 'fullconv_model_load_failures_total')).toBe(1);
  });

  it('lets no request bring back what an administrator has unloaded', async () => {
    const tight = await startTight();
    expect((await administer(tight, '/v1/models/b/unload')).statusCode).toBe(200);
    expect((await classify(tight, 'model=b')).statusCode).toBe(404);
    expect((await tight.http.inject('/v2/models/b/ready')).statusCode).toBe(503);
    expect(JSON.parse((await administer(tight, '/v1/models/b/load')).body)).toMatchObject({ state: 'ready' });
    expect(await answerer(tight, 'model=b')).toBe('b@1');
  });

  it('loads for clients of the protocol too, whatever they ask first', async () => {
    const tight = await startTight();
    expect(await get(tight, '/v2/models/e/ready')).toEqual({ name: 'e', ready: true });
    expect(await get(tight, '/v2/models/d')).toMatchObject({ name: 'd', versions: ['1'] });
    expect(await get(tight, '/v2/models/c/config')).toMatchObject({ name: 'c' });
    const tensor = bytesTensor(photo);
    const { payload, headers } = binaryBody({ inputs: [binaryInput('BYTES', [1], tensor.length)] }, tensor);
    const answer = await tight.http.inject({ method: 'POST', url: '/v2/models/e/infer', payload, headers });
    expect(answer.statusCode, answer.body).toBe(200);
    expect(answer.json()).toMatchObject({ model_name: 'e', model_version: '1' });
    const raw = { 'inference-header-content-length': '0' };
    const picture = await tight.http.inject({
      method: 'POST',
      url: '/v2/models/a/infer',
      payload: photo,
      headers: raw,
    });
    expect(picture.statusCode, picture.body).toBe(200);
  });
});

describe('requests while models come and go', () => {
  it('are all answered during twenty reloads', async () => {
    const own = (app = await start({ FULLCONV_WORKERS: '2' }));
    let isOver = false;
    let answered = 0;
    const clients = Array.from({ length: 6 }, async (_, client) => {
      while (!isOver) {
        const { statusCode, body } = await classify(own, client % 2 === 0 ? '' : 'model=tiny-vgg');
        expect(statusCode, body).toBe(200);
        answered += 1;
      }
    });
    for (let time = 0; time < 20; time++) {
      const model = time % 2 === 0 ? 'tiny-resnet' : 'tiny-vgg';
      expect((await administer(own, `/v1/models/${model}/load`)).json()).toMatchObject({ state: 'ready' });
    }
    isOver = true;
    await Promise.all(clients);
    expect(answered).toBeGreaterThan(20);
  });

  it('of several versions are answered by the one they name', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-two-'));
    try {
      await writeTinyModel(folder, 'tiny-resnet');
      for (const version of ['2', '3'])
        await cp(join(folder, 'tiny-resnet'), join(folder, `later`, version), { recursive: true });
      await cp(join(folder, 'tiny-resnet'), join(folder, 'net', '1'), { recursive: true });
      for (const version of ['2', '3'])
        await cp(join(folder, 'later', version), join(folder, 'net', version), { recursive: true });
      for (const name of ['later', 'tiny-resnet']) await rm(join(folder, name), { recursive: true });
      const labels: Record<string, string[]> = { 1: ['stable'], 2: ['canary'], 3: [] };
      for (const [version, versionLabels] of Object.entries(labels)) {
        const file = join(folder, 'net', version, 'model.json');
        const manifest = JSON.parse(await readFile(file, 'utf8')) as object;
        await writeFile(file, JSON.stringify({ ...manifest, name: 'net', versionLabels }));
      }
      const own = (app = await start({}, folder));
      expect((await modelsOf(own)).map(({ version }) => version)).toEqual(['1', '2', '3']);
      expect((await modelsOf(own)).map((model) => model.default)).toEqual([true, false, false]);
      expect(await answerer(own, '')).toBe('net@1');
      expect(await answerer(own, 'model=net&version=3')).toBe('net@3');
      expect(await answerer(own, 'version=canary')).toBe('net@2');
      const missing = await classify(own, 'version=beta');
      expect(missing.json()).toMatchObject({
        code: 'MODEL_NOT_FOUND',
        errors: [{ parameter: 'version', detail: 'must be one of: 1, stable, 2, canary, 3' }],
      });
      const heatmap = await own.http.inject({ method: 'POST', url: '/v1/heatmap?version=3', payload: photo });
      expect(heatmap.headers['fullconv-model']).toBe('net@3');
      expect(await get(own, '/v1/models/net?version=canary')).toMatchObject({
        version: '2',
        versionLabels: ['canary'],
      });
      expect(await get(own, '/v2/models/net')).toMatchObject({ versions: ['1', '2', '3'] });
      expect(await get(own, '/v2/models/net/versions/2/ready')).toEqual({ name: 'net', ready: true });
      const raw = { 'inference-header-content-length': '0' };
      for (const [version, is] of [
        ['3', '3'],
        ['canary', '2'],
      ]) {
        const url = `/v2/models/net/versions/${version}/infer`;
        const { headers } = await own.http.inject({ method: 'POST', url, payload: photo, headers: raw });
        expect(headers['fullconv-model']).toBe(`net@${is}`);
      }
      const index = await administer(own, '/v2/repository/index');
      expect(index.json<object[]>().filter((each) => 'version' in each && each.version === '2')).toHaveLength(3);
      expect((await administer(own, '/v1/models/net/unload?version=1')).json()).toMatchObject({ state: 'unloaded' });
      expect(await answerer(own, '')).toBe('net@3');
      expect((await classify(own, 'version=1')).statusCode).toBe(404);
    } finally {
      await app?.close();
      app = undefined;
      await rm(folder, { recursive: true });
    }
  });
});

it('a watched folder takes up what is dropped in, and lets go of what is gone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-watched-'));
  try {
    await writeSmallVgg(folder, 'a');
    const own = (app = await start({ FULLCONV_WATCH: '0.05' }, folder));
    expect((await classify(own, 'model=b')).statusCode).toBe(404);
    await cp(join(five, 'b'), join(folder, 'b'), { recursive: true });
    await expect
      .poll(async () => (await modelsOf(own)).map(({ name, state }) => `${name} ${state}`))
      .toEqual(['a ready', 'b ready']);
    expect(await answerer(own, 'model=b')).toBe('b@1');
    await rm(join(folder, 'b'), { recursive: true });
    await expect.poll(async () => (await modelsOf(own)).map(({ name }) => name)).toEqual(['a']);
    expect(await answerer(own, '')).toBe('a@1');
  } finally {
    await app?.close();
    app = undefined;
    await rm(folder, { recursive: true });
  }
});

it("a folder that is one model is served, and asked for by the default model's other name", async () => {
  app = await start({ FULLCONV_DEFAULT_ALIAS: 'cats' }, join(five, 'b'));
  expect(await modelsOf(app)).toMatchObject([{ name: 'b', state: 'ready', default: true }]);
  const answer = await classify(app, 'model=cats');
  expect(answer.statusCode, answer.body).toBe(200);
  expect(answer.json()).toMatchObject({ model: { name: 'b' } });
  expect(await get(app, '/v1/models/cats')).toMatchObject({ name: 'b' });
  expect(await get(app, '/v2/models/cats/ready')).toMatchObject({ name: 'cats', ready: true });
  for (const name of ['cats', 'cats.encoded', 'cats.heatmap']) {
    expect(await get(app, `/v2/models/${name}`)).toMatchObject({ name, versions: ['1'] });
    const tensor = bytesTensor(photo);
    const { payload, headers } = binaryBody({ inputs: [binaryInput('BYTES', [1], tensor.length)] }, tensor);
    const inferred = await app.http.inject({ method: 'POST', url: `/v2/models/${name}/infer`, payload, headers });
    expect(inferred.statusCode, inferred.body.slice(0, 200)).toBe(200);
  }
  const listed = await app.http.inject({ method: 'POST', url: '/v2/repository/index', payload: '{}' });
  expect(listed.body).not.toContain('cats');
});

it('gives free memory back to the system when a model was unloaded and nobody asks for anything', async () => {
  app = await start({}, five);
  const returns = async (): Promise<string | undefined> =>
    /^fullconv_memory_returns_total (\d+)$/m.exec((await app!.http.inject('/metrics')).body)?.[1];
  expect(await returns()).toBe('0');
  const unloaded = await app.http.inject({ method: 'POST', url: '/v1/models/b/unload', headers: TOKEN });
  expect(unloaded.statusCode, unloaded.body).toBe(200);
  await vi.waitFor(async () => expect(await returns()).toBe('1'), { timeout: 30_000, interval: 200 });
  // The processes are there, and answer.
  expect((await classify(app, 'model=a')).statusCode).toBe(200);
});
