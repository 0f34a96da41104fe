import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openapiDocument } from '../../src/http/openapi.js';
import { ROUTES } from '../../src/http/routes/index.js';
import { startTestApp, type TestApp } from '../support/app.js';

interface Operation {
  parameters?: { name: string }[];
}

let app: TestApp;
beforeAll(async () => (app = await startTestApp()));
afterAll(() => app.close());

const get = (url: string, headers = {}) => app.http.inject({ url, headers });

describe('the playground', () => {
  it('is the page at /, with a policy that lets nothing in from elsewhere', async () => {
    const { statusCode, headers, body } = await get('/');
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(body).not.toMatch(/<style|style="|<script(?![^>]* src=")|\son\w+="|https?:\/\//);
  });

  it('is not sent again while it is the same', async () => {
    const { headers } = await get('/');
    expect(headers['cache-control']).toBe('no-cache');
    const again = await get('/', { 'if-none-match': headers.etag });
    expect([again.statusCode, again.body]).toEqual([304, '']);
  });

  it('has files that may be kept for ever, and no others', async () => {
    const { body } = await get('/');
    const files = [...body.matchAll(/(?:src|href)="(playground\/[^"]+)"/g)].map(([, file]) => file!);
    expect(files.map((file) => file.replace(/-\w+(?=\.\w+$)/, ''))).toEqual(
      expect.arrayContaining(['playground/icon.svg', 'playground/page.css', 'playground/main.js']),
    );
    for (const file of files) {
      const { statusCode, headers } = await get(`/${file}`);
      expect(statusCode).toBe(200);
      expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
    for (const file of ['index.html', 'main.js', '..%2Fserver.js', '%2e%2e%2fserver.js']) {
      expect((await get(`/playground/${file}`)).statusCode).toBe(404);
    }
  });

  it('has the API’s description for people, with every operation and parameter, and links that lead somewhere', async () => {
    const { headers, body } = await get('/docs');
    expect(headers['content-security-policy']).toBeDefined();
    const { paths } = openapiDocument(ROUTES) as unknown as { paths: Record<string, Record<string, Operation>> };
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, { parameters = [] }] of Object.entries(methods)) {
        expect(body).toContain(`<code>${method.toUpperCase()} ${path}</code>`);
        for (const { name } of parameters) expect(body).toContain(`<td><code>${name}</code></td>`);
      }
    }
    const targets = new Set([...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
    for (const [, link] of body.matchAll(/ href="#([^"]+)"/g)) expect(targets).toContain(link);
  });

  it('can be turned off', async () => {
    const plain = await startTestApp({ FULLCONV_PLAYGROUND: 'false' }, app.models);
    expect((await plain.http.inject('/')).json()).toMatchObject({ code: 'NOT_FOUND' });
    expect((await plain.http.inject('/docs')).statusCode).toBe(404);
    expect((await plain.http.inject('/v1/models')).statusCode).toBe(200);
    await plain.close();
  });
});
