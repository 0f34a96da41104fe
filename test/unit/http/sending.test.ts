import Fastify, { type FastifyInstance } from 'fastify';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sendPieces } from '../../../src/http/pieces.js';
import { createSending, type Sending } from '../../../src/http/sending.js';

const LARGE = Buffer.from(Array.from({ length: 1_000_000 }, (_, at) => (at * 31) % 251));

function* longText(): Generator<string, void, void> {
  for (let count = 0; count < 10_000; count += 1) yield 'x'.repeat(10_000);
}

let app: FastifyInstance;
let sending: Sending;
let full: number;
beforeEach(() => {
  full = 0;
  sending = createSending(150_000_000, () => (full += 1));
  app = Fastify();
  const onSend = sending.inPieces;
  app.get('/bytes', { onSend }, () => LARGE);
  app.get('/text', { onSend }, () => 'é'.repeat(500_000));
  app.get('/small', { onSend }, () => 'small');
  app.get('/made', { onSend }, (_, reply) => sendPieces(reply, longText(), 100_000_000));
  app.get('/late', { onSend }, async (request) => {
    await once(request.raw.socket, 'close');
    return LARGE;
  });
  app.get('/huge', { onSend }, () => Buffer.alloc(100_000_000));
});
afterEach(() => app.close());

it('answers arrive as they are, with their length, whole or as a HEAD', async () => {
  const url = await app.listen({ port: 0 });
  const bytes = await fetch(`${url}/bytes`);
  expect(bytes.headers.get('content-length')).toBe('1000000');
  expect(LARGE.equals(Buffer.from(await bytes.arrayBuffer()))).toBe(true);
  const text = await fetch(`${url}/text`);
  expect(text.headers.get('content-length')).toBe('1000000');
  expect(await text.text()).toBe('é'.repeat(500_000));
  expect(await (await fetch(`${url}/small`)).text()).toBe('small');
  expect((await fetch(`${url}/bytes`, { method: 'HEAD' })).headers.get('content-length')).toBe('1000000');
  expect(sending.held).toBe(0);
});

it('what clients have not taken is counted until they leave, and it is told when it is too much', async () => {
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const clients = [1, 2].map(() => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
    socket.write('GET /huge HTTP/1.1\r\nHost: x\r\n\r\n');
    return socket.pause();
  });
  while (sending.held < 200_000_000) await sleep(5);
  expect(full).toBe(1);
  clients[0]!.destroy();
  while (sending.held > 100_000_000) await sleep(5);
  clients[1]!.destroy();
  while (sending.held > 0) await sleep(5);
});

it('what an answer is made from is counted while it is made', async () => {
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
  socket.write('GET /made HTTP/1.1\r\nHost: x\r\n\r\n');
  socket.pause();
  while (sending.held < 100_000_000) await sleep(5);
  expect((await (await fetch(`${url}/made`)).text()).length).toBe(100_000_000);
  while (sending.held > 100_000_000) await sleep(5);
  expect(full).toBe(1);
  socket.destroy();
  while (sending.held > 0) await sleep(5);
});

it('an answer whose client has left before it is not counted', async () => {
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const closed = once(app.server, 'connection').then(([socket]) => once(socket as never, 'close'));
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
  socket.write('GET /late HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(app.server, 'request');
  socket.destroy();
  await closed;
  for (let turn = 0; turn < 20; turn += 1) await sleep(5);
  expect(sending.held).toBe(0);
});
