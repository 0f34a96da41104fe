/** Bodies with a Content-Encoding: answered as the others are, and bounded by what they hold, not by what comes. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { chunked, head, rawClient } from '../support/raw-client.js';

const MAX_BYTES = 4_000_000;

let app: TestApp;
let url: string;
let cat: Buffer;
let expected: unknown;
beforeAll(async () => {
  app = await startTestApp({
    FULLCONV_MAX_BYTES: String(MAX_BYTES),
    FULLCONV_REQUEST_TIMEOUT_MS: '2000',
    FULLCONV_MAX_BODIES_BYTES: '500000000',
  });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  expected = (await ask(cat)).results;
});
afterAll(() => app.close());
beforeEach(async () => {
  while (!(await app.http.inject('/metrics')).body.includes('\nfullconv_bodies_bytes 0\n')) await sleep(5);
});

interface Answer {
  readonly status: number;
  readonly code?: string;
  readonly detail?: string;
  readonly limit?: { readonly name: string; readonly value: number; readonly needed: number };
  readonly results?: unknown;
  readonly headers: Record<string, unknown>;
}

async function ask(payload: Buffer, headers: Record<string, string> = {}, query = ''): Promise<Answer> {
  const response = await app.http.inject({
    method: 'POST',
    url: `/v1/classify?topK=3${query}`,
    payload,
    headers: { 'content-type': 'image/png', ...headers },
  });
  return { ...response.json<Answer>(), status: response.statusCode, headers: response.headers };
}

const FORM = { 'content-type': 'multipart/form-data; boundary=b' };
const PART = '--b\r\nContent-Disposition: form-data; name="a"; filename="image-0"\r\n\r\n';
const formOf = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(PART), bytes, Buffer.from('\r\n--b--\r\n')]);
const JSON_TYPE = { 'content-type': 'application/json' };
const jsonOf = (bytes: Buffer): Buffer =>
  Buffer.from(JSON.stringify({ images: [{ base64: bytes.toString('base64') }] }));

describe.each<[string, string, (bytes: Buffer) => Buffer]>([
  ['gzip', 'gzip', (bytes) => gzipSync(bytes)],
  ['gzip by its old name', 'x-gzip', (bytes) => gzipSync(bytes)],
  ['deflate', 'deflate', (bytes) => deflateSync(bytes)],
  ['bare deflate', 'deflate', (bytes) => deflateRawSync(bytes)],
  ['br', 'br', (bytes) => brotliCompressSync(bytes, { params: { 1: 4 } })],
  ['identity', 'identity', (bytes) => bytes],
])('a body in %s', (_, coding, compress) => {
  const encoding = { 'content-encoding': coding };

  it('is answered as it is without: an image, a form and JSON', async () => {
    expect(await ask(compress(cat), encoding)).toMatchObject({ status: 200, results: expected });
    expect(await ask(compress(formOf(cat)), { ...encoding, ...FORM })).toMatchObject({
      status: 200,
      results: expected,
    });
    expect(await ask(compress(jsonOf(cat)), { ...encoding, ...JSON_TYPE })).toMatchObject({
      status: 200,
      results: expected,
    });
  });

  it('may come in chunks', async () => {
    const client = await rawClient(url);
    const body = compress(cat);
    const pieces = Array.from({ length: 40 }, (_, at) =>
      body.subarray(Math.floor((at * body.length) / 40), Math.floor(((at + 1) * body.length) / 40)),
    );
    const headers = { 'Transfer-Encoding': 'chunked', 'Content-Encoding': coding };
    await client.send(head('POST /v1/classify', headers), ...chunked(pieces), '0\r\n\r\n');
    expect(await client.receive(/^HTTP[^]*}$/)).toMatch(/^HTTP\/1.1 200 /);
    client.socket.destroy();
  });

  it('is bounded by what it holds', async () => {
    const refusal = await ask(compress(Buffer.alloc(MAX_BYTES + 200_000)), encoding);
    expect(refusal).toMatchObject({ status: 413, limit: { name: 'body_bytes', value: MAX_BYTES } });
    expect(refusal.limit!.needed).toBeLessThanOrEqual(MAX_BYTES + 200_000);
    const form = await ask(compress(formOf(Buffer.alloc(MAX_BYTES + 200_000))), { ...encoding, ...FORM });
    expect(form).toMatchObject({ status: 413, limit: { name: 'body_bytes', value: MAX_BYTES } });
  });
});

it('a bomb is refused in little time and memory', async () => {
  // 2 GB in 2 MB, and 4 GB in a few kilobytes.
  const piece = gzipSync(Buffer.alloc(100_000_000), { level: 9 });
  const gzip = Buffer.concat(Array.from({ length: 20 }, () => piece));
  const br = brotliCompressSync(Buffer.alloc(200_000_000), { params: { 1: 1 } });
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, at) =>
      at % 2 === 0 ? ask(gzip, { 'content-encoding': 'gzip' }) : ask(br, { 'content-encoding': 'br' }),
    ),
  );
  for (const answer of answers) expect(answer).toMatchObject({ status: 413, limit: { name: 'body_bytes' } });
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(400_000_000);
});

it.each([
  ['ends early', (body: Buffer) => body.subarray(0, -5), 'The body ends in the middle of its gzip data.'],
  [
    'goes on behind its end',
    (body: Buffer) => Buffer.concat([body, Buffer.from('more')]),
    'The body goes on behind the end of its gzip data.',
  ],
  ['is no gzip', () => cat, 'The body is not gzip, as its Content-Encoding says.'],
])('a body that %s is refused for that', async (_, spoil, detail) => {
  expect(await ask(spoil(gzipSync(cat)), { 'content-encoding': 'gzip' })).toMatchObject({
    status: 400,
    code: 'INVALID_REQUEST',
    detail,
  });
});

it.each(['zstd', 'gzip, gzip', 'nonsense'])('in %s is refused with what is taken', async (coding) => {
  const refusal = await ask(cat, { 'content-encoding': coding });
  expect(refusal).toMatchObject({ status: 415, code: 'UNSUPPORTED_ENCODING' });
  expect(refusal.headers['accept-encoding']).toBe('gzip, deflate, br');
});

it('an unknown coding is refused before the body is sent', async () => {
  const client = await rawClient(url);
  const headers = { 'Content-Length': 1000, 'Content-Encoding': 'zstd', Expect: '100-continue' };
  await client.send(head('POST /v1/classify', headers));
  expect(await client.ended()).toMatch(/^HTTP\/1.1 415 [^]*accept-encoding: gzip, deflate, br/);
});

it('that stalls is refused after the time for requests, and the deadline holds', async () => {
  const body = gzipSync(cat);
  for (const [query, status] of [
    ['', 408],
    ['?deadlineMs=300', 504],
  ] as const) {
    const client = await rawClient(url);
    const headers = { 'Content-Length': body.length, 'Content-Encoding': 'gzip' };
    await client.send(head(`POST /v1/classify${query}`, headers), body.subarray(0, 5000));
    expect(await client.ended()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  }
});

it('whose client leaves gives its memory back', async () => {
  const body = brotliCompressSync(cat, { params: { 1: 4 } });
  const client = await rawClient(url);
  const headers = { 'Content-Length': body.length, 'Content-Encoding': 'br' };
  await client.send(head('POST /v1/classify', headers), body.subarray(0, body.length / 2));
  while ((await app.http.inject('/metrics')).body.includes('\nfullconv_bodies_bytes 0\n')) await sleep(5);
  client.socket.destroy();
  while (!(await app.http.inject('/metrics')).body.includes('\nfullconv_bodies_bytes 0\n')) await sleep(5);
});
