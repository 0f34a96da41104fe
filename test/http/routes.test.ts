/** What holds for every route of the server, because it follows from the list of them. */
import { METHODS } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.js';
import { ROUTES } from '../../src/http/routes/index.js';
import { startTestApp, type TestApp } from '../support/app.js';

let app: TestApp;
beforeAll(async () => (app = await startTestApp()));
afterAll(() => app.close());

const PAGES = ['/', '/docs', '/playground/:file'];
/** Those of a server with the standard settings. */
const SERVED = ROUTES.filter(({ isServed }) => isServed?.(readConfig({})) ?? true);
const ADDRESSES = [...new Set([...SERVED.map(({ path }) => path), ...PAGES])];

/** An address of the route: names are a model's, versions its own. */
const filled = (path: string): string =>
  path.replace(/:(\w+)(\([^)]*\))?/g, (_, name) => (name === 'version' ? '1' : 'tiny-vgg'));

describe('every address', () => {
  it.each(ADDRESSES)('%s refuses the methods that it does not take, and says which it does', async (path) => {
    const isRead = PAGES.includes(path) || SERVED.some((route) => route.path === path && route.method === 'GET');
    const url = filled(path);
    const taken = isRead ? ['GET', 'HEAD'] : ['POST'];
    for (const method of METHODS.filter((each) => each !== 'CONNECT' && !taken.includes(each)) as 'PUT'[]) {
      const answer = await app.http.inject({ method, url });
      expect({ status: answer.statusCode, allow: answer.headers.allow }).toEqual({
        status: 405,
        allow: isRead ? 'GET, HEAD' : 'POST',
      });
      if (method === ('HEAD' as string)) continue;
      if (path.startsWith('/v2'))
        expect(answer.json()).toEqual({ error: expect.stringContaining(' takes ') as string });
      else expect(answer.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' });
    }
  });
});

it('what is read answers HEAD as well, without a body', async () => {
  for (const { path } of SERVED.filter(({ method }) => method === 'GET')) {
    const url = filled(path);
    const read = await app.http.inject({ method: 'GET', url });
    const { statusCode, body } = await app.http.inject({ method: 'HEAD', url });
    expect([path, statusCode, body]).toEqual([path, path.includes('memory') ? 501 : 200, '']);
    expect(read.statusCode).toBe(statusCode);
  }
});

it.each(['/v1/heatmap', '/v1/segment'])('%s says that its answers vary by Accept, refusals too', async (url) => {
  const refused = await app.http.inject({ method: 'POST', url: `${url}?nothing=1` });
  expect([refused.statusCode, refused.headers.vary]).toEqual([400, 'Accept']);
});
