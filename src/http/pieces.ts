/**
 * Answers that are made in pieces while they leave. A short answer is sent as a whole. A longer one is a stream: a piece is
 * made when the client has read most of those before it, in a turn of the event loop of its own (turns.ts), so that neither
 * memory nor the loop's time depends on the answer's length or on the client's speed. When the client leaves, no further
 * piece is made.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { nextTurn } from '../turns.js';

export type Piece = string | Uint8Array;

/** Bytes, or characters, that wait for the client before no further piece is made. */
const AHEAD = 2 ** 16;

/** What the pieces of a stream are made from. */
const sources = new WeakMap<object, number>();

/**
 * Send an answer. Its status and headers must be set, Content-Length among them if it is known. The pieces may not throw:
 * when the first one has left, there is no way to say what went wrong. `sourceBytes`: the memory that they are made from,
 * and that is held until the last one is.
 */
export function sendPieces(reply: FastifyReply, pieces: Iterator<Piece, void>, sourceBytes: number): FastifyReply {
  const first = pieces.next();
  const second = first.done ? first : pieces.next();
  if (second.done) return reply.send(first.done ? '' : first.value);
  const stream = streamOf(pieces, [first.value as Piece, second.value]);
  sources.set(stream, sourceBytes);
  return reply.send(stream);
}

/** The memory that a payload is made from, if it is made in pieces. */
export function sourceBytesOf(payload: object): number {
  return sources.get(payload) ?? 0;
}

/** The pieces as a stream: those that have been made already, then the others. */
export function streamOf(pieces: Iterator<Piece, void>, made: readonly Piece[] = []): Readable {
  return Readable.from(inTheirTurns(pieces, made), { objectMode: false, highWaterMark: AHEAD });
}

async function* inTheirTurns(pieces: Iterator<Piece, void>, made: readonly Piece[]): AsyncGenerator<Piece> {
  try {
    yield* made;
    for (;;) {
      await nextTurn();
      const { done, value } = pieces.next();
      if (done) return;
      yield value;
    }
  } finally {
    pieces.return?.();
  }
}
