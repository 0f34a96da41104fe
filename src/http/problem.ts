/**
 * Errors as responses: RFC 9457 `application/problem+json`, made from the table in errors.ts. What a ServiceError says
 * is public; its cause, and everything that is not a ServiceError, only goes to the log.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ERROR_TABLE, ServiceError, toServiceError, type ErrorCode } from '../errors.js';

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

/** Errors that fastify itself raises while it reads a request, by its error code. */
const FASTIFY_ERRORS: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_REQ_FILE_TOO_LARGE: 'BODY_TOO_LARGE',
  FST_FILES_LIMIT: 'INVALID_REQUEST',
  FST_PARTS_LIMIT: 'INVALID_REQUEST',
};

function fromFastify(error: FastifyError): ServiceError {
  const code = FASTIFY_ERRORS[error.code];
  if (code !== undefined) return new ServiceError(code, `${error.message}.`.replace(/\.\.$/, '.'), { cause: error });
  const { statusCode } = error;
  if (statusCode === 413) return new ServiceError('BODY_TOO_LARGE', error.message, { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ServiceError('INVALID_REQUEST', error.message, { cause: error });
  }
  return toServiceError(error);
}

/** Fastify's error handler: log what is internal, answer what is public. */
export function handleError(error: FastifyError | ServiceError, request: FastifyRequest, reply: FastifyReply): void {
  const failure = error instanceof ServiceError ? error : fromFastify(error);
  if (failure.status === 500) request.log.error({ err: failure.cause ?? failure }, 'inference failed');
  else if (failure.status > 500) request.log.warn({ code: failure.code }, failure.message);
  if (failure.retryAfterS !== undefined && failure.status !== 504) {
    void reply.header('retry-after', String(failure.retryAfterS));
  }
  void reply
    .code(failure.status)
    .type(PROBLEM_MEDIA_TYPE)
    .serializer(JSON.stringify)
    .send(problemOf(failure, request.id));
}
