/**
 * A full server refuses by the header alone, in front of fastify. Whoever is refused that way cannot tell: the answer is that of
 * the long way. Whatever else a header may ask for goes the long way.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest';
import type { Admission } from '../../src/inference/admission.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { chunked, head, rawClient, type RawClient } from '../support/raw-client.js';

const MAX_QUEUE = 8;
const FRIEND = 'https://friend.example';
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

let photo: Buffer;
let app: TestApp;
let friendly: TestApp;
let url: string;
let friendlyUrl: string;
let line: (line: object) => void = () => undefined;
beforeAll(async () => {
  photo = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  const { pino } = await import('pino');
  const logger = pino({ level: 'info' }, { write: (text: string) => line(JSON.parse(text) as object) });
  const settings = { FULLCONV_MAX_QUEUE: String(MAX_QUEUE), FULLCONV_MAX_BYTES: '4000000' };
  app = await startTestApp(settings, undefined, { logger });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  friendly = await startTestApp({ ...settings, FULLCONV_CORS_ORIGINS: FRIEND }, app.models);
  friendlyUrl = await friendly.http.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(async () => {
  await friendly.close();
  await app.close();
});

/** What the quick way has told: one entry for each request that it looked at. */
let looks: MockInstance<Admission['whyFull']>;
let leave: () => void;
const clients: RawClient[] = [];
beforeEach(() => {
  looks = vi.spyOn(app.service.inference.admission, 'whyFull');
  leave = app.service.inference.admission.admit(MAX_QUEUE);
});
afterEach(() => {
  looks.mockRestore();
  leave();
  clients.splice(0).forEach(({ socket }) => socket.destroy());
});
const release = (): void => {
  leave();
  leave = () => undefined;
};
const refusedOnSight = (): number =>
  looks.mock.results.filter(({ type, value }) => type === 'return' && value !== undefined).length;

async function client(address = url): Promise<RawClient> {
  const made = await rawClient(address);
  clients.push(made);
  return made;
}

/** Make a question known, which the answers up to here do not count in. */
async function learn(path: string): Promise<void> {
  await answerTo(path);
  looks.mockClear();
}

const ANSWER = /^HTTP[^]*?\r\n\r\n[^]*}/;

/** The whole answer to a POST of the photo on a connection of its own, without the date. */
async function answerTo(
  path: string,
  headers: Readonly<Record<string, string | number>> = {},
  address = url,
): Promise<string> {
  const one = await client(address);
  await one.send(head(`POST ${path}`, { 'X-Request-Id': 'mine', 'Content-Length': photo.length, ...headers }), photo);
  return (await one.receive(ANSWER)).replace(/\r\ndate: [^\r]*/i, '');
}

it('each is in the metrics, and the first ones of a second in the log', async () => {
  const count = async (): Promise<number> => {
    const { body } = await app.http.inject('/metrics');
    const series = /^fullconv_request_duration_seconds_count{route="\/v1\/classify",method="POST",status="503"} (\d+)/m;
    return Number(series.exec(body)?.[1] ?? 0);
  };
  await learn('/v1/classify?topK=4');
  const before = await count();
  const lines: Record<string, unknown>[] = [];
  line = (each) => lines.push(each as Record<string, unknown>);
  const one = await client();
  const ask = head('POST /v1/classify?topK=4', { 'Content-Length': 1, 'X-Request-Id': 'mine' }) + 'x';
  for (let request = 1; request <= 60; request++) {
    await one.send(ask);
    while (one.received.split('"code":"QUEUE_FULL"').length <= request) await once(one.socket, 'changed');
  }
  expect(await count()).toBe(before + 60);
  await vi.waitFor(() => {
    const summed = lines.reduce((sum, { requests = 0 }) => sum + (requests as number), 0);
    const own = lines.filter(({ msg, status }) => msg === 'request' && status === 503);
    expect(summed).toBeGreaterThan(0);
    expect(summed + own.length).toBe(60);
  }, 5000);
  const [warning, request] = lines;
  expect(warning).toMatchObject({ level: 40, reqId: 'mine', code: 'QUEUE_FULL' });
  expect(request).toMatchObject({
    ...{ level: 30, reqId: 'mine', msg: 'request', method: 'POST', url: '/v1/classify?topK=4', status: 503 },
    ...{ client: '127.0.0.1', ms: expect.any(Number) as number },
  });
  line = () => undefined;
});

describe('the same answer as the long way, header by header', () => {
  it.each<[string, string, Record<string, string>]>([
    ['classify', '/v1/classify?flip', {}],
    ['with parameters', '/v1/classify?model=tiny-resnet&topK=1&priority=-1&deadlineMs=5000', {}],
    ['a trace', '/v1/classify?topK=2', { Traceparent: TRACE }],
    ['ids that are not safe to print', '/v1/classify?topK=2&flip', { Traceparent: 'x', 'X-Request-Id': 'a' }],
    ['a picture', '/v1/heatmap?class=0', { Accept: 'image/png' }],
    ['a form', '/v1/segment', { 'Content-Type': 'multipart/form-data; boundary=b' }],
    ['a type that is none', '/v1/segment?alpha=0.5', { 'Content-Type': 'nonsense' }],
    ['a coding that is none', '/v1/segment?alpha=0.6', { 'Content-Encoding': 'nonsense' }],
    ['a connection that is said to stay', '/v1/classify?topK=3', { Connection: 'keep-alive' }],
  ])('%s', async (_, path, headers) => {
    const long = await answerTo(path, headers);
    expect(looks).not.toHaveBeenCalled();
    // A form does not make its question known: its fields are parameters, too.
    await learn(path);
    const quick = await answerTo(path, headers);
    expect(refusedOnSight()).toBe(1);
    expect(quick).toBe(long);
    expect(quick).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\nx-request-id: /);
    expect(quick).toMatch(/\r\nx-content-type-options: nosniff\r\n[^]*retry-after: 1\r\n[^]*"code":"QUEUE_FULL"/);
    expect(quick).toContain(`"limit":{"name":"passes","value":${MAX_QUEUE},"needed":${MAX_QUEUE + 1}}`);
  });

  it('an id of its own where the client has none', async () => {
    await learn('/v1/classify');
    const answer = await answerTo('/v1/classify', { 'X-Request-Id': 'not safe' });
    const [, id] = /\r\nx-request-id: ([\da-f-]{36})\r\n/.exec(answer)!;
    expect(answer).toContain(`"instance":"${id}"`);
    expect(refusedOnSight()).toBe(1);
  });

  it('where pages of other origins may read answers', async () => {
    const own = vi.spyOn(friendly.service.inference.admission, 'whyFull');
    const end = friendly.service.inference.admission.admit(MAX_QUEUE);
    const ask = (): Promise<string> => answerTo('/v1/heatmap?class=0', {}, friendlyUrl);
    const [long, quick] = [await ask(), await ask()];
    expect(own).toHaveBeenCalledTimes(1);
    expect(quick).toBe(long);
    expect(quick).toMatch(/\r\nvary: Origin, Accept\r\n/);
    const fromPage = await answerTo('/v1/heatmap?class=0', { Origin: FRIEND }, friendlyUrl);
    expect(own).toHaveBeenCalledTimes(1);
    expect(fromPage).toContain(`access-control-allow-origin: ${FRIEND}`);
    end();
  });
});

describe('the long way', () => {
  const STRANGE: [string, RegExp, Record<string, string | number>][] = [
    ['Expect', /^HTTP\/1\.1 503 [^]*connection: close/i, { Expect: '100-continue' }],
    ['a page of another origin', /^HTTP\/1\.1 403 /, { Origin: 'https://stranger.example' }],
    ['a page, by the browser', /^HTTP\/1\.1 403 /, { 'Sec-Fetch-Site': 'cross-site' }],
    ['another host', /^HTTP\/1\.1 403 /, { Host: 'stranger.example' }],
    ['the last request', /^HTTP\/1\.1 503 [^]*connection: close/i, { Connection: 'close' }],
    ['a body that is too long to discard', /^HTTP\/1\.1 503 [^]*connection: close/i, { 'Content-Length': 3_000_000 }],
    ['an upgrade', /^HTTP\/1\.1 503 /, { Connection: 'upgrade', Upgrade: 'h2c' }],
  ];
  it.each(STRANGE)('%s', async (_, expected, headers) => {
    await learn('/v1/classify');
    expect(await answerTo('/v1/classify', headers)).toMatch(expected);
    expect(looks).not.toHaveBeenCalled();
  });

  it('bodies of unknown length, older HTTP, and requests behind others', async () => {
    await learn('/v1/classify');
    const inChunks = await client();
    await inChunks.send(head('POST /v1/classify', { 'Transfer-Encoding': 'chunked' }), ...chunked([photo]));
    expect(await inChunks.receive(ANSWER)).toMatch(/^HTTP\/1\.1 503 [^]*connection: close/i);
    const old = await client();
    await old.send(`POST /v1/classify HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\n\r\nx`);
    expect(await old.ended()).toMatch(/^HTTP\/1\.1 503 /);
    expect(looks).not.toHaveBeenCalled();
  });

  it('requests that are wrong are told so, however often they come', async () => {
    for (const [path, status] of [
      ['/v1/classify?topK=0', 400],
      ['/v1/classify?model=none', 404],
      ['/v1/classify/', 404],
    ] as const) {
      for (let time = 0; time < 2; time++) expect(await answerTo(path)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    }
    expect(looks).not.toHaveBeenCalled();
  });

  it('a GET of a known question', async () => {
    await learn('/v1/classify');
    const one = await client();
    await one.send(head('GET /v1/classify'));
    expect(await one.receive(ANSWER)).toMatch(/^HTTP\/1\.1 405 /);
  });

  it('everything while there are places', async () => {
    await learn('/v1/classify');
    release();
    expect(await answerTo('/v1/classify')).toMatch(/^HTTP\/1\.1 200 /);
    expect(looks).toHaveBeenCalled();
    expect(refusedOnSight()).toBe(0);
  });
});

it('the connection goes on behind a body that was not read, and the next body is read', async () => {
  await learn('/v1/classify?topK=1');
  const one = await client();
  const ask = head('POST /v1/classify?topK=1', { 'Content-Length': photo.length });
  for (let time = 1; time <= 3; time++) {
    const before = one.received.length;
    await one.send(ask, photo);
    await vi.waitFor(() => expect(one.received.slice(before)).toMatch(/"code":"QUEUE_FULL"[^]*}$/));
    expect(refusedOnSight()).toBe(time);
  }
  release();
  const before = one.received.length;
  await one.send(ask, photo);
  await vi.waitFor(() => expect(one.received.slice(before)).toMatch(/^HTTP\/1\.1 200 [^]*"predictions"/));
});

it('two requests at once on one connection are both answered, in order', async () => {
  await learn('/v1/classify?topK=1');
  const one = await client();
  const ask = (id: string): string =>
    head('POST /v1/classify?topK=1', { 'Content-Length': 4, 'X-Request-Id': id }) + 'body';
  await one.send(ask('first') + ask('second'));
  await one.receive(/"instance":"first"[^]*"instance":"second"[^]*}/);
});

it('a client that sends its body slowly is refused at once', async () => {
  await learn('/v1/classify?topK=1');
  const one = await client();
  await one.send(head('POST /v1/classify?topK=1', { 'Content-Length': photo.length }));
  expect(await one.receive(ANSWER)).toMatch(/^HTTP\/1\.1 503 /);
  await one.send(photo);
  expect(refusedOnSight()).toBe(1);
});
