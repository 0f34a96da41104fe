/**
 * The log of refusals that come in hundreds a second. A line for each would take time from what is answered, and say the same again
 * and again: a full server refuses everybody alike, and each client has been told why. So the first ones of a second have their lines,
 * and one line says how many more there were.
 */
import type { FastifyBaseLogger } from 'fastify';

/** Refusals that have lines of their own, in each window. */
const LINES = 20;
const WINDOW_MS = 1000;

export interface RefusalLog {
  /** A request has been refused. `write` writes its lines. */
  refused(write: (logger: FastifyBaseLogger) => void): void;
}

export function createRefusalLog(logger: FastifyBaseLogger): RefusalLog {
  let inWindow = 0;
  function endWindow(): void {
    const requests = inWindow - LINES;
    inWindow = 0;
    if (requests > 0) logger.warn({ requests }, 'requests were refused without lines of their own: the server is full');
  }
  return {
    refused(write) {
      inWindow += 1;
      if (inWindow === 1) setTimeout(endWindow, WINDOW_MS).unref();
      if (inWindow <= LINES) write(logger);
    },
  };
}
