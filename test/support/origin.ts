/** A server that images are fetched from, which does what a test tells it to, good or bad. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Behaviour = (response: ServerResponse, request: IncomingMessage) => void;

export interface Origin {
  /** `127.0.0.1:1234` */
  readonly host: string;
  readonly port: number;
  /** What was asked of it. */
  readonly requests: IncomingMessage[];
  /** Connections that are open now. */
  readonly open: number;
  /** Say what a path answers; all others answer 404. */
  on(path: string, behaviour: Behaviour): void;
  close(): Promise<void>;
}

export async function startOrigin(): Promise<Origin> {
  const behaviours = new Map<string, Behaviour>();
  const requests: IncomingMessage[] = [];
  let open = 0;
  const server = createServer((request, response) => {
    requests.push(request);
    const behaviour = behaviours.get(request.url ?? '');
    if (behaviour === undefined) response.writeHead(404).end('a secret page');
    else behaviour(response, request);
  });
  server.on('connection', (socket) => {
    open += 1;
    socket.on('close', () => (open -= 1)).on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    port,
    requests,
    get open() {
      return open;
    },
    on: (path, behaviour) => void behaviours.set(path, behaviour),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
