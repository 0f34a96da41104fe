import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';

const TOKEN = 'a-token';

let app: TestApp;
beforeAll(async () => (app = await startTestApp({ FULLCONV_ADMIN_TOKEN: TOKEN })));
afterAll(() => app.close());

const get = (url: string, etag?: string, method: 'GET' | 'HEAD' = 'GET') =>
  app.http.inject({ method, url, headers: etag === undefined ? {} : { 'if-none-match': etag } });

describe.each(['/', '/docs', '/openapi.json', '/v1/models', '/v1/models/tiny-vgg'])('GET %s', (url) => {
  it('has a strong ETag, and is not sent again while it is the same', async () => {
    const { statusCode, headers, body } = await get(url);
    const etag = headers.etag!;
    expect(statusCode).toBe(200);
    expect(body.length).toBeGreaterThan(100);
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    expect(headers['cache-control']).toBe('no-cache');
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await get(url, known);
      expect([again.statusCode, again.body, again.headers.etag], known).toEqual([304, '', etag]);
      expect(again.headers['content-type'], known).toBeUndefined();
      // Where there is one, it is that of the answer in full (RFC 9110, section 8.6).
      expect(again.headers['content-length'], known).toBeUndefined();
    }
    for (const other of ['"other"', etag.slice(1, -1), '']) {
      expect((await get(url, other)).body, other).toBe(body);
    }
  });

  it('answers HEAD alike', async () => {
    const { headers, rawPayload } = await get(url);
    const { etag } = headers;
    const length = String(rawPayload.length);
    const head = await get(url, undefined, 'HEAD');
    expect([head.statusCode, head.body, head.headers.etag]).toEqual([200, '', etag]);
    expect(String(head.headers['content-length'])).toBe(length);
    const again = await get(url, etag, 'HEAD');
    expect([again.statusCode, again.body, String(again.headers['content-length'])]).toEqual([304, '', length]);
    expect(again.headers['content-type']).toBeUndefined();
  });
});

it.each([
  ['GET', '/v1/models/'],
  ['POST', '/v1/models//load'],
  ['POST', '/v1/models//unload'],
  ['GET', '/v2/models/'],
  ['GET', '/v2/models//ready'],
  ['POST', '/v2/models//infer'],
  ['POST', '/v2/repository/models//load'],
  ['POST', '/v2/repository/models//unload'],
] as const)('%s %s asks for a model without a name, and there is none', async (method, url) => {
  const headers = { authorization: `Bearer ${TOKEN}` };
  expect((await app.http.inject({ method, url, headers })).statusCode).toBe(404);
});

describe('ETags', () => {
  it('of the page’s files go with leave to keep them', async () => {
    const file = /playground\/[\w-]+\.js/.exec((await get('/')).body)![0];
    const { headers } = await get(`/${file}`);
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
    expect((await get(`/${file}`, headers.etag)).statusCode).toBe(304);
  });

  it('of models change with a model', async () => {
    const [list, model] = await Promise.all(['/v1/models', '/v1/models/tiny-vgg'].map((url) => get(url)));
    const headers = { authorization: `Bearer ${TOKEN}` };
    await app.http.inject({ method: 'POST', url: '/v1/models/tiny-vgg/unload', headers });
    expect((await get('/v1/models', list!.headers.etag)).statusCode).toBe(200);
    expect((await get('/v1/models/tiny-vgg', model!.headers.etag)).statusCode).toBe(200);
  });

  it('are not given to errors, nor to what changes all the time', async () => {
    for (const url of ['/v1/models/none', '/playground/none.js', '/readyz', '/metrics']) {
      const { headers, statusCode } = await get(url, '*');
      expect([headers.etag, statusCode === 304], url).toEqual([undefined, false]);
    }
  });
});
