/** Who a request comes from: in the log, and where an address has no more than its part. And clients that leave. */
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { head } from '../support/raw-client.js';

const MAX_BYTES = 2_000_000;

let app: TestApp;
let url: string;
let photo: Buffer;
let lines: Record<string, unknown>[] = [];
beforeAll(async () => {
  photo = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
  const log = new PassThrough().on('data', (line: Buffer) => {
    lines.push(JSON.parse(line.toString()) as Record<string, unknown>);
  });
  app = await startTestApp(
    {
      FULLCONV_MAX_BYTES: String(MAX_BYTES),
      FULLCONV_MAX_BODIES_BYTES: '8000000',
      FULLCONV_TRUSTED_PROXIES: '127.0.0.3',
    },
    undefined,
    { logger: pino(log) },
  );
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(() => app.close());
beforeEach(async () => {
  lines = [];
  await until(async () => (await metrics()).includes('\nfullconv_bodies_bytes 0\n'));
});

const metrics = async (): Promise<string> => (await app.http.inject('/metrics')).body;
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(5);
}

interface Sent {
  readonly socket: Socket;
  readonly answer: () => string;
}

/** Send a request from an address of this machine. */
function send(localAddress: string, ...pieces: readonly (string | Buffer)[]): Sent {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
  let text = '';
  socket.on('error', () => undefined).setEncoding('latin1');
  socket.on('data', (data: string) => (text += data));
  for (const piece of pieces) socket.write(piece);
  return { socket, answer: () => text };
}

const clientOf = async (from: string, headers: Record<string, string> = {}): Promise<unknown> => {
  lines = [];
  const { socket } = send(from, head('GET /livez', headers));
  await until(() => lines.length > 0);
  socket.destroy();
  return lines[0]!['client'];
};

describe('the client in the log', () => {
  it('is the address of the connection, whatever it says', async () => {
    expect(await clientOf('127.0.0.1')).toBe('127.0.0.1');
    expect(await clientOf('127.0.0.2', { 'X-Forwarded-For': '192.0.2.1' })).toBe('127.0.0.2');
    expect(await clientOf('127.0.0.2', { Forwarded: 'for=192.0.2.1' })).toBe('127.0.0.2');
  });

  it('is what a trusted proxy says', async () => {
    expect(await clientOf('127.0.0.3', { 'X-Forwarded-For': '10.9.8.7, 192.0.2.1' })).toBe('192.0.2.1');
    expect(await clientOf('127.0.0.3', { Forwarded: 'for="[2001:DB8::1]:4711"' })).toBe('2001:db8::1');
    expect(await clientOf('127.0.0.3')).toBe('127.0.0.3');
  });
});

describe('the bodies of one address', () => {
  const slow = (from: string, headers: Record<string, string> = {}): Sent =>
    send(from, head('POST /v1/classify', { 'Content-Length': 1_000_000, ...headers }), Buffer.alloc(990_000));

  it.each<[string, string, Record<string, string>, string, Record<string, string>]>([
    ['of a connection', '127.0.0.2', {}, '127.0.0.1', {}],
    [
      'behind a proxy',
      '127.0.0.3',
      { 'X-Forwarded-For': '192.0.2.1' },
      '127.0.0.3',
      { 'X-Forwarded-For': '192.0.2.2' },
    ],
  ])('have a part of the memory, and the next address is served: %s', async (_, from, headers, other, its) => {
    const greedy = Array.from({ length: 10 }, () => slow(from, headers));
    await until(() => greedy.filter(({ answer }) => answer() !== '').length === 6);
    const refused = greedy.map(({ answer }) => answer()).filter((answer) => answer !== '');
    for (const answer of refused) {
      expect(answer).toMatch(/^HTTP\/1.1 429 [^]*"code":"RATE_LIMITED"[^]*"limit":{"name":"bodies_bytes_per_address"/);
      expect(answer.toLowerCase()).toContain('\r\nretry-after: 1\r\n');
    }
    const served = send(other, head('POST /v1/classify', { ...its, 'Content-Length': photo.length }), photo);
    await until(() => served.answer() !== '');
    expect(served.answer()).toMatch(/^HTTP\/1.1 200 /);
    expect(await metrics()).toMatch(/^fullconv_refused_total{limit="bodies_bytes_per_address"} [1-9]/m);
    [...greedy, served].forEach(({ socket }) => socket.destroy());
  });
});

describe('a client that leaves', () => {
  it.each<[string, () => (string | Buffer)[]]>([
    ['in the middle of its body', () => [head('POST /v1/classify', { 'Content-Length': 1000 }), 'half']],
    [
      'before its answer',
      () => [head('POST /v1/heatmap?size=700&scale=1,2', { 'Content-Length': photo.length }), photo],
    ],
  ])('%s is in the log and the metrics, and nothing of it is left', async (_, pieces) => {
    const sent = pieces();
    const route = /\/v1\/\w+/.exec(String(sent[0]))![0];
    const name = `fullconv_request_duration_seconds_count{route="${route}",method="POST",status="499"} `;
    const count = async (): Promise<number> =>
      Number(
        (await metrics())
          .split('\n')
          .find((line) => line.startsWith(name))
          ?.slice(name.length) ?? 0,
      );
    const before = await count();
    const { socket } = send('127.0.0.4', ...sent);
    await until(async () =>
      route === '/v1/heatmap'
        ? app.service.inference.admission.admitted > 0
        : !(await metrics()).includes('\nfullconv_bodies_bytes 0\n'),
    );
    socket.resetAndDestroy();
    const its = () => lines.filter(({ client }) => client === '127.0.0.4');
    await until(() => its().length > 0);
    expect(its()).toMatchObject([{ status: 499, msg: 'request' }]);
    await until(async () => (await metrics()).includes('\nfullconv_bodies_bytes 0\n'));
    await until(() => app.service.inference.admission.admitted === 0);
    expect(await count()).toBe(before + 1);
  });
});

it('a body that waits for another process counts until it has left, though nobody waits for its answer any more', async () => {
  const large = await sharp({
    create: {
      width: 800,
      height: 700,
      channels: 3,
      background: 'red',
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    },
  })
    .png({ compressionLevel: 0 })
    .toBuffer();
  const { pids } = app.service.pool;
  const signal = (name: NodeJS.Signals): void => pids.forEach((pid) => process.kill(pid, name));
  signal('SIGSTOP');
  try {
    const headers = { 'Content-Length': large.length };
    const { answer, socket } = send('127.0.0.5', head('POST /v1/classify?deadlineMs=1500', headers), large);
    await until(() => answer().startsWith('HTTP/1.1 504'));
    socket.destroy();
    await sleep(100);
    const [, held] = /^fullconv_bodies_bytes (\d+)$/m.exec(await metrics())!;
    expect(Number(held)).toBeGreaterThanOrEqual(large.length);
  } finally {
    signal('SIGCONT');
  }
  await until(async () => (await metrics()).includes('\nfullconv_bodies_bytes 0\n'));
});
