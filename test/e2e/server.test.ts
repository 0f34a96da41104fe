import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

let models: string;
let grace: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  models = await writeTinyModels();
  grace = new Uint8Array(await readFile(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url)));
});
afterAll(() => rm(models, { recursive: true }));

const serve = (environment: Record<string, string> = {}): Promise<ServerProcess> =>
  startServer({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '2', ...environment });
const classify = ({ url }: ServerProcess, query = ''): Promise<Response> =>
  fetch(`${url}/v1/classify${query}`, { method: 'POST', body: grace });
const metric = async ({ url }: ServerProcess, pattern: RegExp): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
};
const imagesInFlight = (server: ServerProcess): Promise<number> => metric(server, /^fullconv_images_in_flight (\d+)/gm);

/** Ask until there is no answer: what there is instead. */
async function untilRefused(server: ServerProcess): Promise<number | string> {
  for (;;) {
    const status = await classify(server).then(
      (response) => response.status,
      () => 'no connection',
    );
    if (status !== 200) return status;
  }
}

/** A client that has begun to read a heatmap far larger than what the sockets on both sides hold, and then waits. */
async function hesitantClient({ url }: ServerProcess): Promise<{ socket: Socket; start: string }> {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const photo = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: 'black', noise } })
    .jpeg()
    .toBuffer();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST /v1/heatmap HTTP/1.1\r\nHost: test\r\nContent-Length: ${photo.length}\r\n\r\n`);
  socket.write(photo);
  const [start] = (await once(socket, 'data')) as [Buffer];
  socket.pause();
  return { socket, start: start.toString('latin1') };
}

describe('the stop', () => {
  it('on SIGTERM answers what is in flight, refuses new work and ends with 0', async () => {
    const server = await serve();
    let answered = 0;
    const early = Array.from({ length: 16 }, () => classify(server, '?scale=12').finally(() => answered++));
    let inFlight: number;
    let answeredBefore: number;
    do {
      answeredBefore = answered;
      inFlight = await imagesInFlight(server);
    } while (answeredBefore + inFlight < early.length);
    expect(inFlight).toBeGreaterThan(0);

    const ended = server.stop();
    const late = await untilRefused(server);
    for (const response of await Promise.all(early)) expect(response.status).toBe(200);
    expect([503, 'no connection']).toContain(late);
    expect(await ended).toBe(0);
    expect(server.log.join('\n')).toContain('"msg":"stopped"');
  });

  it('is announced by readiness before work is refused, for the length of the drain delay', async () => {
    const server = await serve({ FULLCONV_DRAIN_DELAY_MS: '1000' });
    const ended = server.stop();
    while ((await fetch(`${server.url}/readyz`)).status === 200) await sleep(5);
    expect((await classify(server)).status).toBe(200);
    expect(await ended).toBe(0);
  });

  it('waits for a client that reads its answer slowly', async () => {
    const server = await serve();
    const { socket, start } = await hesitantClient(server);
    const ended = server.stop();
    await sleep(500);
    let received = Buffer.byteLength(start, 'latin1');
    socket.on('data', (chunk: Buffer) => (received += chunk.length)).resume();
    await once(socket, 'close');
    expect(received).toBeGreaterThan(Number(/content-length: (\d+)/i.exec(start)?.[1]));
    expect(await ended).toBe(0);
  });

  it('does not wait for a connection that has never asked anything', async () => {
    const server = await serve();
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    // The server has it by now, since it takes connections in their order.
    expect((await classify(server)).status).toBe(200);
    expect(await server.stop()).toBe(0);
    socket.destroy();
  });

  it('hangs up on a client that does not read its answer when the drain timeout has passed', async () => {
    const server = await serve({ FULLCONV_DRAIN_TIMEOUT_MS: '300' });
    const { socket, start } = await hesitantClient(server);
    expect(start).toMatch(/^HTTP\/1\.1 200 /);
    expect(await server.stop()).toBe(1);
    expect(server.log.join('\n')).toContain('the drain timeout has passed: hanging up');
    expect(server.log.join('\n')).toContain('"msg":"stopped"');
    socket.destroy();
  });
});

describe('overload', () => {
  it('sheds early with 503 and Retry-After, and answers the others', async () => {
    const server = await serve({ FULLCONV_MAX_QUEUE: '8' });
    const responses = await Promise.all(Array.from({ length: 60 }, () => classify(server, '?scale=6')));
    const shed = responses.filter(({ status }) => status === 503);
    expect(responses.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(8);
    expect(shed.length).toBeGreaterThan(0);
    for (const response of shed) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(await response.json()).toMatchObject({ code: 'QUEUE_FULL' });
    }
    expect((await classify(server)).status).toBe(200);
    expect(await imagesInFlight(server)).toBe(0);
    expect(await server.stop()).toBe(0);
  });

  it('a request that cannot be answered by its deadline gets 504', async () => {
    const server = await serve({ FULLCONV_WORKERS: '1' });
    const busy = Array.from({ length: 12 }, () => classify(server, '?scale=12'));
    await sleep(20);
    const late = await classify(server, '?deadlineMs=5');
    expect(late.status).toBe(504);
    expect(await late.json()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    for (const response of await Promise.all(busy)) expect(response.status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  it('a client that left costs no run', async () => {
    const server = await serve({ FULLCONV_WORKERS: '1', FULLCONV_MAX_BATCH: '1' });
    const busy = Array.from({ length: 6 }, () => classify(server, '?scale=12'));
    await sleep(50);
    const gone = Array.from({ length: 20 }, () => {
      const call = request(`${server.url}/v1/classify?scale=12`, { method: 'POST' });
      call.on('error', () => undefined);
      call.end(grace);
      return call;
    });
    await sleep(50);
    for (const call of gone) call.destroy();
    for (const response of await Promise.all(busy)) expect(response.status).toBe(200);
    while ((await imagesInFlight(server)) > 0) await sleep(5);
    expect(await metric(server, /^fullconv_batch_size_sum\{.*\} (\d+)/gm)).toBeLessThan(6 + 20);
    expect(await server.stop()).toBe(0);
  });
});

describe('the start', () => {
  it.each([
    [{ PORT: 'eighty' }, /PORT=eighty/],
    [{ FULLCONV_WORKERS: '0' }, /FULLCONV_WORKERS=0/],
    [{ FULLCONV_WOKERS: '2' }, /FULLCONV_WOKERS is not a setting/],
    [{ FULLCONV_DEVICE: 'abacus' }, /FULLCONV_DEVICE=abacus.*cpu/],
    [{ FULLCONV_DEVICE: 'dml' }, /^ended with 3: fullconv: FULLCONV_DEVICE=dml: .* for Windows$/],
    [{ FULLCONV_DEFAULT_MODEL: 'nothing' }, /^fullconv: FULLCONV_DEFAULT_MODEL=nothing: .*$/m],
    [{ FULLCONV_MODELS: '/nowhere' }, /^fullconv: FULLCONV_MODELS=\/nowhere: .*$/m],
  ])('fails with a message that names what is wrong: %o', async (environment, message) => {
    await expect(serve(environment as Record<string, string>)).rejects.toThrow(message);
  });

  it('warns in the log of a setting under its old name', async () => {
    const server = await serve({ FULLCONV_MAX_BATCH_GFLOPS: '12' });
    expect(server.log.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        level: 40,
        msg: 'FULLCONV_MAX_BATCH_GFLOPS is called FULLCONV_MAX_BATCH_GMACS now; the next version does not take the old name',
      }),
    );
    expect(await server.stop()).toBe(0);
  });

  it('fails with one line when the port is taken, and leaves no process behind', async () => {
    const server = await serve();
    const { port } = new URL(server.url);
    const second = serve({ PORT: port, FULLCONV_LOG_LEVEL: 'error' });
    await expect(second).rejects.toThrow(
      new RegExp(`^ended with 3: fullconv: PORT=${port} HOST=127.0.0.1: listen EADDRINUSE: .*:${port}$`),
    );
    expect(await server.stop()).toBe(0);
  });
});
