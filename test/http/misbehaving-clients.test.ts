/**
 * Clients that stall, send too much, stop halfway or never read: each gets the answer that it should, its connection ends,
 * and what it held is given back. Nobody else notices.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { chunked, head, rawClient, type RawClient } from '../support/raw-client.js';

const MAX_BYTES = 4_000_000;
const TIMEOUT_MS = 1500;

let photo: Buffer;
let patient: TestApp;
let hasty: TestApp;
let url: string;
let hastyUrl: string;
beforeAll(async () => {
  photo = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  const settings = { FULLCONV_MAX_BYTES: String(MAX_BYTES), FULLCONV_MAX_BODIES_BYTES: String(2 * MAX_BYTES) };
  patient = await startTestApp({ ...settings, FULLCONV_ADMIN_TOKEN: 'secret' });
  url = await patient.http.listen({ port: 0, host: '127.0.0.1' });
  hasty = await startTestApp({ ...settings, FULLCONV_REQUEST_TIMEOUT_MS: String(TIMEOUT_MS) }, patient.models);
  hastyUrl = await hasty.http.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(async () => {
  await hasty.close();
  await patient.close();
});

/** A number of the metrics. */
async function metric(app: TestApp, name: string): Promise<number> {
  const { body } = await app.http.inject('/metrics');
  const line = body.split('\n').find((text) => text.startsWith(`${name} `));
  return Number(line!.slice(name.length + 1));
}
const refused = (app: TestApp, limit: string): Promise<number> =>
  metric(app, `fullconv_refused_total{limit="${limit}"}`);
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10);
}
const classify = (address = url): Promise<Response> =>
  fetch(`${address}/v1/classify?topK=1`, { method: 'POST', body: new Uint8Array(photo) });

beforeEach(async () => {
  await until(async () => (await metric(patient, 'fullconv_bodies_bytes')) === 0);
});

describe('slow bodies', () => {
  it('of a few bytes, however many and however long they say they are, keep nobody out', async () => {
    const slow = await Promise.all(Array.from({ length: 40 }, () => rawClient(url)));
    await Promise.all(
      slow.map((client) => client.send(head('POST /v1/classify', { 'Content-Length': MAX_BYTES }), 'x')),
    );
    await until(async () => (await metric(patient, 'fullconv_bodies_bytes')) > 0);
    expect(await metric(patient, 'fullconv_bodies_bytes')).toBeLessThan(40 * 5000);
    expect((await classify()).status).toBe(200);
    slow.forEach(({ socket }) => socket.destroy());
  });

  it.each([
    ['of a known length', { 'Content-Length': 1000 }, 'x'],
    ['in chunks', { 'Transfer-Encoding': 'chunked' }, '1\r\nx\r\n'],
    ['in parts', { 'Transfer-Encoding': 'chunked', 'Content-Type': 'multipart/form-data; boundary=b' }, '3\r\n--b\r\n'],
    ['in JSON', { 'Content-Length': 1000, 'Content-Type': 'application/json' }, '{'],
  ])('%s are told after the request timeout, and the connection is closed', async (_, headers, start) => {
    const client = await rawClient(hastyUrl);
    await client.send(head('POST /v1/classify', headers), start);
    expect(await client.ended()).toMatch(
      /^HTTP\/1.1 408 [^]*connection: close[^]*"code":"REQUEST_TIMEOUT"[^}]*"limit":{"name":"request_time","value":1500}}$/,
    );
    expect(client.error).toBeUndefined();
    expect(await metric(hasty, 'fullconv_bodies_bytes')).toBe(0);
    expect(await refused(hasty, 'request_time')).toBeGreaterThan(0);
  });

  it('meet the deadline that the client has set', async () => {
    const client = await rawClient(url);
    await client.send(head('POST /v1/classify?deadlineMs=100', { 'Content-Length': 1000 }), 'x');
    expect(await client.receive(/^HTTP[^]*}/)).toMatch(/^HTTP\/1.1 504 [^]*"code":"DEADLINE_EXCEEDED"/);
    client.socket.destroy();
  });
});

describe('connections', () => {
  it('whose headers do not come are told and closed', async () => {
    const client = await rawClient(hastyUrl);
    await client.send('GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ');
    expect(await client.ended()).toMatch(
      /^HTTP\/1.1 408 [^]*nosniff[^]*"code":"REQUEST_TIMEOUT","limit":{"name":"headers_time","value":1500}/,
    );
  });

  it('that say nothing are closed', async () => {
    const client = await rawClient(hastyUrl);
    expect(await client.ended()).toBe('');
    expect(client.error).toBeUndefined();
  });

  it('that say nonsense are told and closed, though the client never closes', async () => {
    const before = await metric(patient, 'fullconv_connections');
    const client = await rawClient(url, { halfOpen: true });
    await client.send('nonsense\r\n\r\n');
    await client.receive(/^HTTP\/1.1 400 [^]*"code":"INVALID_REQUEST"/);
    await until(async () => (await metric(patient, 'fullconv_connections')) <= before);
    client.socket.destroy();
  });

  it('with headers beyond the limit are told so', async () => {
    const client = await rawClient(url);
    await client.send(head('GET /livez', { 'X-A': 'a'.repeat(20_000) }));
    expect(await client.ended()).toMatch(
      /^HTTP\/1.1 431 [^]*"code":"HEADERS_TOO_LARGE","limit":{"name":"headers_bytes","value":16384}/,
    );
    expect(await refused(patient, 'headers_bytes')).toBe(1);
  });
});

describe('refusals arrive, though the client goes on sending', () => {
  const megabytes = (count: number): Buffer[] => Array.from({ length: count }, () => Buffer.alloc(1_000_000, 1));
  const CHUNKED = { 'Transfer-Encoding': 'chunked' };
  const PARTS = 'multipart/form-data; boundary=b';
  const part = Buffer.from('--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n');

  it.each<[string, number, string, Record<string, string | number>, Iterable<string | Buffer>]>([
    ['a length beyond the limit', 413, '/v1/classify', { 'Content-Length': 12_000_000 }, megabytes(12)],
    [
      'a length beyond it, then close',
      413,
      '/v1/classify',
      { 'Content-Length': 12_000_000, Connection: 'close' },
      megabytes(12),
    ],
    ['chunks beyond it', 413, '/v1/classify', CHUNKED, chunked(megabytes(12))],
    ['chunks beyond it, then close', 413, '/v1/classify', { ...CHUNKED, Connection: 'close' }, chunked(megabytes(12))],
    ['parts beyond it', 413, '/v1/classify', { ...CHUNKED, 'Content-Type': PARTS }, chunked([part, ...megabytes(12)])],
    [
      'parts beyond it, then close',
      413,
      '/v1/classify',
      { ...CHUNKED, 'Content-Type': PARTS, Connection: 'close' },
      chunked([part, ...megabytes(12)]),
    ],
    ['JSON beyond it', 413, '/v1/classify', { ...CHUNKED, 'Content-Type': 'application/json' }, chunked(megabytes(12))],
    ['a wrong parameter', 400, '/v1/classify?topK=0', { 'Content-Length': 3_000_000 }, megabytes(3)],
    ['nothing there', 404, '/v1/nothing', { 'Content-Length': 12_000_000 }, megabytes(12)],
    ['no such model', 404, '/v1/classify?model=no', { 'Content-Length': 3_000_000 }, megabytes(3)],
    ['no token', 401, '/v1/models/tiny-vgg/unload', { 'Content-Length': 12_000_000 }, megabytes(12)],
    [
      'a page of another origin',
      403,
      '/v1/classify',
      { 'Content-Length': 3_000_000, Origin: 'https://evil.example' },
      megabytes(3),
    ],
    ['chunks of a byte', 400, '/v1/classify', CHUNKED, [Buffer.from('1\r\nx\r\n'.repeat(100_000))]],
    ['broken chunks', 400, '/v1/classify', CHUNKED, ['5\r\nhello\r\nnonsense\r\n', ...megabytes(3)]],
    [
      'a body that a second request contradicts',
      400,
      '/v1/classify',
      { 'Content-Length': 3, 'Transfer-Encoding': 'chunked' },
      megabytes(3),
    ],
  ])('%s: %i', async (_, status, path, headers, pieces) => {
    const client = await rawClient(url);
    await client.send(head(`POST ${path}`, headers), ...pieces);
    expect(await client.ended()).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*problem\\+json[^]*"status":${status}`));
    expect(client.error).toBeUndefined();
  });

  it('and the connection is used again where little of the body was left', async () => {
    const client = await rawClient(url);
    const again = head('POST /v1/classify?topK=0', { 'Content-Length': 100_000 });
    for (let turn = 1; turn <= 3; turn += 1) {
      await client.send(again, Buffer.alloc(100_000));
      await client.receive(new RegExp(`(HTTP/1.1 400 [^]*"status":400[^]*){${turn}}`));
    }
    client.socket.destroy();
  });

  it('but not for ever: who sends beyond several times the limit is hung up on', async () => {
    const client = await rawClient(url);
    await client.send(head('POST /v1/classify', CHUNKED));
    let sent = 0;
    for (const piece of chunked(megabytes(200))) {
      if (!client.socket.writable) break;
      await client.send(piece);
      sent += piece.length;
    }
    expect(sent).toBeLessThan(100_000_000);
  });
});

describe('a client that waits to be told to send', () => {
  const EXPECT = { Expect: '100-continue', 'Content-Length': 0 };

  it('is told, and answered', async () => {
    const client = await rawClient(url);
    await client.send(head('POST /v1/classify', { ...EXPECT, 'Content-Length': photo.length }));
    await client.receive(/^HTTP\/1.1 100 Continue\r\n\r\n/);
    await client.send(photo);
    await client.receive(/HTTP\/1.1 200 OK/);
    client.socket.destroy();
  });

  it('is refused without a byte of its body', async () => {
    const client = await rawClient(url);
    await client.send(head('POST /v1/classify', { ...EXPECT, 'Content-Length': MAX_BYTES + 1 }));
    expect(await client.ended()).toMatch(/^HTTP\/1.1 413 /);
  });
});

describe('a client that ends its direction behind its request', () => {
  it.each([
    ['a known length', () => [head('POST /v1/classify', { 'Content-Length': photo.length }), photo]],
    [
      'chunks',
      () => [head('POST /v1/classify', { 'Transfer-Encoding': 'chunked' }), ...chunked([photo, Buffer.alloc(0)])],
    ],
    [
      'no keep-alive',
      () => [head('POST /v1/classify', { 'Content-Length': photo.length, Connection: 'close' }), photo],
    ],
    ['two requests', () => [head('GET /livez'), head('POST /v1/classify', { 'Content-Length': photo.length }), photo]],
  ])('gets its answer: %s', async (_, pieces) => {
    const client = await rawClient(url, { halfOpen: true });
    await client.send(...pieces());
    client.socket.end();
    expect(await client.ended()).toMatch(/HTTP\/1.1 200 OK[^]*"predictions":\[[^]*}$/);
  });

  it('is told if the request is not whole', async () => {
    const client = await rawClient(url, { halfOpen: true });
    await client.send(head('POST /v1/classify', { 'Content-Length': 1000 }), 'half');
    client.socket.end();
    expect(await client.ended()).toMatch(/^HTTP\/1.1 400 /);
  });
});

it('nosniff is on every answer', async () => {
  const answers = await Promise.all([
    ...['/', '/docs', '/livez', '/readyz', '/metrics', '/openapi.json', '/v1/models', '/v1/nothing', '/%zz'].map(
      (path) => fetch(`${url}${path}`),
    ),
    fetch(`${url}/v1/classify`),
    classify(),
    fetch(`${url}/v1/heatmap`, { method: 'POST', body: new Uint8Array(photo) }),
    fetch(`${url}/v1/classify`, { method: 'POST', body: 'text' }),
  ]);
  for (const { headers, status } of answers)
    expect([status, headers.get('x-content-type-options')]).toEqual([status, 'nosniff']);
});

it('a request without Host is a problem like any other', async () => {
  const client = await rawClient(url);
  await client.send('GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n');
  expect(await client.ended()).toMatch(/^HTTP\/1.1 400 [^]*problem\+json[^]*no Host/);
});

it('many tiny parts end the body at once', async () => {
  const before = process.cpuUsage();
  const body = Buffer.from(`--b\r\n${'\r\n--b\r\n'.repeat(400_000)}--`);
  const answer = await patient.http.inject({
    method: 'POST',
    url: '/v1/classify',
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
    payload: body,
  });
  expect(answer.statusCode).toBe(400);
  expect(answer.json<{ detail: string }>().detail).toMatch(/limit/);
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000);
});

it('a keep-alive client that posts during the drain is refused with 503, and a waiting one is answered', async () => {
  const app = await startTestApp({ FULLCONV_MAX_BYTES: String(MAX_BYTES) }, patient.models);
  const address = await app.http.listen({ port: 0, host: '127.0.0.1' });
  const uploading = await rawClient(address);
  await uploading.send(head('POST /v1/classify', { 'Content-Length': photo.length }), photo.subarray(0, 1000));
  const keepAlive: RawClient[] = await Promise.all(Array.from({ length: 8 }, () => rawClient(address)));
  for (const client of keepAlive) {
    await client.send(head('GET /livez'));
    await client.receive(/^HTTP\/1.1 200 /);
  }
  const closing = app.close();
  for (const client of keepAlive) {
    await client.send(head('POST /v1/classify', { 'Content-Length': 3_000_000 }), Buffer.alloc(3_000_000));
    await client.receive(/HTTP\/1.1 503 [^]*"code":"DRAINING"/);
    expect(client.error).toBeUndefined();
  }
  await uploading.send(photo.subarray(1000));
  expect(await uploading.ended()).toMatch(/^HTTP\/1.1 200 /);
  await closing;
  for (const client of keepAlive) {
    await client.ended();
    expect(client.error).toBeUndefined();
  }
});
