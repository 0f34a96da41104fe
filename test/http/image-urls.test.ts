/** GET with the URL of an image: from the settings over the signature to what a browser keeps. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import pino from 'pino';
import { PassThrough } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { secondsNow, signedQuery } from '../../src/signed-address.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { addKeys, newKeysFile } from '../support/keys.js';
import { startOrigin, type Origin } from '../support/origin.js';
import { head, rawClient } from '../support/raw-client.js';

const [NEW, OLD]: readonly [string, string] = ['new-key-0123456789', 'old-key-0123456789'];
const MAX_BYTES = 400_000;

let origin: Origin;
let cat: Buffer;
beforeAll(async () => {
  origin = await startOrigin();
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  origin.on('/cat.png', (response) => response.end(cat));
  origin.on('/page', (response) => response.writeHead(200, { 'content-type': 'image/png' }).end('<html></html>'));
  origin.on('/large', (response) => response.end(Buffer.alloc(MAX_BYTES + 1)));
  origin.on('/inside', (response) =>
    response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end(),
  );
});
afterAll(() => origin.close());

const settings = (more: Record<string, string> = {}) => ({
  FULLCONV_URL_HOSTS: 'images.example.com',
  FULLCONV_URL_PRIVATE_HOSTS: origin.host,
  FULLCONV_MAX_BYTES: String(MAX_BYTES),
  ...more,
});
const queryOf = (path: string, more = ''): string => `url=${encodeURIComponent(`http://${origin.host}${path}`)}${more}`;

interface Refusal {
  code: string;
  status: number;
  detail: string;
  errors?: { parameter: string; detail: string }[];
}

describe('a server that may fetch', () => {
  let app: TestApp;
  let url: string;
  const lines: string[] = [];
  beforeAll(async () => {
    const log = new PassThrough().on('data', (line: Buffer) => lines.push(line.toString()));
    app = await startTestApp(settings({ FULLCONV_RESPONSE_CACHE_MB: '8' }), undefined, { logger: pino(log) });
    url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  });
  afterAll(() => app.close());
  afterEach(async () => {
    const metrics = async (): Promise<string> => (await app.http.inject('/metrics')).body;
    await expect.poll(metrics).toMatch(/^fullconv_bodies_bytes 0$/m);
    await expect.poll(metrics).toMatch(/^fullconv_fetches 0$/m);
    expect(await metrics()).toMatch(/^fullconv_images_in_flight 0$/m);
  });

  const get = (path: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') =>
    app.http.inject({ method, url: path, headers });
  const refusalOf = async (path: string, headers: Record<string, string> = {}): Promise<Refusal> => {
    const response = await get(path, headers);
    expect(response.headers['cache-control'], path).toBe('no-store');
    expect(response.headers.etag).toBeUndefined();
    return response.json<Refusal>();
  };

  it('answers as it does to a post of the same image, and knows that it is the same', async () => {
    for (const [path, accept] of [
      ['classify', 'application/json'],
      ['heatmap', 'application/json'],
      ['heatmap', 'image/png'],
      ['segment', 'application/x-npy'],
    ] as const) {
      const posted = await app.http.inject({ method: 'POST', url: `/v1/${path}`, payload: cat, headers: { accept } });
      const got = await get(`/v1/${path}?${queryOf('/cat.png')}`, { accept });
      expect([got.statusCode, got.headers['content-type']]).toEqual([200, posted.headers['content-type']]);
      expect([got.headers['fullconv-model'], got.headers['fullconv-map']]).toEqual([
        posted.headers['fullconv-model'],
        posted.headers['fullconv-map'],
      ]);
      expect(got.headers['cache-status']).toBe('fullconv; hit');
      expect(got.headers['cache-control']).toBe('private, no-cache');
      expect(got.headers['cross-origin-resource-policy']).toBe('same-origin');
      if (accept !== 'application/json') expect(got.rawPayload).toEqual(posted.rawPayload);
    }
  });

  it('has strong ETags for pictures and arrays, and weak ones for JSON, which says how long it took', async () => {
    const etagOf = async (path: string, accept: string) =>
      String(
        (await get(`/v1/${path}${path.includes('?') ? '&' : '?'}${queryOf('/cat.png')}`, { accept })).headers.etag,
      );
    const tags = [
      await etagOf('heatmap', 'image/png'),
      await etagOf('heatmap', 'application/x-npy'),
      await etagOf('heatmap?class=1', 'image/png'),
      await etagOf('segment', 'image/png'),
    ];
    for (const tag of tags) expect(tag).toMatch(/^"[\w-]{22}"$/);
    expect(new Set(tags).size).toBe(4);
    expect(await etagOf('heatmap?class=top', 'image/png')).toBe(tags[0]);
    expect(await etagOf('classify', 'application/json')).toMatch(/^W\/"[\w-]{22}"$/);
  });

  it('runs nothing for a client that has the answer, and answers HEAD without a body', async () => {
    // Never asked before, so that it would have to run.
    const path = `/v1/heatmap?${queryOf('/cat.png', '&size=80&class=2')}`;
    const headOf = await get(path, { accept: 'image/png' }, 'HEAD');
    expect([headOf.statusCode, headOf.body]).toEqual([200, '']);
    const { etag } = headOf.headers;
    const runs = async () => (await app.http.inject('/v2/models/tiny-resnet/stats')).json<object>();
    const other = `/v1/heatmap?${queryOf('/cat.png', '&size=80&class=3')}`;
    const before = JSON.stringify(await runs());
    for (const known of [etag!, `"other", W/${etag!}`]) {
      const again = await get(path, { accept: 'image/png', 'if-none-match': known });
      expect([again.statusCode, again.body, again.headers.etag]).toEqual([304, '', etag]);
      expect([again.headers.vary, again.headers['cache-control']]).toEqual(['Accept', 'private, no-cache']);
      expect(again.headers['content-type']).toBeUndefined();
      const headAgain = await get(path, { accept: 'image/png', 'if-none-match': known }, 'HEAD');
      expect([headAgain.statusCode, headAgain.body, headAgain.headers.etag]).toEqual([304, '', etag]);
      for (const { headers } of [again, headAgain]) {
        expect([headers['content-length'], headers['content-type']]).toEqual([undefined, undefined]);
      }
    }
    expect(JSON.stringify(await runs())).toBe(before);
    expect((await get(other, { accept: 'image/png', 'if-none-match': etag! })).statusCode).toBe(200);
    // Whether there is an answer at all is known when it is there.
    expect((await get(path, { accept: 'image/png', 'if-none-match': '*' })).statusCode).toBe(304);
    expect((await get(`/v1/heatmap?${queryOf('/page')}`, { 'if-none-match': '*' })).statusCode).toBe(415);
  });

  it('draws PNG for an <img>, whatever a browser names first, and what alone is asked for', async () => {
    const typeOf = async (accept: string) =>
      (await get(`/v1/heatmap?${queryOf('/cat.png')}&width=64`, { accept })).headers['content-type'];
    for (const accept of [
      'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
      'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5',
      '*/*',
    ]) {
      expect(await typeOf(accept), accept).toBe('image/png');
    }
    expect(await typeOf('image/webp')).toBe('image/webp');
    expect(await typeOf('image/webp,image/png;q=0.5')).toBe('image/webp');
    expect(await typeOf('application/json, */*')).toMatch(/^application\/json/);
  });

  it.each([
    ['', 'url', /must be the address of an image/],
    ['url=', 'url', /must be the address of an image/],
    ['url=cat.png', 'url', /whole address/],
    ['url=https%3A%2F%2Fevil.example%2Fcat.jpg', 'url', /of a host that this server/],
    ['url=http%3A%2F%2F127.0.0.1%2Fcat.jpg', 'url', /of a host that this server/],
    ['url=http%3A%2F%2F%5B%3A%3Affff%3A127.0.0.1%5D%2F', 'url', /of a host that this server/],
    ['url=http%3A%2F%2F169.254.169.254%2F', 'url', /of a host that this server/],
    ['url=file%3A%2F%2F%2Fetc%2Fpasswd', 'url', /must begin with https/],
    ['url=https%3A%2F%2Fuser%3Apw%40images.example.com%2F', 'url', /no user/],
    ['url=https%3A%2F%2Fimages.example.com%2Fa&url=b', 'url', /may be given once/],
  ])('refuses ?%s before anything is fetched', async (query, parameter, why) => {
    const before = origin.requests.length;
    const refusal = await refusalOf(`/v1/heatmap?${query}`);
    expect(refusal).toMatchObject({ code: 'INVALID_REQUEST', status: 400, errors: [{ parameter }] });
    expect(refusal.errors![0]!.detail).toMatch(why);
    expect(origin.requests.length).toBe(before);
  });

  it.each([
    ['/v1/heatmap', '&colour=1', {}, 'INVALID_REQUEST'],
    ['/v1/heatmap', '&threshold=3', {}, 'INVALID_REQUEST'],
    ['/v1/heatmap', '&model=none', {}, 'MODEL_NOT_FOUND'],
    ['/v1/heatmap', '', { accept: 'text/html' }, 'NOT_ACCEPTABLE'],
    ['/v1/heatmap', `&scale=${Array(17).fill(1).join()}`, {}, 'INVALID_REQUEST'],
  ])('refuses %s with %s and %j before anything is fetched', async (path, more, headers, code) => {
    const before = origin.requests.length;
    expect(await refusalOf(`${path}?${queryOf('/cat.png', more)}`, headers as Record<string, string>)).toMatchObject({
      code,
    });
    expect(origin.requests.length).toBe(before);
  });

  it.each([
    ['/nothing', 'IMAGE_NOT_FETCHED', 422, /answers 404/],
    ['/inside', 'IMAGE_NOT_FETCHED', 422, /redirects to where nothing is fetched/],
    ['/large', 'BODY_TOO_LARGE', 413, /more than 400000 bytes/],
    ['/page', 'UNSUPPORTED_MEDIA_TYPE', 415, /./],
  ])('refuses %s for what the origin did', async (path, code, status, why) => {
    const refusal = await refusalOf(`/v1/classify?${queryOf(path)}`);
    expect(refusal).toMatchObject({ code, status });
    expect(refusal.detail).toMatch(why);
    expect(JSON.stringify(refusal)).not.toMatch(/127\.0\.0\.1|169\.254|secret/);
  });

  it('gives up an origin that is silent at the deadline, and one whose client has left', async () => {
    let asked = 0;
    let left = 0;
    origin.on('/silent', (response) => {
      asked += 1;
      response.on('close', () => (left += 1));
    });
    expect(await refusalOf(`/v1/classify?${queryOf('/silent')}&deadlineMs=100`)).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    await expect.poll(() => [asked, left]).toEqual([1, 1]);
    const client = await rawClient(url);
    await client.send(head(`GET /v1/classify?${queryOf('/silent')}`));
    await expect.poll(() => asked).toBe(2);
    client.socket.destroy();
    await expect.poll(() => left).toBe(2);
  });

  it('refuses pages of other origins, as it refuses their posts, and not people', async () => {
    const path = `/v1/classify?${queryOf('/cat.png')}`;
    expect(await refusalOf(path, { 'sec-fetch-site': 'cross-site' })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await refusalOf(path, { origin: 'https://evil.example' })).toMatchObject({ code: 'FORBIDDEN' });
    for (const site of ['none', 'same-origin']) {
      expect((await get(path, { 'sec-fetch-site': site })).statusCode, site).toBe(200);
    }
  });

  it('says which methods an address takes', async () => {
    const answer = await app.http.inject({ method: 'PUT', url: '/v1/heatmap' });
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'POST, GET, HEAD']);
  });

  it('counts what it fetches, and logs why it could not, but no secrets of addresses', async () => {
    origin.on('/reset', (response) => response.socket!.destroy());
    expect(await refusalOf(`/v1/classify?${queryOf('/reset')}`)).toMatchObject({ code: 'IMAGE_NOT_FETCHED' });
    await get(`/v1/classify?${queryOf('/cat.png')}&signature=secret-signature`);
    await get(`/v1/classify?url=${encodeURIComponent(`http://${origin.host}/cat.png?token=abc&x=y`)}`);
    const metrics = (await app.http.inject('/metrics')).body;
    expect(metrics).toMatch(/^fullconv_fetch_duration_seconds_count{result="fetched"} [1-9]/m);
    expect(metrics).toMatch(/^fullconv_fetch_duration_seconds_count{result="failed"} [1-9]/m);
    const log = lines.join('');
    expect(log).toContain('url=REDACTED');
    expect(log).toContain(`"host":"${origin.host}","why":"socket hang up","msg":"an image was not fetched"`);
    expect(log).not.toMatch(/token|secret-signature/);
  });
});

describe('with keys', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp(settings({ FULLCONV_URL_KEYS: `${NEW},${OLD}` }));
  });
  afterAll(() => app.close());

  const soon = (): number => secondsNow() + 600;
  const get = (path: string, headers: Record<string, string> = {}) => app.http.inject({ url: path, headers });
  const signed = (more = '', { key = NEW, path = '/v1/heatmap', expires = soon() } = {}) =>
    `${path}?${signedQuery(path, queryOf('/cat.png', more), key, expires)}`;

  it('a signed address is answered, to pages of anybody, and caches may keep it', async () => {
    const answer = await get(signed('&class=1&render=heat'), {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-dest': 'image',
      referer: 'https://blog.example/',
    });
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'image/png']);
    expect((await sharp(answer.rawPayload).metadata()).width).toBe(451);
    expect(answer.headers['cross-origin-resource-policy']).toBe('cross-origin');
    const [, age] = /^public, max-age=(\d+)$/.exec(String(answer.headers['cache-control']))!;
    expect(Number(age)).toBeGreaterThan(500);
    expect(Number(age)).toBeLessThanOrEqual(600);
    const long = await get(signed('', { expires: secondsNow() + 1e6 }));
    expect(long.headers['cache-control']).toBe('public, max-age=3600');
    const again = await get(signed('&class=1&render=heat'), { 'if-none-match': String(answer.headers.etag) });
    expect([again.statusCode, again.headers['cross-origin-resource-policy']]).toEqual([304, 'cross-origin']);
    expect(again.headers['cache-control']).toMatch(/^public/);
  });

  it('either key signs', async () => {
    expect((await get(signed('', { key: OLD }))).statusCode).toBe(200);
    expect((await get(signed('', { path: '/v1/classify' }))).statusCode).toBe(200);
  });

  it.each<[string, () => string, string, RegExp]>([
    ['no signature', () => `/v1/heatmap?${queryOf('/cat.png')}`, 'signature', /is missing/],
    ['no query', () => '/v1/heatmap', 'signature', /is missing/],
    ['another key', () => signed('', { key: 'some-other-key-012' }), 'signature', /not the one of this address/],
    ['another path', () => signed().replace('/v1/heatmap', '/v1/segment'), 'signature', /not the one/],
    ['another image', () => signed().replace('cat.png', 'dog.png'), 'signature', /not the one/],
    ['a parameter more', () => `${signed()}&flip=1`, 'signature', /not the one/],
    ['wrong parameters and no signature', () => '/v1/heatmap?colour=1', 'signature', /is missing/],
    ['an end that has passed', () => signed('', { expires: secondsNow() - 1 }), 'expires', /has passed/],
  ])('refuses an address with %s before all else', async (_, address, parameter, why) => {
    const before = origin.requests.length;
    const answer = await get(address());
    expect(answer.statusCode).toBe(403);
    expect(answer.headers['cache-control']).toBe('no-store');
    const refusal = answer.json<Refusal>();
    expect(refusal).toMatchObject({ code: 'FORBIDDEN', errors: [{ parameter }] });
    expect(refusal.errors![0]!.detail).toMatch(why);
    expect(origin.requests.length).toBe(before);
  });

  it('a "#" does not hide another question from the check', async () => {
    const url = await app.http.listen({ port: 0, host: '127.0.0.1' });
    const good = signed('', { path: '/v1/classify' }).split('?')[1]!;
    const before = origin.requests.length;
    for (const hidden of [`/v1/classify#${queryOf('/other.png')}?${good}`, `/v1/classify?${good}#`]) {
      const client = await rawClient(url);
      await client.send(head(`GET ${hidden}`, { Connection: 'close' }));
      const answer = await client.ended();
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer).toContain('"code":"INVALID_REQUEST"');
      expect(answer).toContain('%23');
    }
    expect(origin.requests.length).toBe(before);
  });

  it('a signature is none for hosts that are not in the settings', async () => {
    const path = '/v1/heatmap';
    const query = signedQuery(path, 'url=http%3A%2F%2F169.254.169.254%2F', NEW, soon());
    expect((await get(`${path}?${query}`)).json()).toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('posts need none', async () => {
    const posted = await app.http.inject({ method: 'POST', url: '/v1/classify', payload: cat });
    expect(posted.statusCode).toBe(200);
    expect((await app.http.inject('/metrics')).body).toMatch(/^fullconv_refused_total{limit="signature"} [1-9]/m);
  });
});

describe('a server that may fetch little', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp(settings({ FULLCONV_MAX_FETCHES: '1', FULLCONV_MAX_QUEUE: '1' }));
  });
  afterAll(() => app.close());

  it('refuses more at once', async () => {
    const waiting: (() => void)[] = [];
    origin.on('/later.png', (response) => waiting.push(() => response.end(cat)));
    const ask = () => app.http.inject(`/v1/classify?${queryOf('/later.png')}`);
    const first = ask();
    // Injected requests begin when they are waited for.
    const asking = first.then((answer) => answer.statusCode);
    await expect.poll(() => waiting.length).toBe(1);
    expect((await ask()).json()).toMatchObject({ code: 'QUEUE_FULL', limit: { name: 'fetches', value: 1 } });
    waiting[0]!();
    expect(await asking).toBe(200);
    const metrics = (await app.http.inject('/metrics')).body;
    expect(metrics).toMatch(/^fullconv_refused_total{limit="fetches"} 1$/m);
    expect(metrics).toMatch(/^fullconv_refused_total{limit="bodies_bytes"} 0$/m);
  });

  it('and fetches nothing when it is full', async () => {
    const release = app.service.inference.admission.admit(1);
    const before = origin.requests.length;
    const answer = await app.http.inject(`/v1/classify?${queryOf('/cat.png')}`);
    expect(answer.json()).toMatchObject({ code: 'QUEUE_FULL', limit: { name: 'passes' } });
    expect(origin.requests.length).toBe(before);
    release();
  });
});

it('a server that may fetch nothing has no such routes', async () => {
  const app = await startTestApp();
  try {
    const answer = await app.http.inject(`/v1/heatmap?${queryOf('/cat.png')}`);
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'POST']);
    expect(answer.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' });
  } finally {
    await app.close();
  }
});

describe('where keys are asked for', () => {
  const start = async (more: Record<string, string> = {}) => {
    const path = await newKeysFile();
    const keys = await addKeys(path, { infer: { scopes: ['infer'] }, models: { scopes: ['models'] } });
    const app = await startTestApp(settings({ FULLCONV_KEYS: path, ...more }));
    onTestFinished(() => app.close());
    const get = (query: string, key?: string) =>
      app.http.inject({ url: `/v1/classify?${query}`, headers: key === undefined ? {} : { 'x-api-key': key } });
    return { keys, get };
  };

  it('an address needs a key with the scope of a post', async () => {
    const { keys, get } = await start();
    expect((await get(queryOf('/cat.png'))).statusCode).toBe(401);
    expect((await get(queryOf('/cat.png'), keys.models)).statusCode).toBe(403);
    expect((await get(queryOf('/cat.png'), keys.infer)).statusCode).toBe(200);
  });

  it('a signature is in the place of a key, and a key not in that of a signature', async () => {
    const { keys, get } = await start({ FULLCONV_URL_KEYS: NEW });
    const signed = signedQuery('/v1/classify', queryOf('/cat.png'), NEW, secondsNow() + 600);
    expect((await get(signed)).statusCode).toBe(200);
    expect((await get(queryOf('/cat.png'), keys.infer)).statusCode).toBe(403);
  });
});
