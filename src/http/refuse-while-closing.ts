/**
 * How the server closes, from the first refusal to the last connection. It refuses new requests and waits for the answers
 * that clients are still reading. Only then it stops listening, in a moment when no connection waits to be accepted: the
 * kernel resets those that do. Requests that are on their way on open connections are refused too. Then Fastify closes
 * every connection.
 *
 * To close only the idle ones would be wrong twice: Node counts a connection as idle before its answer has left. And it
 * counts a connection that has never sent a request as busy for as long as it lasts; browsers open such connections in
 * advance.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Server, type Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../errors.js';

/** The longest wait for a moment without new connections. */
const BACKLOG_MS = 5000;
/** In a longer turn of the event loop, connections come in behind its look for them. */
const SHORT_TURN_MS = 1;
/** How long the first request of a connection may be on its way. */
const FIRST_REQUEST_MS = 1000;
/** How long another request may be on its way, once the server does not listen any more. */
const NEXT_REQUEST_MS = 200;
/** The longest wait for such requests, and for the ends of their refusals. */
const LAST_REQUESTS_MS = 3000;
const POLL_MS = 10;

export function refuseWhileClosing(app: FastifyInstance): void {
  const answers = new Set<ServerResponse>();
  /** Open connections, and when they were accepted if they have asked nothing yet. */
  const connections = new Map<Socket, number | undefined>();
  let closing = false;
  let accepted = 0;
  let lastRequestAt = 0;
  app.server.on('connection', (socket: Socket) => {
    accepted += 1;
    connections.set(socket, performance.now());
    socket.once('close', () => connections.delete(socket));
  });
  app.addHook('onRequest', ({ socket }, { raw }, done) => {
    lastRequestAt = performance.now();
    if (connections.has(socket)) connections.set(socket, undefined);
    answers.add(raw);
    raw.once('close', () => answers.delete(raw));
    done(closing ? new ServiceError('DRAINING', 'The server is shutting down.') : undefined);
  });
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing) void reply.header('connection', 'close');
    done(null, payload);
  });

  /** Resolves right after the event loop has looked for new connections, found none and done little else. */
  async function backlogEmpty(): Promise<void> {
    // From here on, a turn is a whole one.
    await nextTurn();
    const giveUpAt = performance.now() + BACKLOG_MS;
    for (let now = performance.now(); now < giveUpAt;) {
      const before = accepted;
      const turnedAt = now;
      await nextTurn();
      now = performance.now();
      if (accepted === before && now - turnedAt < SHORT_TURN_MS) return;
    }
  }

  /** Whether a request, or the end of a refusal, may still be on its way. */
  function isExpected(socket: Socket, acceptedAt: number | undefined, now: number): boolean {
    return socket.writableEnded || (acceptedAt !== undefined && now - acceptedAt < FIRST_REQUEST_MS);
  }

  async function lastRequestsRefused(): Promise<void> {
    const since = performance.now();
    for (let now = since; connections.size > 0 && now - since < LAST_REQUESTS_MS; now = performance.now()) {
      const isLate = now - Math.max(since, lastRequestAt) > NEXT_REQUEST_MS;
      const expected = [...connections].some(([socket, acceptedAt]) => isExpected(socket, acceptedAt, now));
      if (isLate && answers.size === 0 && !expected) return;
      await sleep(POLL_MS);
    }
  }

  app.addHook('preClose', async () => {
    closing = true;
    await Promise.all([...answers].map((answer) => once(answer, 'close')));
    if (!app.server.listening) return;
    await backlogEmpty();
    // Not http's own close, which also closes connections.
    Server.prototype.close.call(app.server);
    await lastRequestsRefused();
  });
}
