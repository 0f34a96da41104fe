/**
 * An answer with status 200 as a value: what describes it, and its body, before anything is sent. So it can be kept, and
 * sent again to others (response-cache.ts).
 */
import type { FastifyReply } from 'fastify';
import { ClientGoneError } from '../errors.js';
import { nextTurn } from '../turns.js';
import { sendPieces, type Piece } from './pieces.js';

/** By name in lower case; Content-Type is among them. */
export type AnswerHeaders = Readonly<Record<string, string | number>>;

/** A body that is made while it leaves (pieces.ts). */
export interface PiecedBody {
  readonly pieces: Iterator<Piece, void>;
  /** The memory that they are made from. */
  readonly sourceBytes: number;
}

export interface MadeAnswer {
  readonly headers: AnswerHeaders;
  readonly body: string | Uint8Array | PiecedBody;
  /** Whether it is the answer to that question at any time: no image of it has failed. */
  readonly isWhole: boolean;
  /** JSON that ends with the time that it took. */
  readonly isTimed: boolean;
}

/** The same, with all of its body. */
export interface WholeAnswer extends MadeAnswer {
  readonly body: Uint8Array;
}

/** As fastify writes it for an object. */
export const JSON_TYPE = 'application/json; charset=utf-8';

/** Throws ClientGoneError if the connection has closed: fastify would wait for that for ever. */
export function sendAnswer(reply: FastifyReply, { headers, body }: Pick<MadeAnswer, 'headers' | 'body'>): FastifyReply {
  if (reply.raw.destroyed) throw new ClientGoneError();
  void reply.headers(headers);
  if (typeof body === 'string' || body instanceof Uint8Array) return reply.send(body);
  return sendPieces(reply, body.pieces, body.sourceBytes);
}

/**
 * Make all of an answer's body, in turns of the event loop. `grow` is told how many bytes it has come to with each piece, and
 * says whether that is still worth it; if it is not, the answer that is returned has its body in pieces, those that were made among them.
 */
export async function gather(
  answer: MadeAnswer,
  grow: (moreBytes: number) => boolean,
): Promise<WholeAnswer | (MadeAnswer & { readonly body: PiecedBody })> {
  const { body } = answer;
  if (typeof body === 'string') return { ...answer, body: Buffer.from(body) };
  if (body instanceof Uint8Array) return { ...answer, body };
  const { pieces, sourceBytes } = body;
  const made: Uint8Array[] = [];
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return { ...answer, body: Buffer.concat(made) };
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    made.push(bytes);
    if (!grow(bytes.length)) return { ...answer, body: { pieces: continued(made, pieces), sourceBytes } };
    // A short answer has one piece.
    if (made.length > 1) await nextTurn();
  }
}

function* continued(made: readonly Piece[], rest: Iterator<Piece, void>): Generator<Piece, void, void> {
  try {
    yield* made;
    for (;;) {
      const { done, value } = rest.next();
      if (done) return;
      yield value;
    }
  } finally {
    rest.return?.();
  }
}

const TIMING = '"timing":';
/** Nothing was decoded, waited for or run. */
const NO_TIMING = '"timing":{"decodeMs":0,"queueMs":0,"inferMs":0,"batchSize":0}}';

/** The same answer for a request that nothing was computed for. Its body lies in memory of its own, and pins no other. */
export function untimed(answer: WholeAnswer): WholeAnswer {
  const { body, isTimed } = answer;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const text = isTimed ? NO_TIMING : '';
  const end = isTimed ? bytes.lastIndexOf(TIMING) : bytes.length;
  const own = Buffer.allocUnsafeSlow(end + text.length);
  own.set(bytes.subarray(0, end));
  own.write(text, end);
  return { ...answer, body: own };
}
