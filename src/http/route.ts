/**
 * What a route is, said once: its address, what it takes, what it answers and how it fails. The server is made from that
 * (router.ts), and so is the OpenAPI document (openapi.ts): neither knows a route that the other does not.
 *
 * A new route is a file in routes/ and a line in routes/index.ts. Routes that ask about images begin with image-route.ts,
 * those that answer with maps with map-route.ts.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { ErrorCode } from '../errors.js';
import { authorize } from './administration.js';
import { variesBy } from './cross-origin.js';
import { parseParameters, type QuerySchema } from './parameters.js';
import type { RouteParts } from './parts.js';

/** A body in one media type: a zod schema with an id, a JSON Schema, or `{}` where there is nothing to say of it. */
export type Form = z.ZodType | Readonly<Record<string, unknown>>;

/** By media type. */
export type Forms = Readonly<Record<string, Form>>;

export interface Answer {
  readonly description: string;
  readonly content?: Forms;
}

interface Address<Path extends string> {
  readonly method: 'GET' | 'POST';
  /** As fastify takes it: `/v1/models/:name`. */
  readonly path: Path;
  /** Answers have ETags, and a client that has the answer already gets 304 (revalidation.ts). */
  readonly revalidated?: boolean;
  /** Whom the route is for; absent: everybody. */
  readonly security?: 'administrator' | undefined;
}

/** What the API's description says of a route besides its address. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  /** Without it the route takes no notice of the query. */
  readonly query?: QuerySchema<unknown>;
  readonly body?: { readonly description: string; readonly content: Forms };
  /** By status. Where one has several forms the route chooses by Accept. JSON is written by its schema. */
  readonly answers: Readonly<Record<number, Answer>>;
  readonly errors?: readonly ErrorCode[];
}

/** What comes in. */
export interface Asked<Query, Path extends string = string> {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: Query;
  /** What stands in the address in the place of `:name`. */
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
  /** What a fastify handler returns: the body, the reply, or a promise of one. */
  readonly answer: (parts: RouteParts, asked: Asked<Query, Path>) => unknown;
}

export interface Route extends Address<string> {
  /** Absent: the route is no part of the API, and its description says nothing of it. */
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
  security,
  answer,
  ...operation
}: RouteDefinition<Query, Path>): Route {
  const choosesForm = Object.values(operation.answers).some(({ content = {} }) => Object.keys(content).length > 1);
  return {
    method,
    path,
    revalidated,
    security,
    operation,
    handle(parts, request, reply) {
      // Refusals, too, are those of one form.
      if (choosesForm) variesBy(reply, 'Accept');
      if (security === 'administrator') authorize(request, parts.config);
      const { query: schema } = operation;
      const query = schema === undefined ? (undefined as Query) : parseParameters(schema, request.query);
      return answer(parts, { request, reply, query, params: request.params as Asked<Query, Path>['params'] });
    },
  };
}

/** An answer that is JSON. */
export function json(schema: Form, description = 'OK'): Answer {
  return { description, content: { 'application/json': schema } };
}
