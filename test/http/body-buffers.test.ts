/** The memory that bodies are held in: what is charged for them, and when it is given back. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../../src/errors.js';
import { createBodyMemory, type BodyMemory } from '../../src/http/body-memory.js';
import { acceptBodies, withImages } from '../../src/http/image-bodies.js';
import { startTestApp, type TestApp } from '../support/app.js';

const LENGTH = 100_000;

/** A promise, and the function that settles it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

/** Send the head of a request, and as many bytes of its body as are given. */
async function send(url: string, path: string, length: number, body: Uint8Array): Promise<Socket> {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
  socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: ${length}\r\n\r\n`);
  if (!socket.write(body)) await once(socket, 'drain');
  return socket;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(2);
}

describe('a server that takes raw bodies', () => {
  let app: FastifyInstance;
  let memory: BodyMemory;
  let url: string;
  /** What the last hook has seen. */
  let answered: string[];
  /** Bodies that handlers hold now. */
  let bodies: Buffer[];
  /** As the server sees them. */
  let connections: Set<Socket>;
  let holding: ReturnType<typeof gate>;
  let answering: boolean;

  beforeEach(async () => {
    answered = [];
    bodies = [];
    holding = gate();
    answering = false;
    app = Fastify({ forceCloseConnections: true });
    acceptBodies(app);
    memory = createBodyMemory(100_000_000);
    const limits = { maxBytes: 1_000_000, maxImages: 4, requestTimeoutMs: 3_600_000, minRate: 0 };
    const metrics = { observeRefused: () => undefined };
    const withBody = <T>(
      request: FastifyRequest,
      reply: FastifyReply,
      work: (body: Buffer) => Promise<T>,
    ): Promise<T> =>
      withImages({ request, reply }, { bodies: memory, metrics, limits, client: 'a', deadline: Infinity }, ([image]) =>
        work(image!.bytes as Buffer),
      );
    app.addHook('onResponse', (request, _reply, done) => {
      answered.push(request.url);
      done();
    });
    app.post('/echo', (request, reply) =>
      withBody(request, reply, (body) => Promise.resolve({ sum: body.reduce((sum, value) => sum + value, 0) })),
    );
    app.post('/fail', (request, reply) =>
      withBody(request, reply, () => Promise.reject(new ServiceError('IMAGE_UNDECODABLE', 'no'))),
    );
    app.post('/hold', (request, reply) =>
      withBody(request, reply, async (body) => {
        bodies.push(body);
        await holding.opened;
        return {};
      }),
    );
    app.post('/large', (request, reply) =>
      withBody(request, reply, () => {
        answering = true;
        return Promise.resolve(Buffer.alloc(50_000_000));
      }),
    );
    app.get('/empty', () => ({}));
    const open = (connections = new Set());
    app.server.on('connection', (socket: Socket) => {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    });
    url = await app.listen({ port: 0, host: '127.0.0.1' });
  });
  afterEach(async () => {
    holding.open();
    await app.close();
  });

  const post = async (path: string, body: Uint8Array | ReadableStream, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': 'a/b' }, ...init });

  it('gives the memory back after each answer, also after one that is an error', async () => {
    for (let turn = 0; turn < 5; turn++) {
      const response = await post('/echo', Buffer.alloc(LENGTH - turn * 1000, turn));
      expect(await response.json()).toEqual({ sum: turn * (LENGTH - turn * 1000) });
      expect(memory.held).toBe(0);
      expect((await post('/fail', Buffer.alloc(LENGTH))).status).toBe(422);
      expect(memory.held).toBe(0);
    }
  });

  it('gives each of the requests in flight a buffer of its own', async () => {
    const flight = Array.from({ length: 8 }, (_, index) => post('/hold', Buffer.alloc(LENGTH, index + 1)));
    await until(() => bodies.length === 8);
    expect(new Set(bodies.map(({ buffer }) => buffer)).size).toBe(8);
    expect(bodies.map((body) => body[LENGTH - 1]).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(memory.held).toBeGreaterThanOrEqual(8 * LENGTH);
    holding.open();
    await Promise.all(flight);
    expect(memory.held).toBe(0);
  });

  it('gives the memory of a body back that breaks off', async () => {
    const socket = await send(url, '/echo', LENGTH, Buffer.alloc(LENGTH / 2));
    await until(() => memory.held > 0);
    socket.destroy();
    await until(() => memory.held === 0);
  });

  it('keeps the body of a client that left before its answer for as long as the handler works', async () => {
    const socket = await send(url, '/hold', LENGTH, Buffer.alloc(LENGTH, 7));
    await until(() => bodies.length === 1);
    socket.destroy();
    await until(() => connections.size === 0);
    for (let turn = 0; turn < 3; turn++) await post('/echo', Buffer.alloc(LENGTH));
    expect(bodies[0]!.every((value) => value === 7)).toBe(true);
    expect(memory.held).toBeGreaterThanOrEqual(LENGTH);
    holding.open();
    await until(() => memory.held === 0);
  });

  it('gives the memory back when the answer begins to leave, though nobody reads it', async () => {
    const socket = await send(url, '/large', LENGTH, Buffer.alloc(LENGTH));
    socket.pause();
    await until(() => answering);
    await until(() => memory.held === 0);
    expect(answered).toEqual([]);
    socket.destroy();
  });

  it('charges what has come, not what was announced', async () => {
    const slow = await Promise.all(Array.from({ length: 20 }, () => send(url, '/echo', 1_000_000, Buffer.from('x'))));
    await until(() => memory.held > 0);
    expect(memory.held).toBeLessThanOrEqual(20 * 4096);
    slow[0]!.write(Buffer.alloc(600_000));
    await until(() => memory.held > 600_000);
    expect(memory.held).toBeLessThanOrEqual(2 * 600_000 + 20 * 4096);
    slow.forEach((socket) => socket.destroy());
    await until(() => memory.held === 0);
  });

  it('runs the hooks behind its own for every answer', async () => {
    await fetch(`${url}/empty`);
    await fetch(`${url}/nowhere`);
    await post('/echo', Buffer.alloc(1));
    await post('/echo', Buffer.alloc(1000));
    await post('/echo', Buffer.alloc(LENGTH));
    await post('/echo', new Blob([Buffer.alloc(LENGTH)]).stream(), { duplex: 'half' });
    await post('/fail', Buffer.alloc(LENGTH));
    await post('/echo', Buffer.alloc(1_000_001)).catch(() => undefined);
    const expected = ['/empty', '/nowhere', '/echo', '/echo', '/echo', '/echo', '/fail', '/echo'];
    await until(() => answered.length >= expected.length);
    expect(answered).toEqual(expected);
  });
});

describe('the whole server', () => {
  let app: TestApp;
  let url: string;
  let photo: Buffer;
  beforeAll(async () => {
    app = await startTestApp();
    url = await app.http.listen({ port: 0, host: '127.0.0.1' });
    photo = await sharp({ create: { width: 200, height: 160, channels: 3, background: '#d03020' } })
      .png({ compressionLevel: 0 })
      .toBuffer();
  });
  afterAll(() => app.close());

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}${path}`, { method: 'POST', body: photo, ...init });

  const metrics = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();

  it('gives all memory back, whatever becomes of the requests', async () => {
    const paths = [
      '/v1/classify',
      '/v1/classify?deadlineMs=1',
      '/v1/heatmap?render=sheet',
      '/v1/heatmap?scale=1,2&flip=true&deadlineMs=20',
      '/v1/segment',
      '/v1/classify?topK=nonsense',
      '/v1/nowhere',
    ];
    const headers = { accept: 'image/png, application/json' };
    await Promise.all(
      Array.from({ length: 70 }, async (_, turn) => {
        await sleep(turn * 4);
        const hangUp = turn % 5 === 0 ? { signal: AbortSignal.timeout(turn) } : {};
        await ask(paths[turn % paths.length]!, { headers, ...hangUp })
          .then((response) => response.arrayBuffer())
          .catch(() => undefined);
      }),
    );
    await until(async () => (await metrics()).includes('\nfullconv_bodies_bytes 0\n'));
    expect((await ask('/v1/classify')).status).toBe(200);
  });
});
