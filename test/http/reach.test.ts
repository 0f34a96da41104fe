/** Which routes answer where: a listener of administration's own, a base path, and proxies before both forms of one. */
import { once } from 'node:events';
import { createServer, request as ask, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/index.js';
import { readConfig } from '../../src/config.js';
import { checkSettings } from '../../src/app.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { rawClient, head } from '../support/raw-client.js';

const statusOf = async (url: string, method = 'GET', headers: Record<string, string> = {}): Promise<number> =>
  (await fetch(url, { method, headers })).status;

describe('a listener for administration', () => {
  const TOKEN = { authorization: 'Bearer secret' };
  let app: TestApp;
  let main: string;
  let admin: string;
  beforeAll(async () => {
    const settings = {
      FULLCONV_ADMIN_PORT: '0',
      FULLCONV_ADMIN_TOKEN: 'secret',
      FULLCONV_MAX_CONNECTIONS: '20',
      FULLCONV_WORKERS: '1',
    };
    app = await startTestApp(settings);
    await app.listen({ host: '127.0.0.1', port: 0 });
    main = `http://127.0.0.1:${(app.http.server.address() as AddressInfo).port}`;
    admin = `http://127.0.0.1:${app.adminPort()!}`;
  });
  afterAll(() => app.close());

  it.each([
    ['GET', '/metrics', 404, 200],
    ['POST', '/v1/models/tiny-vgg/load', 404, 200],
    ['POST', '/v1/models/tiny-vgg/unload', 404, 200],
    ['POST', '/v2/repository/models/tiny-vgg/load', 404, 200],
    ['POST', '/v2/repository/models/tiny-vgg/unload', 404, 200],
    ['DELETE', '/metrics', 404, 405],
    ['GET', '/livez', 200, 200],
    ['GET', '/readyz', 200, 200],
    ['GET', '/v2/health/ready', 200, 200],
    ['GET', '/v1/models', 200, 404],
    ['POST', '/v1/classify', 400, 404],
    ['DELETE', '/v1/classify', 405, 404],
    ['GET', '/v2', 200, 404],
    ['GET', '/', 200, 404],
    ['GET', '/openapi.json', 200, 404],
  ])('%s %s: %d at the main one, %d there', async (method, path, ofMain, ofAdmin) => {
    expect(await statusOf(main + path, method, TOKEN)).toBe(ofMain);
    expect(await statusOf(admin + path, method, TOKEN)).toBe(ofAdmin);
  });

  it('asks for the token all the same', async () => {
    expect(await statusOf(`${admin}/v1/models/tiny-vgg/load`, 'POST')).toBe(401);
  });

  it('lets no page in that calls this machine by a name of its own', async () => {
    const { hostname, port } = new URL(admin);
    const answer = await new Promise<IncomingMessage>((resolve) =>
      ask({ hostname, port, path: '/metrics', headers: { host: 'evil.example' } }, resolve).end(),
    );
    answer.resume();
    expect(answer.statusCode).toBe(403);
  });

  it('is reached while all connections are taken, and is counted', async () => {
    const taken = await Promise.all(Array.from({ length: 20 }, () => rawClient(main)));
    const refused = await rawClient(main);
    expect(await refused.ended()).toContain('as many connections as it may');
    const visitor = await rawClient(admin);
    await visitor.send(head('GET /metrics'));
    const answer = await visitor.receive(/fullconv_connections (\d+)\n/);
    expect(Number(/\d+/.exec(answer)![0])).toBeGreaterThanOrEqual(21);
    for (const { socket } of [...taken, visitor]) socket.destroy();
  });

  it('ends with the server, and answers what is on its way', async () => {
    const client = await rawClient(admin);
    await client.send(head('GET /livez'));
    await client.receive(/200 OK/);
    const closed = app.close();
    await client.ended();
    await closed;
    await expect(fetch(`${admin}/livez`)).rejects.toThrow();
    app = await startTestApp();
  });

  it('is missed where its port is taken, and then nothing listens', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const other = await startTestApp({ FULLCONV_ADMIN_PORT: String(port), FULLCONV_WORKERS: '1' });
    try {
      await expect(other.listen({ host: '127.0.0.1', port: 0 })).rejects.toThrow(`FULLCONV_ADMIN_PORT=${port}`);
      expect(other.http.server.listening).toBe(false);
    } finally {
      taken.close();
      await other.close();
    }
  });

  it('needs a port of its own', async () => {
    const config = readConfig({ PORT: '8080', FULLCONV_ADMIN_PORT: '8080' });
    await expect(checkSettings(config)).rejects.toThrow('FULLCONV_ADMIN_PORT=8080 is PORT');
  });
});

it.each([
  ['127.0.0.1', '', 0],
  ['localhost', '', 0],
  ['::1', '', 0],
  ['0.0.0.0', '', 1],
  ['::', '', 1],
  ['192.0.2.1', '', 1],
])('a server at %s without keys is warned of %#', async (HOST, _, warnings) => {
  expect(await checkSettings(readConfig({ HOST }))).toHaveLength(warnings);
});

/** A proxy of some lines: passes what is below `prefix` on, as it is or without the prefix. */
async function startProxy(target: string, prefix: string, strips: boolean): Promise<{ server: Server; url: string }> {
  const { hostname, port } = new URL(target);
  const server = createServer((incoming, outgoing) => {
    if (!incoming.url!.startsWith(prefix)) {
      outgoing.writeHead(418).end();
      return;
    }
    const path = strips ? incoming.url!.slice(prefix.length) || '/' : incoming.url!;
    const { method, headers } = incoming;
    const passed = ask({ hostname, port, path, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}` };
}

describe.each([
  ['takes the prefix away', true, ''],
  ['passes the prefix on', false, '/some/prefix'],
])('behind a proxy that %s', (_, strips, basePath) => {
  let app: TestApp;
  let proxy: Server;
  let origin: string;
  let url: string;
  beforeAll(async () => {
    app = await startTestApp({ FULLCONV_BASE_PATH: basePath, FULLCONV_WORKERS: '1', FULLCONV_MAX_QUEUE: '8' });
    origin = await app.http.listen({ host: '127.0.0.1', port: 0 });
    ({ server: proxy, url } = await startProxy(origin, '/some/prefix', strips));
  });
  afterAll(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await app.close();
  });

  it('the page and the description load what they refer to', async () => {
    for (const page of ['/', '/docs']) {
      const at = new URL(url + page);
      const text = await (await fetch(at)).text();
      const references = [...text.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, target]) => new URL(target!, at));
      expect(references.length).toBeGreaterThan(3);
      for (const { pathname, href } of references) {
        expect(pathname).toMatch(/^\/some\/prefix\//);
        expect([href, await statusOf(href)]).toEqual([href, 200]);
      }
    }
  });

  it('the document’s addresses are where it is', async () => {
    const at = `${url}/openapi.json`;
    const { servers } = (await (await fetch(at)).json()) as { servers: [{ url: string }] };
    expect(new URL(servers[0].url, at).pathname.replace(/\/$/, '')).toBe('/some/prefix');
  });

  it('the client works, with and without a slash at the end', async () => {
    const photo = new Uint8Array(await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url)));
    for (const base of [url, `${url}/`]) {
      const client = createClient(base);
      expect(await client.models()).toHaveLength(2);
      expect((await client.classify(photo)).results).toHaveLength(1);
    }
  });

  it('errors are what they are elsewhere', async () => {
    expect(await (await fetch(`${url}/nothing`)).json()).toMatchObject({ code: 'NOT_FOUND' });
    expect(await (await fetch(`${url}/v2/models/none`)).json()).toHaveProperty('error');
    expect(await statusOf(`${url}/v1/classify`)).toBe(405);
  });

  it('a full server refuses in front of the routes', async () => {
    const leave = app.service.inference.admission.admit(8);
    const send = () => fetch(`${url}/v1/classify?topK=2`, { method: 'POST', body: 'x' });
    expect([(await send()).status, (await send()).status]).toEqual([503, 503]);
    const outside = await fetch(`${origin}/v1/classify?topK=2`, { method: 'POST', body: 'x' });
    expect(outside.status).toBe(basePath === '' ? 503 : 404);
    leave();
  });

  it('what lies beside it does not answer, but probes do', async () => {
    if (basePath === '') return;
    for (const path of ['/v1/models', '/', '/docs', '/metrics', '/some', '/some/prefixed/v1/models', '/v2']) {
      expect([path, await statusOf(origin + path)]).toEqual([path, 404]);
    }
    for (const path of ['/livez', '/readyz', '/v2/health/live', '/some/prefix/livez']) {
      expect([path, await statusOf(origin + path)]).toEqual([path, 200]);
    }
    const bare = await fetch(`${origin}/some/prefix?a=b?c`, { redirect: 'manual' });
    expect([bare.status, bare.headers.get('location')]).toEqual([308, 'prefix/?a=b?c']);
    expect(await statusOf(`${origin}/some/prefix`)).toBe(200);
  });
});

it.each(['prefix', '/a//b', '/a/../b', '/a?b', '/a b', '//host'])('%s is no base path', (path) => {
  expect(() => readConfig({ FULLCONV_BASE_PATH: path })).toThrow('must be a path such as /some/prefix');
});
