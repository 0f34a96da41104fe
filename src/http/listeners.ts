/**
 * Where a server listens: at one address, or for `localhost` at both of this machine's own, of IPv4 and IPv6. Whichever address
 * a connection comes by, it is one of the server's, with the same limits and the same end. (Fastify would make a server of its
 * own for each further address.) So is the listener that administration may have: which routes answer there, reach.ts knows.
 *
 * Source: RFC 6761, section 6.3 (localhost is these addresses, whatever a list of hosts says).
 */
import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';

/** Those that listen besides the server itself. */
const others = new WeakMap<HttpServer, Server[]>();
/** Where administration is listened for, if it has a listener of its own. */
const administration = new WeakMap<HttpServer, Server>();

export interface ListenAt {
  readonly host: string;
  readonly port: number;
}

const LOOPBACK = '127.0.0.1';
const LOOPBACK_6 = '::1';
/** A machine without IPv6. */
const NO_SUCH_ADDRESS = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/** Rejects if the first address cannot be had. The other of localhost is left out where it cannot. */
export async function listen(app: FastifyInstance, { host, port }: ListenAt): Promise<void> {
  const isLocal = host.toLowerCase() === 'localhost';
  await app.listen({ host: isLocal ? LOOPBACK : host, port });
  if (!isLocal) return;
  const { port: taken } = app.server.address() as AddressInfo;
  await listenToo(app.server, { host: LOOPBACK_6, port: taken }).catch((error: unknown) => {
    if (NO_SUCH_ADDRESS.includes((error as NodeJS.ErrnoException).code ?? '')) return;
    app.log.warn({ err: error }, 'only 127.0.0.1 is listened at, not ::1');
  });
}

/** Listen for administration, too. Rejects if the address cannot be had. */
export async function listenForAdministration(app: FastifyInstance, at: ListenAt): Promise<void> {
  administration.set(app.server, await listenToo(app.server, at));
}

/** The port that administration is listened for at; undefined if it has none of its own. */
export function portOfAdministration(server: HttpServer): number | undefined {
  return (administration.get(server)?.address() as AddressInfo | null | undefined)?.port;
}

/** All that take connections for a server, itself among them. */
export function listenersOf(server: HttpServer): readonly Server[] {
  return [server, ...(others.get(server) ?? [])];
}

async function listenToo(server: HttpServer, at: ListenAt): Promise<Server> {
  // As Node's servers of HTTP and of TLS are, and as connections.ts wants them.
  const allowHalfOpen = !(server instanceof TlsServer);
  const other = createServer({ allowHalfOpen, noDelay: true }, (socket) => server.emit('connection', socket));
  other.maxConnections = server.maxConnections;
  other.listen(at);
  await once(other, 'listening');
  other.on('drop', (what) => server.emit('drop', what)).on('error', (error) => server.emit('error', error));
  others.set(server, [...(others.get(server) ?? []), other]);
  return other;
}
