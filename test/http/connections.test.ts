/** Connections, watched over a server of Node's whose handlers the tests hold. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { BlockList, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { watchConnections, type Connections, type ConnectionOptions } from '../../src/http/connections.js';
import type { Refusal } from '../../src/http/refusals.js';
import { head, rawClient } from '../support/raw-client.js';

let server: Server;
let connections: Connections;
let url: string;
let refusals: Refusal[];
let handle: RequestListener;

const OPTIONS: Omit<ConnectionOptions, 'onRefused'> = {
  maxConnections: 100,
  maxConnectionsPerAddress: 100,
  proxies: new BlockList(),
  minRate: 1000,
  maxBytes: 1_000_000,
};

async function start(options: Partial<ConnectionOptions> = {}): Promise<void> {
  refusals = [];
  server = createServer((request, response) => handle(request, response));
  connections = watchConnections(server, { ...OPTIONS, onRefused: (refusal) => refusals.push(refusal), ...options });
  server.on('clientError', (error, socket) => connections.handleClientError(error, socket as never));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(5);
};

beforeEach(() => {
  handle = (_request, response) => response.end('ok');
});
afterEach(async () => {
  vi.useRealTimers();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

describe('the number of connections', () => {
  it('is bounded: the next is told to come again, and room comes back', async () => {
    await start({ maxConnections: 3 });
    const clients = await Promise.all([1, 2, 3].map(() => rawClient(url)));
    await until(() => connections.count === 3);
    const fourth = await rawClient(url);
    await fourth.send(head('GET /'));
    const answer = await fourth.ended();
    expect(answer).toMatch(/^HTTP\/1.1 503 [^]*Retry-After: 1[^]*"code":"QUEUE_FULL"/);
    expect(answer).toContain('"limit":{"name":"connections","value":3,"needed":4}');
    // Its id is in the body, too.
    const id = /^X-Request-Id: (\S+)\r$/m.exec(answer)?.[1];
    expect(answer).toContain(`"instance":"${id}"`);
    expect(fourth.error).toBeUndefined();
    expect(refusals).toEqual(['connections']);
    clients[0]!.socket.destroy();
    await until(() => connections.count === 2);
    const fifth = await rawClient(url);
    await fifth.send(head('GET /'));
    await fifth.receive(/^HTTP\/1.1 200 /);
    [...clients, fifth].forEach(({ socket }) => socket.destroy());
  });

  it('is bounded for an address, but not for that of a proxy', async () => {
    await start({ maxConnectionsPerAddress: 2 });
    const clients = await Promise.all([1, 2].map(() => rawClient(url)));
    await until(() => connections.count === 2);
    const third = await rawClient(url);
    expect(await third.ended()).toMatch(
      /^HTTP\/1.1 429 [^]*"code":"RATE_LIMITED","limit":{"name":"connections_per_address","value":2,"needed":3}/,
    );
    clients.forEach(({ socket }) => socket.destroy());
    expect(refusals).toEqual(['connections_per_address']);
    server.close();

    const proxies = new BlockList();
    proxies.addSubnet('127.0.0.0', 8);
    await start({ maxConnectionsPerAddress: 2, proxies });
    const others = await Promise.all([1, 2, 3, 4].map(() => rawClient(url)));
    for (const client of others) {
      await client.send(head('GET /'));
      await client.receive(/^HTTP\/1.1 200 /);
    }
    others.forEach(({ socket }) => socket.destroy());
  });
});

describe('a client that has ended its direction', () => {
  it('is asked after a while whether it is there, and gets its answer', async () => {
    let answer: () => void = () => undefined;
    handle = (_request, response) => (answer = () => response.end('late'));
    await start();
    const client = await rawClient(url, { halfOpen: true });
    await client.send(head('GET /'));
    client.socket.end();
    await client.receive(/^(HTTP\/1.1 100 Continue\r\n\r\n){2}/);
    answer();
    expect(await client.ended()).toMatch(/HTTP\/1.1 200 OK[^]*late$/);
  });

  it('and is not there is noticed', async () => {
    let isGone = false;
    handle = (_request, response) => response.once('close', () => (isGone = true));
    await start();
    const client = await rawClient(url);
    await client.send(head('GET /'));
    client.socket.destroy();
    await until(() => isGone);
  });

  it('is not asked if it does not know that answer', async () => {
    handle = (_request, response) => setTimeout(() => response.end('late'), 1500);
    await start();
    const client = await rawClient(url, { halfOpen: true });
    await client.send('GET / HTTP/1.0\r\n\r\n');
    client.socket.end();
    expect(await client.ended()).toMatch(/^HTTP\/1.1 200 OK[^]*late$/);
  });
});

it('many requests on one connection that wait for their answers are too many', async () => {
  let most = 0;
  let refusal: unknown;
  handle = (request, response) => {
    try {
      connections.checkPipeline(request.socket);
      most += 1;
    } catch (error) {
      refusal ??= error;
      response.statusCode = 503;
      response.end();
    }
  };
  await start();
  const client = await rawClient(url);
  await client.send(head('GET /').repeat(200));
  await until(() => refusals.length === 184);
  expect(most).toBe(16);
  expect(new Set(refusals)).toEqual(new Set(['pipelined']));
  expect(refusal).toMatchObject({ code: 'QUEUE_FULL', limit: { name: 'pipelined', value: 16, needed: 17 } });
  client.socket.destroy();
});

it('answers that wait behind another one end with their connection', async () => {
  const closed: string[] = [];
  handle = (request, response) => response.once('close', () => closed.push(request.url!));
  await start();
  const client = await rawClient(url);
  await client.send(head('GET /1') + head('GET /2') + head('GET /3'));
  await until(() => connections.count === 1);
  const drained = connections.drain();
  await sleep(100);
  expect(closed).toEqual([]);
  client.socket.resetAndDestroy();
  await drained;
  expect(closed).toEqual(['/1', '/2', '/3']);
});

it('connections far beyond the limit are dropped', async () => {
  await start({ maxConnections: 2 });
  const clients = await Promise.all(Array.from({ length: 700 }, () => rawClient(url, { halfOpen: true })));
  await until(() => refusals.length >= 698);
  expect(connections.count).toBeLessThanOrEqual(514);
  clients.forEach(({ socket }) => socket.destroy());
});

describe('an answer', () => {
  const large = Buffer.alloc(50_000_000);
  const advance = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 1000) {
      vi.advanceTimersByTime(1000);
      await new Promise(setImmediate);
    }
  };
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    handle = (_request, response) => {
      response.writeHead(200, { 'content-length': large.length });
      let at = 0;
      const next = (): void => {
        while (at < large.length && response.write(large.subarray(at, (at += 32_768)))) continue;
        if (at >= large.length) response.end();
      };
      response.on('drain', next);
      next();
    };
  });

  it('that nobody takes is given up, and its connection is closed', async () => {
    await start();
    const client = await rawClient(url, { reads: false });
    await client.send(head('GET /'));
    await until(() => connections.count === 1);
    await sleep(100);
    await advance(25_000);
    expect(connections.count).toBe(1);
    await advance(10_000);
    await until(() => connections.count === 0);
    expect(refusals).toEqual(['answer_rate']);
    client.socket.destroy();
  });

  it('that is taken slowly is not', async () => {
    await start();
    const client = await rawClient(url, { reads: false });
    await client.send(head('GET /'));
    let taken = 0;
    for (let seconds = 0; taken < large.length; seconds += 20) {
      const before = taken;
      while (taken < Math.min(before + 5_000_000, large.length)) {
        const chunk = client.socket.read() as Buffer | null;
        if (chunk === null) await once(client.socket, 'readable');
        else taken += chunk.length;
      }
      await sleep(20);
      await advance(20_000);
    }
    expect(refusals).toEqual([]);
    client.socket.destroy();
  });

  it('is given up sooner when memory is short', async () => {
    await start();
    const client = await rawClient(url, { reads: false });
    await client.send(head('GET /'));
    await until(() => connections.count === 1);
    await sleep(100);
    await advance(1000);
    connections.giveUpStalled();
    expect(connections.count).toBe(1);
    await advance(3000);
    connections.giveUpStalled();
    await until(() => connections.count === 0);
    expect(refusals).toEqual(['answers_bytes']);
    client.socket.destroy();
  });

  it('that is only long in coming is waited for', async () => {
    let answer: () => void = () => undefined;
    handle = (_request, response) => (answer = () => response.end('late'));
    await start();
    const client = await rawClient(url);
    await client.send(head('GET /'));
    await until(() => connections.count === 1);
    await advance(3_600_000);
    answer();
    await client.receive(/late$/);
    client.socket.destroy();
  });
});
