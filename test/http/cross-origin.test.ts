/** Pages of other origins: what browsers are told, and a real page that asks through the client where there is a browser. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { hasBrowser, launchBrowser } from '../support/browser.js';

const FRIEND = 'https://friend.example';
const STRANGER = 'https://stranger.example';

let cat: Buffer;
let closed: TestApp;
let open: TestApp;
let anyone: TestApp;
beforeAll(async () => {
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  closed = await startTestApp();
  const settings = { FULLCONV_MAX_QUEUE: '4', FULLCONV_MAX_BYTES: '1000000', FULLCONV_ADMIN_TOKEN: 'secret' };
  open = await startTestApp({ FULLCONV_CORS_ORIGINS: `${FRIEND},http://localhost:5173`, ...settings }, closed.models);
  anyone = await startTestApp({ FULLCONV_CORS_ORIGINS: '*' }, closed.models);
});
afterAll(async () => {
  await open.close();
  await anyone.close();
  await closed.close();
});

type Headers = Readonly<Record<string, unknown>>;

const corsOf = (headers: Headers): string[] =>
  Object.keys(headers).filter((name) => name.startsWith('access-control-'));
const classify = (app: TestApp, origin?: string, path = '/v1/classify') =>
  app.http.inject({ method: 'POST', url: path, headers: origin === undefined ? {} : { origin }, payload: cat });
const preflight = (app: TestApp, origin: string, headers: string, url = '/v1/classify') =>
  app.http.inject({
    method: 'OPTIONS',
    url,
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': headers },
  });

describe('without the setting', () => {
  it('no page of another origin is let in', async () => {
    const answer = await classify(closed, FRIEND);
    expect(answer.statusCode).toBe(403);
    expect(corsOf(answer.headers)).toEqual([]);
    const asked = await preflight(closed, FRIEND, 'content-type');
    expect(asked.statusCode).toBe(405);
    expect(corsOf(asked.headers)).toEqual([]);
  });
});

describe('with a list of origins', () => {
  it.each([FRIEND, 'http://localhost:5173'])('%s may read answers, and the headers that say more', async (origin) => {
    const { statusCode, headers } = await classify(open, origin);
    expect(statusCode).toBe(200);
    expect(headers['access-control-allow-origin']).toBe(origin);
    expect(headers.vary).toBe('Origin');
    const exposed = String(headers['access-control-expose-headers']).toLowerCase().split(', ');
    expect(exposed).toEqual(expect.arrayContaining(['x-request-id', 'retry-after', 'etag']));
  });

  it('exposes every header of the answers that a page cannot read otherwise', async () => {
    // https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name; the rest is of the connection, or of browsers.
    const known = [
      ...['cache-control', 'content-language', 'content-length', 'content-type', 'expires', 'last-modified', 'pragma'],
      ...['connection', 'date', 'keep-alive', 'vary', 'transfer-encoding', 'x-content-type-options'],
    ];
    const requests = [
      await classify(open, FRIEND, '/v1/heatmap'),
      await classify(open, FRIEND, '/v1/segment'),
      await classify(open, FRIEND, '/v1/classify?scale=1,2,3,4,5,6,7'),
      await open.http.inject({ url: '/v1/models', headers: { origin: FRIEND } }),
      await open.http.inject({ method: 'PUT', url: '/v1/models', headers: { origin: FRIEND } }),
      await open.http.inject({ method: 'POST', url: '/v1/models/tiny-vgg/unload', headers: { origin: FRIEND } }),
    ];
    expect(requests.map(({ statusCode }) => statusCode)).toEqual([200, 200, 400, 200, 405, 401]);
    for (const { headers } of requests) {
      const exposed = String(headers['access-control-expose-headers']).toLowerCase().split(', ');
      const hidden = Object.keys(headers).filter(
        (name) => !name.startsWith('access-control-') && !known.includes(name),
      );
      expect(exposed).toEqual(expect.arrayContaining(hidden));
    }
  });

  it('names both headers that an answer with a map varies by', async () => {
    const { headers } = await classify(open, FRIEND, '/v1/heatmap');
    expect(headers.vary).toBe('Origin, Accept');
    expect(headers['access-control-expose-headers']).toContain('Fullconv-Map');
  });

  it.each(['content-type', 'content-type, authorization, x-request-id'])('preflights with %s pass', async (asked) => {
    const { statusCode, headers, body } = await preflight(open, FRIEND, asked);
    expect({ statusCode, body }).toEqual({ statusCode: 204, body: '' });
    expect(headers).toMatchObject({
      'access-control-allow-origin': FRIEND,
      'access-control-allow-methods': 'GET, HEAD, POST',
      'access-control-allow-headers': asked,
      'access-control-max-age': '7200',
    });
  });

  it('takes JSON and multipart from an allowed page', async () => {
    const json = await open.http.inject({
      method: 'POST',
      url: '/v1/classify',
      headers: { origin: FRIEND, 'content-type': 'application/json' },
      payload: JSON.stringify({ images: [{ base64: cat.toString('base64') }] }),
    });
    const form = new FormData();
    form.set('image', new Blob([new Uint8Array(cat)]), 'cat.png');
    const multipart = new Response(form);
    const parts = await open.http.inject({
      method: 'POST',
      url: '/v1/classify',
      headers: { origin: FRIEND, 'content-type': multipart.headers.get('content-type')! },
      payload: Buffer.from(await multipart.arrayBuffer()),
    });
    for (const { statusCode, headers } of [json, parts]) {
      expect(statusCode).toBe(200);
      expect(headers['access-control-allow-origin']).toBe(FRIEND);
    }
  });

  it.each([
    ['a wrong parameter', 400, () => classify(open, FRIEND, '/v1/classify?topK=0')],
    ['a route that is not there', 404, () => classify(open, FRIEND, '/v1/nothing')],
    [
      'a method that is not there',
      405,
      () => open.http.inject({ method: 'PUT', url: '/v1/classify', headers: { origin: FRIEND } }),
    ],
    [
      'a body that is too large',
      413,
      () =>
        open.http.inject({
          method: 'POST',
          url: '/v1/classify',
          headers: { origin: FRIEND },
          payload: Buffer.alloc(1_000_001),
        }),
    ],
    [
      'no image',
      415,
      () => open.http.inject({ method: 'POST', url: '/v1/classify', headers: { origin: FRIEND }, payload: 'text' }),
    ],
  ])('a page reads why it was refused: %s', async (_, status, ask) => {
    const { statusCode, headers } = await ask();
    expect(statusCode).toBe(status);
    expect(headers['content-type']).toContain('application/problem+json');
    expect(headers['access-control-allow-origin']).toBe(FRIEND);
  });

  it('a page reads when to come again, from a server that is full', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => classify(open, FRIEND, '/v1/classify?scale=3')));
    const refused = answers.filter(({ statusCode }) => statusCode === 503);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers } of refused) {
      expect(headers['access-control-allow-origin']).toBe(FRIEND);
      expect(headers['access-control-expose-headers']).toContain('Retry-After');
      expect(headers['retry-after']).toBeDefined();
    }
  });

  it.each([STRANGER, 'null', `${FRIEND}:8443`, 'http://friend.example'])('%s gets none of it', async (origin) => {
    const answer = await classify(open, origin);
    expect(answer.statusCode).toBe(403);
    expect(corsOf(answer.headers)).toEqual([]);
    expect(answer.headers.vary).toBe('Origin');
    const asked = await preflight(open, origin, 'content-type');
    expect(asked.statusCode).toBe(405);
    expect(corsOf(asked.headers)).toEqual([]);
    const { body: unknown, statusCode } = await preflight(open, origin, 'content-type', '/v1/nothing');
    expect({ statusCode, ...(JSON.parse(unknown) as object) }).toMatchObject({ statusCode: 404, code: 'NOT_FOUND' });
  });

  it('programs, which have no origin, are answered as ever', async () => {
    const answer = await classify(open);
    expect(answer.statusCode).toBe(200);
    expect(corsOf(answer.headers)).toEqual([]);
    const { statusCode, headers } = await open.http.inject({ method: 'OPTIONS', url: '/v1/classify' });
    expect({ statusCode, allow: headers.allow }).toEqual({ statusCode: 405, allow: 'POST' });
  });
});

describe('with *', () => {
  it('every page may ask, and none with credentials', async () => {
    const { headers } = await classify(anyone, STRANGER);
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
    expect((await preflight(anyone, STRANGER, 'content-type')).statusCode).toBe(204);
  });
});

describe('a server that shuts down', () => {
  it('says so to pages of other origins', async () => {
    const app = await startTestApp({ FULLCONV_CORS_ORIGINS: FRIEND }, closed.models);
    const url = await app.http.listen({ port: 0, host: '127.0.0.1' });
    // A request that has not come in whole holds the server open.
    const slow = connect(Number(new URL(url).port), '127.0.0.1');
    slow.write('POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nabc');
    const ask = (): Promise<Response> => fetch(`${url}/livez`, { headers: { origin: FRIEND } });
    await ask();
    const closing = app.close();
    let late = await ask();
    while (late.status === 200) late = await ask();
    expect(late.status).toBe(503);
    expect(late.headers.get('access-control-allow-origin')).toBe(FRIEND);
    slow.destroy();
    await closing;
  });
});

describe.skipIf(!hasBrowser)('the client in a page of another origin', () => {
  it('is answered where the origin is allowed, and is told nothing elsewhere', async () => {
    const client = fileURLToPath(new URL('../../src/client/index.ts', import.meta.url));
    const { outputFiles } = await build({
      stdin: { contents: `export * from ${JSON.stringify(client)}`, resolveDir: '.' },
      bundle: true,
      format: 'iife',
      globalName: 'fullconv',
      write: false,
    });
    const pages = createServer((_, response) => {
      response.setHeader('content-type', 'text/html').end(`<script>${outputFiles[0]!.text}</script>`);
    }).listen(0, '127.0.0.1');
    await once(pages, 'listening');
    const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
    const app = await startTestApp({ FULLCONV_CORS_ORIGINS: origin, FULLCONV_MAX_BYTES: '1000000' }, closed.models);
    const [friendly, other] = [
      await app.http.listen({ port: 0, host: '127.0.0.1' }),
      await closed.http.listen({ port: 0, host: '127.0.0.1' }),
    ];
    const browser = await launchBrowser();
    try {
      const page = await (await browser.newContext()).newPage();
      await page.goto(origin);
      const ask = (url: string): Promise<unknown> =>
        page.evaluate(`(async () => {
          const client = fullconv.createClient(${JSON.stringify(url)});
          const photo = Uint8Array.from(atob(${JSON.stringify(cat.toString('base64'))}), (c) => c.charCodeAt(0));
          const image = new Blob([photo]);
          try {
            const one = await client.classify(photo, { topK: 2 });
            const many = await client.classify([{ name: 'a', image }, { name: 'b', image }]);
            const map = await client.heatmapFile(photo, 'image/png');
            const refused = await client.classify(photo, { topK: 0 }).catch(({ problem }) => problem.code);
            return [one.results[0].predictions.length, many.results.length, map.type, refused];
          } catch (error) {
            return error.name;
          }
        })()`);
      expect(await ask(friendly)).toEqual([2, 2, 'image/png', 'INVALID_REQUEST']);
      expect(await ask(other)).toBe('UnreachableError');
    } finally {
      await browser.close();
      await app.close();
      pages.close();
    }
  });
});
