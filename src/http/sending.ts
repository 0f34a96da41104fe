/**
 * Answers on their way out. Large ones leave in pieces, each when the client has taken the one before: so the bytes queued
 * at a connection are few, and it shows how fast the client takes them. The answers that are held for clients have a budget
 * together; when it is used up, the connections are given up first whose clients take nothing.
 */
import { Readable } from 'node:stream';
import type { onSendHookHandler } from 'fastify';

/** Bytes of a piece: more than a client must take in the window of its pace. */
const PIECE_BYTES = 2 ** 15;

export interface Sending {
  /** Bytes of the answers that are being taken. */
  readonly held: number;
  /** A route's last `onSend` hook. */
  readonly inPieces: onSendHookHandler;
}

/** `onFull` is called when the answers that are held have more than `budget` bytes. */
export function createSending(budget: number, onFull: () => void): Sending {
  let held = 0;
  return {
    get held() {
      return held;
    },
    inPieces(_request, reply, payload, done) {
      const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
      if (!Buffer.isBuffer(bytes) || bytes.length <= PIECE_BYTES) {
        done(null, payload);
        return;
      }
      held += bytes.length;
      reply.raw.once('close', () => (held -= bytes.length));
      if (held > budget) onFull();
      void reply.header('content-length', bytes.length);
      done(null, Readable.from(piecesOf(bytes), { objectMode: false, highWaterMark: PIECE_BYTES }));
    },
  };
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
