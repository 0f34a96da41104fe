/**
 * Raw bodies, read into buffers that are used again. Otherwise each body becomes garbage outside of JavaScript's heap,
 * and V8 marks the whole heap to free it, on the thread that answers requests.
 *
 * A buffer has one request at a time. It goes back when the answer has left completely: an answer is sent after
 * everything that the request started has ended, and what other processes were given of the body are copies. In every
 * other case (the client left, the body broke off) the buffer is dropped, and the collector frees it.
 */
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ServiceError } from '../errors.js';
import { createBufferPool } from '../buffer-pool.js';

/** Bytes of the buffers that wait for the next bodies. */
const MAX_FREE_BYTES = 64 * 2 ** 20;
/** Shorter bodies are not worth a buffer of their own. */
const MIN_BYTES = 32 * 2 ** 10;

/**
 * Let a server take bodies of any type that no other parser takes, as a Buffer that is valid until the answer is sent.
 */
export function acceptRawBodies(app: FastifyInstance, { maxBytes }: { readonly maxBytes: number }): void {
  const buffers = createBufferPool(MAX_FREE_BYTES);
  const held = new WeakMap<FastifyRequest, ArrayBuffer>();

  // Lengths above the limit have been refused before: see holdBodies in http-server.ts.
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) => {
    const length = Number(request.headers['content-length']);
    if (!(length >= MIN_BYTES)) return readChunks(payload, maxBytes);
    const buffer = buffers.acquire(length);
    const body = Buffer.from(buffer, 0, length);
    await readInto(body, payload);
    held.set(request, buffer);
    return body;
  });

  // Fastify calls this for answers that left completely, not for clients that hung up before.
  app.addHook('onResponse', (request, reply, done) => {
    const buffer = held.get(request);
    held.delete(request);
    if (buffer !== undefined && reply.raw.writableFinished) buffers.recycle(buffer);
    done();
  });
}

/** Fill `body`. Throws INVALID_REQUEST if the stream does not have exactly its length. */
async function readInto(body: Buffer, payload: IncomingMessage): Promise<void> {
  let at = 0;
  await consume(payload, (chunk) => {
    chunk.copy(body, at);
    at += chunk.length;
  });
  // Bytes of an earlier body must never pass for a part of this one.
  if (at !== body.length)
    throw new ServiceError('INVALID_REQUEST', 'The length of the body differs from its Content-Length.');
}

/** Read a body that is short, or of unknown length. Throws BODY_TOO_LARGE. */
async function readChunks(payload: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  await consume(payload, (chunk) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxBytes) throw new ServiceError('BODY_TOO_LARGE', `The body is larger than ${maxBytes} bytes.`);
  });
  return Buffer.concat(chunks);
}

/**
 * Hand each chunk to `take`. Rejects with what `take` throws, and leaves the stream open, so that it can be answered.
 */
function consume(payload: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      try {
        take(chunk);
      } catch (error) {
        onError(error as Error);
      }
    };
    const onEnd = (): void => end(resolve);
    const onError = (error: Error): void => end(() => reject(error));
    const end = (settle: () => void): void => {
      payload.off('data', onData).off('end', onEnd).off('error', onError);
      settle();
    };
    payload.on('data', onData).on('end', onEnd).on('error', onError);
  });
}
