/**
 * Errors as responses: RFC 9457 `application/problem+json`, made from the table in errors.ts. What a ServiceError says
 * is public; its cause, and everything that is not a ServiceError, only goes to the log. This holds for what fastify and
 * Node themselves refuse, too.
 */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ERROR_TABLE, ServiceError, toServiceError, type ErrorCode } from '../errors.js';
import { ClientGoneError } from './request.js';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

export const problemSchema = z
  .object({
    type: z.string().describe('Identifies the kind of problem: about:blank, the code says more'),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    instance: z.string().optional().describe('The id of the request, as in X-Request-Id'),
    code: z.enum(Object.keys(ERROR_TABLE) as [ErrorCode, ...ErrorCode[]]),
    errors: z.array(z.object({ parameter: z.string(), detail: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

export type Problem = z.output<typeof problemSchema>;

/** The body for an error. `instance` is the id of the request. */
export function problemOf(error: ServiceError, instance?: string): Problem {
  const { status, title } = ERROR_TABLE[error.code];
  return {
    type: 'about:blank',
    title,
    status,
    detail: error.message,
    ...(instance === undefined ? {} : { instance }),
    code: error.code,
    ...(error.errors.length === 0 ? {} : { errors: [...error.errors] }),
  };
}

/** What fastify raises while it reads a request: its 4xx are the client's, anything else is ours. */
function fromFastify(error: FastifyError): ServiceError {
  const { statusCode = 500, message } = error;
  if (statusCode === 413) return new ServiceError('BODY_TOO_LARGE', message, { cause: error });
  if (statusCode >= 400 && statusCode < 500) return new ServiceError('INVALID_REQUEST', message, { cause: error });
  return toServiceError(error);
}

/** Fastify's error handler: log what is internal, answer what is public. */
export function handleError(error: FastifyError | ServiceError, request: FastifyRequest, reply: FastifyReply): void {
  if (error instanceof ClientGoneError || reply.raw.destroyed) {
    request.log.debug('the client has gone');
    reply.hijack();
    reply.raw.destroy();
    return;
  }
  const failure = error instanceof ServiceError ? error : fromFastify(error);
  if (failure.status === 500) request.log.error({ err: failure.cause ?? failure }, 'inference failed');
  else if (failure.status > 500) request.log.warn({ code: failure.code }, failure.message);
  if (failure.status === 401) void reply.header('www-authenticate', 'Bearer');
  if (failure.status === 503) void reply.header('retry-after', String(failure.retryAfterS ?? 1));
  // Before the hooks ran (a broken URL, say) nobody has set this yet.
  void reply.header('x-request-id', request.id);
  void reply
    .code(failure.status)
    .type(PROBLEM_MEDIA_TYPE)
    .serializer(JSON.stringify)
    .send(problemOf(failure, request.id));
}

/** Requests that Node's parser refuses never reach fastify: an answer by hand, and the connection is closed. */
export function handleClientError(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const timedOut = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const detail = timedOut
    ? 'The request did not come in in time.'
    : 'The request is not valid HTTP, or its headers are too large.';
  const body = JSON.stringify(problemOf(new ServiceError('INVALID_REQUEST', detail)));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: ${PROBLEM_MEDIA_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
