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
const BACKLOG_MS = 1000;
/** Once the server does not listen any more: how long requests may be on their way, from the last one on. */
const QUIET_MS = 200;
/** The longest wait for such requests and for the ends of their refusals. */
const LAST_REQUESTS_MS = 2000;
const POLL_MS = 10;

export function refuseWhileClosing(app: FastifyInstance): void {
  const answers = new Set<ServerResponse>();
  const connections = new Set<Socket>();
  let closing = false;
  let accepted = 0;
  let lastRequestAt = 0;
  app.server.on('connection', (socket: Socket) => {
    accepted += 1;
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  app.addHook('onRequest', (_request, { raw }, done) => {
    lastRequestAt = performance.now();
    answers.add(raw);
    raw.once('close', () => answers.delete(raw));
    done(closing ? new ServiceError('DRAINING', 'The server is shutting down.') : undefined);
  });
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing) void reply.header('connection', 'close');
    done(null, payload);
  });

  /** Resolves right after the event loop has looked for new connections and found none. */
  async function backlogEmpty(): Promise<void> {
    const giveUpAt = performance.now() + BACKLOG_MS;
    let before: number;
    do {
      before = accepted;
      await nextTurn();
      await nextTurn();
    } while (accepted > before && performance.now() < giveUpAt);
  }

  async function lastRequestsRefused(): Promise<void> {
    const since = performance.now();
    const isQuiet = (): boolean =>
      performance.now() - Math.max(since, lastRequestAt) > QUIET_MS &&
      answers.size === 0 &&
      ![...connections].some(({ writableEnded }) => writableEnded);
    while (connections.size > 0 && !isQuiet() && performance.now() - since < LAST_REQUESTS_MS) await sleep(POLL_MS);
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
