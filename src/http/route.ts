/**
 * The definition of a route, said once: its address, what it takes, what it answers and how it fails. Both the server
 * (router.ts) and the OpenAPI document (openapi.ts) are made from it, so neither knows a route that the other does not.
 *
 * A new route is a file in routes/ and a line in routes/index.ts. Routes that ask about images are made with
 * image-route.ts, and routes that answer with maps with map-route.ts.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Config } from '../config.js';
import type { ErrorCode } from '../errors.js';
import type { Audience } from './access.js';
import { variesBy } from './cross-origin.js';
import { checkSigned } from './from-url/signed-requests.js';
import { parseParameters, type QuerySchema } from './parameters.js';
import type { RouteParts } from './parts.js';

/**
 * A body in one media type: a zod schema with an id, a JSON Schema, or `{}` if there is nothing to say about it. `encoding`
 * beside a JSON Schema is what the parts of a form are, as OpenAPI has it.
 */
export type Form = z.ZodType | Readonly<Record<string, unknown>>;

/** By media type. */
export type Forms = Readonly<Record<string, Form>>;

/** A header of an answer. */
export interface Header {
  readonly description: string;
  /** Absent: not every such answer has it. */
  readonly required?: true;
  /** A JSON Schema; absent: a text. */
  readonly schema?: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly description: string;
  readonly content?: Forms;
  /** By name, besides those of every answer. */
  readonly headers?: Readonly<Record<string, Header>>;
}

interface Address<Path extends string> {
  readonly method: 'GET' | 'POST';
  /** As fastify takes it: `/v1/models/:name`. */
  readonly path: Path;
  /** Answers have ETags, and a client that has the answer already gets 304 (revalidation.ts). */
  readonly revalidated?: boolean;
  /** Whom the route is for. */
  readonly audience: Audience;
  /** Whether signed addresses are for it, and those alone where there are keys for them (from-url/signed-requests.ts). */
  readonly isSigned?: boolean | undefined;
  /** Whether a server with these settings has it; absent: every server. */
  readonly isServed?: ((config: Config) => boolean) | undefined;
  /** It tells whether the server works, and answers wherever somebody may ask that: reach.ts. */
  readonly isProbe?: boolean;
}

/** What the API's description says about a route besides its address. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  /** Absent: the route ignores the query. */
  readonly query?: QuerySchema<unknown>;
  readonly body?: { readonly description: string; readonly content: Forms };
  /** By status. If an answer has several forms, the route chooses by Accept. JSON is written by its schema. */
  readonly answers: Readonly<Record<number, Answer>>;
  readonly errors?: readonly ErrorCode[];
}

/** What a route is given. */
export interface Asked<Query, Path extends string = string> {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: Query;
  /** The parts of the address that stand for `:name`. */
  readonly params: Readonly<Record<NameIn<Path>, string>>;
}

/** `name` of `/v1/models/:name/load`. */
type NameIn<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | NameIn<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

export interface RouteDefinition<Query, Path extends string = string> extends Address<Path>, Operation {
  readonly query?: QuerySchema<Query>;
  /** How the query is parsed; absent: by its schema. */
  readonly parse?: (schema: QuerySchema<Query>, request: FastifyRequest) => Query;
  /** Returns what a fastify handler returns: the body, the reply, or a promise of one. */
  readonly answer: (parts: RouteParts, asked: Asked<Query, Path>) => unknown;
}

export interface Route extends Address<string> {
  /** Absent: the route is not part of the API and its description. */
  readonly operation?: Operation;
  readonly handle: (parts: RouteParts, request: FastifyRequest, reply: FastifyReply) => unknown;
}

/**
 * A route of the API.
 *
 * @example
 * export const getModel = route({
 *   method: 'GET',
 *   path: '/v1/models/:name',
 *   audience: 'models',
 *   operationId: 'getModel',
 *   summary: 'One model, with its labels',
 *   answers: { 200: json(modelDetail) },
 *   errors: ['MODEL_NOT_FOUND'],
 *   answer: ({ registry }, { params }) => registry.entry(params.name),
 * });
 */
export function route<Query, const Path extends string>({
  method,
  path,
  revalidated = false,
  audience,
  isSigned = false,
  isServed,
  isProbe = false,
  parse = (schema, request) => parseParameters(schema, request.query),
  answer,
  ...operation
}: RouteDefinition<Query, Path>): Route {
  const choosesForm = Object.values(operation.answers).some(({ content = {} }) => Object.keys(content).length > 1);
  return {
    method,
    path,
    revalidated,
    audience,
    isSigned,
    isServed,
    isProbe,
    operation,
    handle(parts, request, reply) {
      // First, because refusals depend on Accept, too.
      if (choosesForm) variesBy(reply, 'Accept');
      if (isSigned) {
        // Answers may be kept by caches, and say so themselves.
        void reply.header('cache-control', 'no-store');
        checkSigned(request, parts);
      }
      const { query: schema } = operation;
      const query = schema === undefined ? (undefined as Query) : parse(schema, request);
      return answer(parts, { request, reply, query, params: request.params as Asked<Query, Path>['params'] });
    },
  };
}

/** An answer that is JSON. */
export function json(schema: Form, description = 'OK', headers: Answer['headers'] = {}): Answer {
  return { description, headers, content: { 'application/json': schema } };
}
