/**
 * Answers on their way out. Large ones leave in pieces, each when the client has taken the one before: so the bytes queued
 * at a connection are few, and it shows how fast the client takes them. The answers that are held for clients have a budget
 * together, and so has what others are made from while they leave (pieces.ts); when it is used up, the connections are given
 * up first whose clients take nothing.
 */
import { Readable } from 'node:stream';
import { sourceBytesOf } from './pieces.js';
import type { FastifyReply, onSendHookHandler } from 'fastify';

/** Bytes of a piece: more than a client must take in the window of its pace. */
const PIECE_BYTES = 2 ** 15;

export interface Sending {
  /** Bytes of the answers that are being taken, and of what the others are made from. */
  readonly held: number;
  /** A route's last `onSend` hook. */
  readonly inPieces: onSendHookHandler;
}

/** `onFull` is called when the answers that are held have more than `budget` bytes. */
export function createSending(budget: number, onFull: () => void): Sending {
  let held = 0;

  function hold({ raw }: FastifyReply, bytes: number): void {
    // Its client has left: nobody would say when to let go.
    if (raw.closed || raw.destroyed) return;
    held += bytes;
    raw.once('close', () => (held -= bytes));
    if (held > budget) onFull();
  }

  return {
    get held() {
      return held;
    },
    inPieces(_request, reply, payload, done) {
      const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
      if (!Buffer.isBuffer(bytes) || bytes.length <= PIECE_BYTES) {
        if (payload instanceof Readable) hold(reply, sourceBytesOf(payload));
        done(null, payload);
        return;
      }
      hold(reply, bytes.length);
      void reply.header('content-length', bytes.length);
      done(null, Readable.from(piecesOf(bytes), { objectMode: false, highWaterMark: PIECE_BYTES }));
    },
  };
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
