/**
 * Errors as responses: RFC 9457 `application/problem+json`, made from the table in errors.ts. The message of a
 * ServiceError is public. Its cause, and every other error, goes only to the log. This also holds for requests that
 * fastify itself refuses. What Node's parser refuses never reaches fastify: connections.ts.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ClientGoneError, ERROR_TABLE, LIMITS, ServiceError, toServiceError, type ErrorCode } from '../errors.js';
import { meaningsOf, wordsOf } from '../vocabulary.js';
import { CODINGS } from './content-coding.js';
import { isOpenInference, openInferenceError, openInferenceStatus } from './open-inference/error-form.js';
import { notesOf } from './request-notes.js';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

export const problemSchema = z
  .object({
    type: z.string().describe('Always about:blank: the code identifies the kind of problem'),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    instance: z.string().optional().describe('The id of the request, as in X-Request-Id'),
    code: z.enum(Object.keys(ERROR_TABLE) as [ErrorCode, ...ErrorCode[]]),
    errors: z.array(z.object({ parameter: z.string(), detail: z.string() })).optional(),
    limit: z
      .object({
        name: z.enum(wordsOf(LIMITS)).describe(`What is limited. ${meaningsOf(LIMITS)}`),
        value: z.number().describe('The limit, in the unit of its name'),
        needed: z
          .number()
          .optional()
          .describe('What the request needs, or the least that is known of it; absent if nothing is known'),
      })
      .optional()
      .describe('The limit that the request goes beyond, if that is why it is refused'),
  })
  .meta({ id: 'Problem' });

export type Problem = z.output<typeof problemSchema>;

/** The body for an error. `instance` is the id of the request. */
export function problemOf(
  error: Pick<ServiceError, 'code' | 'message' | 'errors' | 'limit'>,
  instance?: string,
): Problem {
  const { status, title } = ERROR_TABLE[error.code];
  return {
    type: 'about:blank',
    title,
    status,
    detail: error.message,
    ...(instance === undefined ? {} : { instance }),
    code: error.code,
    ...(error.errors.length === 0 ? {} : { errors: [...error.errors] }),
    ...(error.limit === undefined ? {} : { limit: { ...error.limit } }),
  };
}

/** An error that fastify raises while it reads a request: a 4xx is the client's fault, anything else is ours. */
function fromFastify(error: FastifyError): ServiceError {
  const { statusCode = 500, message } = error;
  if (statusCode === 413) return new ServiceError('BODY_TOO_LARGE', message, { cause: error });
  if (statusCode >= 400 && statusCode < 500) return new ServiceError('INVALID_REQUEST', message, { cause: error });
  return toServiceError(error);
}

/** Fastify's error handler: logs internal errors, and answers with their public part. */
export function handleError(error: FastifyError | ServiceError, request: FastifyRequest, reply: FastifyReply): void {
  if (error instanceof ClientGoneError || reply.raw.destroyed) {
    request.log.debug('the client has gone');
    reply.hijack();
    reply.raw.destroy();
    return;
  }
  const failure = error instanceof ServiceError ? error : fromFastify(error);
  notesOf(request.raw).code = failure.code;
  if (failure.status === 500) request.log.error({ err: failure.cause ?? failure }, 'inference failed');
  else if (failure.status > 500) request.log.warn({ code: failure.code }, failure.message);
  if (failure.code === 'UNSUPPORTED_ENCODING') void reply.header('accept-encoding', CODINGS.join(', '));
  if (failure.status === 401 && !reply.hasHeader('www-authenticate')) void reply.header('www-authenticate', 'Bearer');
  if (failure.retryAfterS !== undefined) void reply.header('retry-after', String(failure.retryAfterS));
  // A request that fails before the hooks run (for a broken URL, say) does not have these yet.
  void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
  if (isOpenInference(request)) {
    void reply
      .code(openInferenceStatus(failure))
      .type('application/json')
      .serializer(JSON.stringify)
      .send(openInferenceError(failure));
    return;
  }
  void reply
    .code(failure.status)
    .type(PROBLEM_MEDIA_TYPE)
    .serializer(JSON.stringify)
    .send(problemOf(failure, request.id));
}
