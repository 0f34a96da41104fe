/**
 * Raw bodies, read into buffers that are used again. What a body is copied into would else be garbage that the collector
 * of JavaScript's heap has to find: at a hundred photographs a second it marks the whole heap several times a second for
 * them, on the thread that answers requests (`npm run load -- --models resnet18`: 1.05 times the images a second).
 *
 * A buffer goes back when the answer has been sent, and a request is answered when nothing of it runs any more. Where the
 * client has left before, the buffer is not used again.
 */
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ServiceError } from '../errors.js';
import { createBufferPool } from '../buffer-pool.js';

/** Of buffers that wait for the next bodies. */
const MAX_FREE_BYTES = 64 * 2 ** 20;
/** Shorter bodies are no burden, and would be many. */
const MIN_BYTES = 32 * 2 ** 10;

/** Teach a server to take bodies of any type that no other parser takes, as a Buffer, until the answer has been sent. */
export function acceptRawBodies(app: FastifyInstance, { maxBytes }: { readonly maxBytes: number }): void {
  const buffers = createBufferPool(MAX_FREE_BYTES);
  const held = new WeakMap<FastifyRequest, ArrayBuffer>();

  // Fastify has refused lengths above the limit before.
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) => {
    const length = Number(request.headers['content-length']);
    if (!(length >= MIN_BYTES)) return readChunks(payload, maxBytes);
    const buffer = buffers.acquire(length);
    const body = Buffer.from(buffer, 0, length);
    await readInto(body, payload);
    held.set(request, buffer);
    return body;
  });

  app.addHook('onResponse', (request, reply, done) => {
    const buffer = held.get(request);
    if (buffer !== undefined && reply.raw.writableFinished) done();
  });
}

/** Fill `body`; Node ends the stream with an error where less than its Content-Length has come. */
async function readInto(body: Buffer, payload: IncomingMessage): Promise<void> {
  let at = 0;
  await consume(payload, (chunk) => {
    at += chunk.copy(body, at);
  });
  if (at !== body.length) throw new ServiceError('INVALID_REQUEST', 'The body is shorter than its Content-Length.');
}

/** A body that is short, or of unknown length. Throws BODY_TOO_LARGE. */
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

/** Hand each chunk to `take`, to the end. What `take` throws ends it; the stream is left as it is, to be answered. */
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
