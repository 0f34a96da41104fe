import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';

const HOUR_MS = 3_600_000;
const photo = await readFile(new URL('../fixtures/photos/coffee.png', import.meta.url));

let app: TestApp;
let client: Socket;
let answer: string;
beforeEach(async () => {
  app = await startTestApp({ FULLCONV_WORKERS: '1', FULLCONV_DEADLINE_MS: String(HOUR_MS) });
  await app.http.listen({ port: 0 });
  client = connect((app.http.server.address() as { port: number }).port, '127.0.0.1');
  answer = '';
  client.setEncoding('latin1').on('data', (text: string) => (answer += text));
  await once(client, 'connect');
});
afterEach(() => {
  vi.useRealTimers();
  client.destroy();
});

it('waits for the answers in flight as long as they take', async () => {
  const arrived = new Promise<void>((resolve) => app.http.server.once('request', () => resolve()));
  client.write(`POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Length: ${photo.length}\r\n\r\n`);
  await arrived;

  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const closed = app.close();
  // In steps: the close itself takes a few turns of the event loop before it waits.
  for (let step = 0; step < 50; step += 1) await vi.advanceTimersByTimeAsync(HOUR_MS / 100);
  vi.useRealTimers();

  client.write(photo);
  await closed;
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
});

it('answers what is in flight with 503 when it waits no longer', async () => {
  // Longer than this test may take.
  const path = '/v1/heatmap?scale=1,2,3&flip=true&size=1000&tiles=true';
  client.write(`POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: ${photo.length}\r\n\r\n`);
  client.write(photo);
  while ((await app.http.inject('/metrics')).body.includes('fullconv_images_in_flight 0'))
    await new Promise(setImmediate);
  app.hangUp();
  await Promise.all([once(client, 'close'), app.close()]);
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(answer).toContain('The server has ended before there was an answer.');
});

it('does not wait for a client that has connected and sent nothing', async () => {
  while ((await connections(app)) === 0) await new Promise(setImmediate);
  await Promise.all([once(client, 'close'), app.close()]);
  expect(answer).toBe('');
});

it('refuses a request that was on its way when the server stopped to listen', async () => {
  while ((await connections(app)) === 0) await new Promise(setImmediate);
  const closed = app.close();
  while (app.http.server.listening) await new Promise(setImmediate);
  client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n');
  await Promise.all([once(client, 'close'), closed]);
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(answer).toContain('"code":"DRAINING"');
});

it('accepts and refuses the connections that waited to be accepted', async () => {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const { port } = app.http.server.address() as { port: number };
  const visitors = new Worker(VISITORS, { eval: true, workerData: { port, host: '127.0.0.1', shared, count: 100 } });
  // This thread, which accepts connections, stands still until they wait.
  Atomics.wait(shared, 0, 0);
  const closed = app.close();
  const [answers] = (await once(visitors, 'message')) as [string[]];
  await closed;
  expect(answers.filter((text) => !text.startsWith('HTTP/1.1 503 '))).toEqual([]);
  expect(answers).toHaveLength(100);
});

it.skipIf(!hasIpv6())('is one server at all addresses of localhost, and ends at all of them', async () => {
  const both = await startTestApp({ FULLCONV_WORKERS: '1', FULLCONV_MAX_CONNECTIONS_PER_ADDRESS: '100' }, app.models);
  await both.listen({ host: 'localhost', port: 0 });
  const { port } = both.http.server.address() as { port: number };
  for (const host of ['127.0.0.1', '[::1]']) expect((await fetch(`http://${host}:${port}/livez`)).status).toBe(200);
  const { body } = await both.http.inject('/metrics');
  expect(/^fullconv_connections (\d+)$/m.exec(body)?.[1]).toBe('2');

  const shared = new Int32Array(new SharedArrayBuffer(4));
  const visitors = new Worker(VISITORS, { eval: true, workerData: { port, host: '::1', shared, count: 100 } });
  Atomics.wait(shared, 0, 0);
  const closed = both.close();
  const [answers] = (await once(visitors, 'message')) as [string[]];
  await closed;
  expect(answers.filter((text) => !text.startsWith('HTTP/1.1 503 '))).toEqual([]);
  expect(answers).toHaveLength(100);
  for (const host of ['127.0.0.1', '[::1]']) await expect(fetch(`http://${host}:${port}/livez`)).rejects.toThrow();
});

function hasIpv6(): boolean {
  const own = Object.values(networkInterfaces()).flat();
  const is = own.some((each) => each?.address === '::1');
  if (!is) console.warn('no IPv6 here: the second address of localhost is not tested');
  return is;
}

/** A thread of clients which ask at once, say when they are connected, and then what they were answered. */
const VISITORS = `
const { connect } = require('node:net');
const { parentPort, workerData: { port, host, shared, count } } = require('node:worker_threads');
const answers = [];
let connected = 0;
for (let index = 0; index < count; index += 1) {
  const socket = connect(port, host, () => {
    socket.write('GET /livez HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n');
    if ((connected += 1) < count) return;
    Atomics.store(shared, 0, 1);
    Atomics.notify(shared, 0);
  });
  let answer = '';
  socket.setEncoding('latin1').on('data', (text) => (answer += text));
  socket.on('error', (error) => (answer = String(error)));
  socket.on('close', () => {
    if (answers.push(answer) === count) parentPort.postMessage(answers);
  });
}`;

function connections({ http }: TestApp): Promise<number> {
  return new Promise((resolve, reject) =>
    http.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  );
}
