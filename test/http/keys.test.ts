/** Who may ask what, with a file of keys; and how much. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from '../../src/client/index.js';
import { ROUTES } from '../../src/http/routes/index.js';
import { removeKey } from '../../src/keys/edit-keys.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { runFullconv } from '../support/command-line.js';
import { addKeys, newKeysFile } from '../support/keys.js';
import { head, rawClient } from '../support/raw-client.js';

const TOKEN = 'the-token-of-the-settings';
const NONE = 'fc_0123456789ab_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

let app: TestApp;
let path: string;
let url: string;
let photo: Buffer;
const lines: Record<string, unknown>[] = [];
let keys: Record<'infer' | 'models' | 'admin' | 'metrics' | 'all' | 'past', string>;
beforeAll(async () => {
  photo = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  path = await newKeysFile();
  keys = await addKeys(path, {
    infer: { scopes: ['infer'] },
    models: { scopes: ['models'] },
    admin: { scopes: ['admin'] },
    metrics: { scopes: ['metrics'] },
    all: { scopes: ['infer', 'models', 'admin', 'metrics'] },
    past: { scopes: ['infer'], expires: '2020-01-01T00:00:00.000Z' },
  });
  const logger = pino(
    { level: 'trace' },
    { write: (text: string) => lines.push(JSON.parse(text) as Record<string, unknown>) },
  );
  const settings = { FULLCONV_KEYS: path, FULLCONV_ADMIN_TOKEN: TOKEN, FULLCONV_URL_HOSTS: 'images.invalid' };
  app = await startTestApp(settings, undefined, { logger });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(() => app.close());

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const ask = (method: 'GET' | 'POST', address: string, headers: Record<string, string> = {}, payload = '') =>
  app.http.inject({ method, url: address, headers, payload });
const classify = (headers: Record<string, string>, query = '', where = app) =>
  where.http.inject({ method: 'POST', url: `/v1/classify${query}`, headers, payload: photo });

/** An address of the route that asks for little. */
const filled = (route: string): string =>
  route.replace(/:(\w+)(\([^)]*\))?/g, (_, name) => (name === 'version' ? '1' : 'no-such-model'));

describe('every route', () => {
  it.each(ROUTES.map((route) => [route.method, route.path, route.audience] as const))(
    '%s %s is for %s',
    async (method, route, audience) => {
      const address = filled(route);
      const keyless = await ask(method, address);
      if (audience === 'everybody') {
        expect(keyless.statusCode).toBe(200);
        return;
      }
      expect(keyless.statusCode).toBe(401);
      expect(keyless.headers['www-authenticate']).toBe('Bearer');
      if (route.startsWith('/v2')) expect(keyless.json()).toEqual({ error: expect.any(String) as string });
      else expect(keyless.json()).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });

      const other = audience === 'infer' ? keys.models : keys.infer;
      const without = await ask(method, address, bearer(other));
      expect(without.statusCode).toBe(403);
      expect(without.headers['www-authenticate']).toBe(`Bearer error="insufficient_scope", scope="${audience}"`);
      if (!route.startsWith('/v2')) expect(without.json()).toMatchObject({ code: 'FORBIDDEN' });

      const withIt = await ask(method, address, bearer(keys[audience]));
      expect([401, 403]).not.toContain(withIt.statusCode);
      if (method === 'GET') {
        const headOf = await app.http.inject({ method: 'HEAD', url: address });
        expect(headOf.statusCode).toBe(401);
      }
    },
  );

  it.each(['/', '/docs', '/openapi.json', '/livez', '/readyz', '/v2/health/live'])('%s is open', async (address) => {
    expect((await ask('GET', address)).statusCode).toBe(200);
  });
});

describe('a key', () => {
  it.each<[string, () => Record<string, string>, number]>([
    ['as a bearer token', () => bearer(keys.infer), 200],
    ['whatever the case of the scheme', () => ({ authorization: `bEaReR   ${keys.infer}` }), 200],
    ['as X-API-Key', () => ({ 'x-api-key': keys.infer }), 200],
    ['beside the proxy’s own credentials', () => ({ authorization: 'Basic eDp5', 'x-api-key': keys.infer }), 200],
    ['twice', () => ({ ...bearer(keys.infer), 'x-api-key': keys.infer }), 200],
    ['beside another', () => ({ ...bearer(keys.infer), 'x-api-key': keys.all }), 401],
    ['in another scheme', () => ({ authorization: `Basic ${keys.infer}` }), 401],
    ['without a scheme', () => ({ authorization: keys.infer }), 401],
    ['that does not exist', () => bearer(NONE), 401],
    ['with one letter changed', () => bearer(keys.infer.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))), 401],
    ['without its last letter', () => bearer(keys.infer.slice(0, -1)), 401],
    ['that is empty', () => ({ authorization: 'Bearer ', 'x-api-key': '' }), 401],
    ['that has expired', () => bearer(keys.past), 401],
    ['that is the administrator’s token', () => bearer(TOKEN), 403],
  ])('%s', async (_, headers, status) => {
    const answer = await classify(headers());
    expect(answer.statusCode).toBe(status);
    if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
  });

  it('in the address is none', async () => {
    expect((await classify({}, `?api_key=${NONE}`)).statusCode).toBe(401);
  });

  it('is asked for before parameters, model and body', async () => {
    const answer = await ask('POST', '/v1/classify?model=none&nonsense=1', { 'content-type': 'application/json' }, '{');
    expect(answer.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
    const client = await rawClient(url);
    await client.send(head('POST /v1/classify', { 'Content-Length': 20_000_000 }));
    expect(await client.receive(/\r\n\r\n/)).toContain('');
    expect(client.received).toMatch(/^HTTP\/1\.1 401 [^]*Connection: close/i);
    client.socket.destroy();
  });

  it('that has no scope is told which', async () => {
    const answer = await ask('GET', '/v1/models', bearer(keys.infer));
    expect(answer.json()).toMatchObject({ detail: '"infer" may not do this: it lacks the scope "models".' });
  });

  it('that never was costs the same whether its id exists or not', async () => {
    const existing = `${keys.infer.slice(0, keys.infer.lastIndexOf('_', 20))}_${'A'.repeat(43)}`;
    const [one, two] = [await classify(bearer(existing)), await classify(bearer(NONE))];
    const { instance: _, ...told } = one.json<Record<string, unknown>>();
    expect(two.json()).toMatchObject(told);
  });
});

describe('administration', () => {
  it.each([
    ['a key with the scope', () => keys.admin, 'admin'],
    ['the token of the settings', () => TOKEN, 'administrator token'],
  ])('is done by %s, and written down', async (_, credential, by) => {
    lines.length = 0;
    const unload = await ask('POST', '/v1/models/tiny-vgg/unload', bearer(credential()));
    expect(unload.json()).toMatchObject({ name: 'tiny-vgg', state: 'unloaded' });
    expect((await ask('POST', '/v2/repository/models/tiny-vgg/load', bearer(credential()))).statusCode).toBe(200);
    await ask('POST', '/v1/models/none/load', bearer(credential()));
    await ask('POST', '/v1/models/tiny-vgg/load', bearer(keys.infer));
    const audit = lines.filter((line) => line['audit'] === true);
    expect(audit).toMatchObject([
      { action: 'unload', model: 'tiny-vgg', by, client: '127.0.0.1', result: 'unloaded' },
      { action: 'load', model: 'tiny-vgg', by, result: 'ready' },
      { action: 'load', model: 'none', by, result: 'MODEL_NOT_FOUND' },
      { action: 'POST /v1/models/tiny-vgg/load', by: 'infer', result: 'FORBIDDEN' },
    ]);
  });
});

describe('the log and the metrics', () => {
  it('name the key', async () => {
    lines.length = 0;
    await classify(bearer(keys.infer));
    await classify(bearer(NONE));
    expect(lines.filter(({ msg }) => msg === 'request')).toMatchObject([
      { key: 'infer', status: 200 },
      { status: 401 },
    ]);
    const { body } = await ask('GET', '/metrics', bearer(keys.metrics));
    expect(body).toMatch(/^fullconv_key_requests_total\{key="infer",status="200"\} [1-9]/m);
    expect(body).toMatch(/^fullconv_key_gmac_total\{key="infer"\} 0\.[0-9]/m);
    expect(body).toMatch(/^fullconv_keyless_requests_total\{reason="unknown"\} [1-9]/m);
    expect(body).toMatch(/^fullconv_keys_file_valid 1$/m);
  });

  it('hold no key, no token and no image, whatever is asked', async () => {
    lines.length = 0;
    for (const key of [...Object.values(keys), TOKEN, NONE]) {
      await classify({ authorization: `Bearer ${key}`, 'x-api-key': key });
      await ask('POST', '/v1/models/tiny-vgg/load', bearer(key));
      await ask('GET', '/metrics', bearer(key));
      await classify(bearer(key), '?model=none');
    }
    await app.http.inject({ method: 'POST', url: '/v1/classify', headers: bearer(keys.infer), payload: 'no image' });
    expect(lines.length).toBeGreaterThan(30);
    const log = JSON.stringify(lines);
    const { body: metrics } = await ask('GET', '/metrics', bearer(keys.metrics));
    for (const text of [log, metrics]) {
      for (const key of Object.values(keys)) expect(text).not.toContain(key.slice(key.indexOf('_', 3) + 1));
      for (const word of [TOKEN, 'Bearer', 'AAAAAAAA', 'no image', photo.toString('base64').slice(200, 240)]) {
        expect(text).not.toContain(word);
      }
    }
  });
});

describe('quotas', () => {
  let limited: TestApp;
  let limits: Record<'rate' | 'images' | 'cost' | 'little' | 'free', string>;
  /** GMAC of a classification by the default model. */
  let cost: number;
  beforeAll(async () => {
    const { models } = (await ask('GET', '/v1/models', bearer(keys.models))).json<{
      models: { multiplyAdds: number }[];
    }>();
    cost = models[0]!.multiplyAdds / 1e9;
    const file = await newKeysFile();
    const scopes = ['infer' as const, 'models' as const];
    limits = await addKeys(file, {
      rate: { scopes, quotas: { requestsPerSecond: 0.0001, burst: 3 } },
      images: { scopes, quotas: { imagesAtOnce: 2 } },
      cost: { scopes, quotas: { costPerMinute: 4.5 * cost } },
      little: { scopes, quotas: { costPerMinute: 0.5 * cost } },
      free: { scopes },
    });
    const settings = { FULLCONV_KEYS: file, FULLCONV_MAX_QUEUE: '8' };
    limited = await startTestApp(settings, app.models);
    await limited.http.listen({ port: 0, host: '127.0.0.1' });
  });
  afterAll(() => limited.close());

  /** So many times the photo, as a form. */
  const form = (images: number): { payload: Buffer; type: string } => {
    const part = (index: number): Buffer[] => [
      Buffer.from(`--x\r\nContent-Disposition: form-data; name="image"; filename="${index}.png"\r\n\r\n`),
      photo,
      Buffer.from('\r\n'),
    ];
    const parts = Array.from({ length: images }, (_, index) => part(index)).flat();
    return { payload: Buffer.concat([...parts, Buffer.from('--x--\r\n')]), type: 'multipart/form-data; boundary=x' };
  };
  const many = (key: string, images: number, query = '') => {
    const { payload, type } = form(images);
    const headers = { ...bearer(key), 'content-type': type };
    return limited.http.inject({ method: 'POST', url: `/v1/classify${query}`, headers, payload });
  };

  it('of requests: what is left is told, and what is too much is refused before it is read', async () => {
    const first = await classify(bearer(limits.rate), '', limited);
    expect(first.headers).toMatchObject({
      'ratelimit-policy': '"requests";q=1;w=10000',
      ratelimit: '"requests";r=2;t=10000',
    });
    // Also what is wrong counts, and what is only read.
    await classify(bearer(limits.rate), '?nonsense=1', limited);
    await limited.http.inject({ url: '/v1/models', headers: bearer(limits.rate) });
    const refused = await classify(bearer(limits.rate), '?nonsense=1', limited);
    expect(refused.statusCode).toBe(429);
    expect(refused.json()).toMatchObject({
      code: 'RATE_LIMITED',
      limit: { name: 'requests_per_second', value: 0.0001 },
    });
    expect(refused.headers).toMatchObject({
      'retry-after': '10000',
      ratelimit: expect.stringContaining(';r=0;t=') as string,
    });
    const protocol = await limited.http.inject({ url: '/v2/models/tiny-resnet', headers: bearer(limits.rate) });
    expect([protocol.statusCode, protocol.headers['retry-after']]).toEqual([429, '10000']);
    expect(protocol.json()).toEqual({ error: 'The key may send 0.0001 requests a second.' });
  });

  it('of one key are not those of another, and a key without some hears of none', async () => {
    const { statusCode, headers } = await classify(bearer(limits.free), '', limited);
    expect(statusCode).toBe(200);
    expect(headers).not.toHaveProperty('ratelimit');
  });

  it('of images: a body with too many is refused, and places come back', async () => {
    const refused = await many(limits.images, 3);
    expect(refused.json()).toMatchObject({ status: 429, limit: { name: 'images_at_once', value: 2, needed: 3 } });
    expect(refused.headers).toMatchObject({
      'ratelimit-policy': '"images";q=2;qu="images"',
      ratelimit: '"images";r=2',
      'retry-after': '1',
    });
    for (let i = 0; i < 3; i++) expect((await many(limits.images, 2)).statusCode).toBe(200);
    const bad = { ...bearer(limits.images), 'content-type': 'application/json' };
    for (let i = 0; i < 3; i++) {
      const answer = await limited.http.inject({ method: 'POST', url: '/v1/classify', headers: bad, payload: '{"x"' });
      expect(answer.statusCode).toBe(400);
    }
    expect((await many(limits.images, 2)).statusCode).toBe(200);
  });

  it('of images: a client that sends its body slowly has its places, and they come back when it leaves', async () => {
    const { port } = limited.http.server.address() as { port: number };
    const slow = await Promise.all([0, 1].map(() => rawClient(`http://127.0.0.1:${port}`)));
    for (const client of slow) {
      const headers = { 'Content-Length': photo.length, Authorization: `Bearer ${limits.images}` };
      await client.send(head('POST /v1/classify', headers), photo.subarray(0, 1000));
    }
    const left = async () =>
      (await limited.http.inject({ url: '/v1/models', headers: bearer(limits.images) })).headers['ratelimit'];
    await expect.poll(left).toBe('"images";r=0');
    expect((await classify(bearer(limits.images), '', limited)).json()).toMatchObject({ code: 'RATE_LIMITED' });
    for (const { socket } of slow) socket.destroy();
    await expect.poll(left).toBe('"images";r=2');
  });

  it('of cost: charged by the plan, for all images of a request at once or for none', async () => {
    const runs = vi.spyOn(limited.service.pool, 'run');
    const tooMuch = await many(limits.cost, 5);
    expect(tooMuch.statusCode).toBe(429);
    expect(tooMuch.json<{ limit: { needed: number } }>().limit).toMatchObject({ name: 'cost_per_minute' });
    expect(tooMuch.json<{ limit: { needed: number } }>().limit.needed).toBeCloseTo(5 * cost, 3);
    expect(runs).not.toHaveBeenCalled();
    expect((await many(limits.cost, 2)).statusCode).toBe(200);
    expect((await classify(bearer(limits.cost), '?scale=1,1&flip=true', limited)).statusCode).toBe(429);
    expect((await classify(bearer(limits.cost), '?flip=true', limited)).statusCode).toBe(200);
    const last = await classify(bearer(limits.cost), '', limited);
    expect(last.statusCode).toBe(429);
    expect(Number(last.headers['retry-after'])).toBeGreaterThan(1);
    runs.mockRestore();
  });

  it('of cost: an image that fails costs nothing, and keeps no other from running', async () => {
    const { payload } = form(1);
    const both = Buffer.concat([
      Buffer.from('--x\r\nContent-Disposition: form-data; name="image"; filename="bad"\r\n\r\nnone\r\n'),
      payload,
    ]);
    const headers = { ...bearer(limits.free), 'content-type': 'multipart/form-data; boundary=x' };
    const answer = await limited.http.inject({ method: 'POST', url: '/v1/classify', headers, payload: both });
    expect(answer.json<{ results: object[] }>().results).toMatchObject([
      { problem: { status: 415 } },
      { predictions: {} },
    ]);
  });

  it('of cost: the Open Inference Protocol is charged too', async () => {
    const answer = await limited.http.inject({
      method: 'POST',
      url: '/v2/models/tiny-resnet/infer',
      headers: { ...bearer(limits.little), 'inference-header-content-length': '0' },
      payload: photo,
    });
    expect(answer.statusCode).toBe(429);
    expect(answer.json<{ error: string }>().error).toContain('GMAC');
  });

  it('hold in front of the routes too, where a full server refuses on sight', async () => {
    const leave = limited.service.inference.admission.admit(8);
    const { port } = limited.http.server.address() as { port: number };
    const send = async (key: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/v1/classify?topK=3`, { method: 'POST', headers: bearer(key), body: 'x' });
    const looks = vi.spyOn(limited.service.inference.admission, 'checkWait');
    try {
      expect((await send(limits.free)).status).toBe(503);
      expect(looks).toHaveBeenCalledTimes(1);
      const onSight = await send(limits.free);
      expect([onSight.status, onSight.headers.get('ratelimit')]).toEqual([503, null]);
      expect(looks).toHaveBeenCalledTimes(1);
      expect((await send(NONE)).status).toBe(401);
      expect((await fetch(`http://127.0.0.1:${port}/v1/classify?topK=3`, { method: 'POST', body: 'x' })).status).toBe(
        401,
      );
      expect((await send(limits.rate)).status).toBe(429);
      const counted = await send(limits.images);
      expect([counted.status, counted.headers.get('ratelimit')]).toEqual([503, '"images";r=2']);
    } finally {
      looks.mockRestore();
      leave();
    }
  });
});

describe('the file', () => {
  beforeEach(() => void (lines.length = 0));
  const audit = () => lines.filter((line) => line['audit'] === true);

  it('is read again when it has changed: keys come and go, on open connections too', async () => {
    const client = await rawClient(url);
    const [name, key] = Object.entries(await addKeys(path, { late: { scopes: ['models'] } }))[0]!;
    const request = head('GET /v1/models/none', { Authorization: `Bearer ${key}` });
    await expect.poll(async () => (await ask('GET', '/v1/models', bearer(key))).statusCode).toBe(200);
    await client.send(request);
    await client.receive(/HTTP\/1\.1 404/);
    await removeKey(path, name);
    await expect.poll(async () => (await ask('GET', '/v1/models', bearer(key))).statusCode).toBe(401);
    await client.send(request);
    await client.receive(/HTTP\/1\.1 401/);
    client.socket.destroy();
    expect(audit()).toMatchObject([
      { action: 'keys', by: 'file', result: 'done', added: ['late'] },
      { action: 'keys', removed: ['late'] },
    ]);
  });

  it('that is broken leaves the keys as they were, says so, and is taken when it is whole again', async () => {
    const whole = await readFile(path);
    const valid = async (): Promise<string> => (await ask('GET', '/metrics', bearer(keys.metrics))).body;
    await writeFile(path, whole.subarray(0, 500));
    await expect.poll(valid).toMatch(/^fullconv_keys_file_valid 0$/m);
    expect((await classify(bearer(keys.infer))).statusCode).toBe(200);
    const told = lines.find(({ level }) => level === 50)!;
    expect(told).toMatchObject({ msg: 'the keys file is no good: the keys stay as they were' });
    expect(told['reason']).toMatch(/keys\.json is not JSON/);
    expect(JSON.stringify(lines)).not.toContain(
      (JSON.parse(whole.toString()) as { keys: { hash: { digest: string } }[] }).keys[0]!.hash.digest.slice(0, 10),
    );
    await writeFile(path, whole);
    await expect.poll(valid).toMatch(/^fullconv_keys_file_valid 1$/m);
  });

  it('that is broken at the start ends the start with a sentence', async () => {
    const broken = await newKeysFile();
    await writeFile(broken, '{"keys": [{}]}');
    const { code, stdout, stderr } = await runFullconv({ FULLCONV_KEYS: broken, PORT: '0' }, 'serve');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^fullconv: FULLCONV_KEYS: .*keys\.json has a fault at keys\[0\]\.id: .*\n$/);
  });
});

describe('the client', () => {
  it('sends the key, as it is at each call', async () => {
    expect(await createClient(url, { apiKey: keys.models }).models()).toHaveLength(2);
    await expect(createClient(url).models()).rejects.toMatchObject({ problem: { code: 'UNAUTHENTICATED' } });
    const mine: { key?: string } = {};
    const client = createClient(url, { apiKey: () => mine.key });
    await expect(client.models()).rejects.toMatchObject({ problem: { code: 'UNAUTHENTICATED' } });
    mine.key = keys.all;
    const { results } = await client.classify(new Uint8Array(photo), { topK: 1 });
    expect(results[0]!.predictions).toHaveLength(1);
  });

  it('of the command line has it from a variable', async () => {
    const file = fileURLToPath(new URL('../fixtures/photos/chelsea.png', import.meta.url));
    const run = (key: string) => runFullconv({ FULLCONV_API_KEY: key }, 'classify', file, '--server', url, '--json');
    expect(await run(keys.infer)).toMatchObject({ code: 0, stderr: '' });
    const refused = await run('');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('A key is needed');
  });
});

describe('fullconv key', () => {
  it('adds, lists and revokes, and prints nothing but the key', async () => {
    const file = await newKeysFile();
    const run = (...args: string[]) => runFullconv({ FULLCONV_KEYS: file }, 'key', ...args);
    const made = await run('camera', '--scopes', 'infer', '--cost-per-minute', '600', '--expires', '2099-01-31');
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/^fc_[0-9a-f]{12}_[\w-]{43}\n$/);
    const { stdout } = await run('--list', '--json');
    expect(JSON.parse(stdout)).toMatchObject([
      { name: 'camera', scopes: 'infer', 'GMAC/min': 600, expires: '2099-01-31T00:00:00.000Z' },
    ]);
    expect((await run('camera')).stderr).toContain('has a key "camera" already');
    expect(await run('camera', '--revoke')).toMatchObject({ code: 0, stdout: '' });
    expect((await run('--list', '--json')).stdout).toBe('[]\n');
  });

  it.each([
    [['camera', '--scopes', 'all'], 'It must be a list of infer, models, admin, metrics'],
    [['camera', '--expires', 'tomorrow'], 'It must be a date'],
    [['camera', '--images-at-once', '0.5'], 'It must be a whole number'],
    [[], 'a name is needed'],
    [['camera', '--keys', ''], 'must name the file of keys'],
    [['none', '--revoke'], 'does not exist'],
  ])('refuses %j', async (args, reason) => {
    const { code, stdout, stderr } = await runFullconv({ FULLCONV_KEYS: await newKeysFile() }, 'key', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(reason);
  });
});
