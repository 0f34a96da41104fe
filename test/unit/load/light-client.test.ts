import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { lightClient, type LightClient } from '../../../load/light-client.js';
import type { PreparedRequest } from '../../../load/traffic.js';

let server: Server;
let client: LightClient;
afterEach(() => {
  client.close();
  server.close();
});

async function serve(listener: RequestListener): Promise<void> {
  server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = lightClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

const request: PreparedRequest = {
  ...{ method: 'POST', path: '/v1/classify?model=a', headers: { Accept: 'x/y', 'Content-Length': '1' } },
  body: Buffer.alloc(300_000, 7),
};

it('sends a request whole, and gives the status of the answer', async () => {
  await serve((incoming, response) => {
    const { method, url, headers } = incoming;
    void incoming.toArray().then((pieces: Buffer[]) => {
      const isWhole = Buffer.concat(pieces).equals(request.body);
      const isRight = isWhole && method === 'POST' && url === request.path && headers.accept === 'x/y';
      response.writeHead(isRight ? 200 : 400, { 'content-length': 6 }).end('answer');
    });
  });
  expect(await Promise.all([client.send(request), client.send(request)])).toEqual([200, 200]);
});

it('uses a connection again behind an answer that came before the body had left', async () => {
  let connections = 0;
  await serve((incoming, response) => {
    response.writeHead(503, { 'content-length': 6 });
    response.write('abc');
    setImmediate(() => response.end('def'));
    incoming.resume();
  });
  server.on('connection', () => (connections += 1));
  for (let time = 0; time < 5; time++) {
    expect(await client.send(request)).toBe(503);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(connections).toBeLessThan(5);
});

it('opens another where the server closes, and says where no answer comes', async () => {
  await serve((incoming, response) => {
    if (incoming.headers.accept === 'nothing') incoming.socket.destroy();
    else
      incoming.resume().on('end', () => response.writeHead(200, { connection: 'close', 'content-length': 1 }).end('x'));
  });
  expect(await client.send(request)).toBe(200);
  expect(await client.send({ ...request, headers: { accept: 'nothing' } })).toBeUndefined();
  expect(await client.send(request)).toBe(200);
});
