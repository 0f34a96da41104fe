/**
 * How the server closes, from the first refusal to the last connection. It refuses new requests and waits for the answers
 * that clients are still reading. Only then it stops listening, in a moment when no connection waits to be accepted: the
 * kernel resets those that do. Requests that are on their way on open connections are refused too, and every connection is
 * closed behind its last answer (connections.ts).
 */
import { Server } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../errors.js';
import type { Connections } from './connections.js';
import { listenersOf } from './listeners.js';

/** The longest wait for a moment without new connections. */
const BACKLOG_MS = 5000;
/** In a longer turn of the event loop, connections come in behind its look for them. */
const SHORT_TURN_MS = 1;

/** Returns whether the server is closing. */
export function refuseWhileClosing(app: FastifyInstance, connections: Connections): () => boolean {
  let closing = false;
  let accepted = 0;
  app.server.on('connection', () => (accepted += 1));
  app.addHook('onRequest', (_request, _reply, done) => {
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

  app.addHook('preClose', async () => {
    closing = true;
    await connections.answered();
    if (app.server.listening) {
      await backlogEmpty();
      // Not http's own close, which also closes connections.
      for (const listener of listenersOf(app.server)) Server.prototype.close.call(listener);
    }
    await connections.drain();
  });
  return () => closing;
}
