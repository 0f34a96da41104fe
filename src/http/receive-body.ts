/**
 * Receives a request's body, chunk by chunk, and holds the client to its pace. A body that is too large, too slow or in
 * countless tiny chunks is refused as soon as that is known; the rest of it is then discarded as it comes, so that the
 * refusal can be read (lingering-close.ts).
 *
 * What cuts a body short comes here too: Node tells of broken framing and of time limits on the connection
 * (connections.ts), and the request fails as any other, with one answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ClientGoneError, ServiceError } from '../errors.js';
import { createPace, PACE_MS } from './pace.js';
import type { Refusal } from './refusals.js';

export interface ReceiveOptions {
  /** Of the whole body. */
  readonly maxBytes: number;
  /** Longest time for the body to arrive. */
  readonly timeoutMs: number;
  /** Bytes a second, on average over PACE_MS; 0 for any. */
  readonly minRate: number;
  /** When the client wants no answer any more, in milliseconds of `performance.now()`. */
  readonly deadline: number;
  readonly onRefused: (refusal: Refusal) => void;
}

/** Chunks that a body may have however short they are. */
const FREE_CHUNKS = 10_000;
/** The mean length of the chunks of a body that has more: each costs as much as some hundred bytes. */
const MIN_CHUNK_BYTES = 64;

/** Most bytes of an unread body that are worth reading on for, so that the connection can be used again. */
export const WORTH_DISCARDING_BYTES = 2 ** 20;

const receiving = new WeakMap<Socket, (error: ServiceError) => void>();

/** Fail the body that is being received from this connection, if there is one. */
export function failBody(socket: Socket, error: ServiceError): void {
  receiving.get(socket)?.(error);
}

/** Whether a request has a body, or may have one. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The length that a request announces; undefined if it does not. */
export function announcedLength({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return headers['transfer-encoding'] === undefined && length !== undefined ? Number(length) : undefined;
}

/**
 * Hand each chunk of a body to `take`, which must not keep it; where it returns a promise, the next chunk waits for that.
 * Rejects with what `take` throws, and with BODY_TOO_LARGE, REQUEST_TIMEOUT, DEADLINE_EXCEEDED, INVALID_REQUEST or
 * ClientGoneError. Then nothing more is handed on.
 */
export function receiveBody(
  request: IncomingMessage,
  response: ServerResponse,
  take: (chunk: Buffer) => void | Promise<void>,
  { maxBytes, timeoutMs, minRate, deadline, onRefused }: ReceiveOptions,
): Promise<void> {
  const tooLarge = (needed: number): ServiceError => {
    onRefused('body_bytes');
    return new ServiceError('BODY_TOO_LARGE', `The body has more than ${maxBytes} bytes, which is the limit.`, {
      limit: { name: 'body_bytes', value: maxBytes, needed },
    });
  };
  // Nobody says so again.
  if (request.destroyed) return Promise.reject(new ClientGoneError());
  const length = announcedLength(request);
  if (length !== undefined && length > maxBytes) return Promise.reject(tooLarge(length));
  // Only now: a client that waits for this sends no body that is refused.
  if (request.headers.expect !== undefined && !response.headersSent) response.writeContinue();

  return new Promise((resolve, reject) => {
    const started = performance.now();
    const pace = createPace(minRate);
    let received = 0;
    let chunks = 0;
    let timer: NodeJS.Timeout | undefined;

    const onData = (chunk: Buffer): void => {
      received += chunk.length;
      chunks += 1;
      try {
        if (received > maxBytes) throw tooLarge(received);
        if (chunks > FREE_CHUNKS && received < chunks * MIN_CHUNK_BYTES) {
          onRefused('body_chunks');
          throw new ServiceError('INVALID_REQUEST', 'The body comes in too many chunks of a few bytes each.');
        }
        const taken = take(chunk);
        if (taken === undefined) return;
        request.pause();
        taken.then(() => request.resume(), fail);
      } catch (error) {
        fail(error as Error);
      }
    };
    const onEnd = (): void => {
      settle();
      resolve();
    };
    const onGone = (): void => fail(new ClientGoneError());
    const fail = (error: Error): void => {
      settle();
      request.resume();
      reject(error);
    };
    const settle = (): void => {
      clearTimeout(timer);
      receiving.delete(request.socket);
      request.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      // An error that comes later, such as that of a client that leaves, has been dealt with.
      request.on('error', () => undefined);
    };

    /** Look again when the first of the limits can be exceeded. */
    const watch = (): void => {
      const now = performance.now();
      const left = Math.min(started + timeoutMs, deadline) - now;
      if (now >= deadline) {
        fail(new ServiceError('DEADLINE_EXCEEDED', 'The deadline passed before the body had come.'));
      } else if (left <= 0) {
        onRefused('request_time');
        const limit = { name: 'request_time', value: timeoutMs } as const;
        fail(new ServiceError('REQUEST_TIMEOUT', `The body did not arrive within ${timeoutMs} ms.`, { limit }));
      } else if (pace.isTooSlow(received, now)) {
        onRefused('body_rate');
        const detail = `The body came with less than ${minRate} bytes a second over ${PACE_MS / 1000} s.`;
        fail(new ServiceError('REQUEST_TIMEOUT', detail, { limit: { name: 'body_rate', value: minRate } }));
      } else {
        timer = setTimeout(watch, Math.min(left, PACE_MS / 2));
      }
    };

    receiving.set(request.socket, fail);
    request.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
    watch();
  });
}
