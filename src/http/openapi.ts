/**
 * The OpenAPI 3.1 document, collected from the routes. It shows the same schemas that validate requests and write
 * answers. `npm run openapi` writes it to openapi/openapi.json; CI fails if the committed file differs.
 */
import { z } from 'zod';
import { ERROR_TABLE, type ErrorCode } from '../errors.js';
import type { Scope } from '../keys/keys-file.js';
import { VERSION } from '../version.js';
import type { ApiDocument } from './api-reference.js';
import type { QuerySchema } from './parameters.js';
import { PROBLEM_MEDIA_TYPE, problemSchema } from './problem.js';
import type { Answer, Form, Forms, Header, Operation, Route } from './route.js';

type Json = Record<string, unknown>;

/** What is refused before any route is reached. */
const OF_EVERY_ROUTE: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'FORBIDDEN',
  'REQUEST_TIMEOUT',
  'RATE_LIMITED',
  'HEADERS_TOO_LARGE',
  'QUEUE_FULL',
  'DRAINING',
];

/** The headers that several answers share, by name. Each answer that lists one has it. */
const HEADERS = {
  'X-Request-Id': "The client's own, if it is safe to print, or a new one",
  ETag: 'Of the answer, for If-None-Match',
  'Retry-After': 'Seconds after which a retry is worth it',
  'WWW-Authenticate': 'The scheme that is asked for, Bearer, and why',
  'RateLimit-Policy': 'The quotas of the key, where it has some: draft-ietf-httpapi-ratelimit-headers',
  RateLimit: 'What is left of them',
  'Accept-Encoding': 'Where the Content-Encoding is not supported: those that are',
} as const;

/** Two kinds of refusals share the status of the first; only keys have quotas. */
const NOT_ALWAYS: readonly string[] = ['Accept-Encoding', 'RateLimit-Policy', 'RateLimit'];

type SharedHeader = keyof typeof HEADERS;

/** What a request with a key says, where the server asks for keys. */
const KEY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
} as const;

/** Of signed addresses, in the place of a key. */
const SIGNATURE_SCHEME = { signature: { type: 'apiKey', in: 'query', name: 'signature' } } as const;

/** The 304 answer of routes with revalidation.ts. */
const UNCHANGED: Answer = { description: 'The client already has the answer: If-None-Match names its ETag' };

const IF_NONE_MATCH = {
  name: 'If-None-Match',
  in: 'header',
  description: 'ETags of answers that the client has, or *: it gets 304 while one of them holds',
  schema: { type: 'string' },
} as const;

type DescribedRoute = Route & { readonly operation: Operation };

/**
 * Describe the routes that are part of the API, in their order. Their addresses are relative to that of the document, unless they are
 * below a base path of the server's own.
 */
export function openapiDocument(routes: readonly Route[], basePath = ''): ApiDocument {
  const described = routes.filter((route): route is DescribedRoute => route.operation !== undefined);
  const paths: Record<string, Json> = {};
  for (const route of described) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describeRoute(route) };
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'fullconv',
      version: VERSION,
      description: 'Any image classifier as a classifier and as a dense heatmap machine.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: basePath === '' ? '.' : basePath }],
    paths,
    components: {
      securitySchemes: { ...KEY_SCHEMES, ...SIGNATURE_SCHEME },
      headers: Object.fromEntries(
        Object.entries(HEADERS).map(([name, description]) => [
          name,
          describeHeader({ description, ...(NOT_ALWAYS.includes(name) ? {} : { required: true }) }),
        ]),
      ),
      schemas: componentSchemas(described),
    },
  };
  return document as unknown as ApiDocument;
}

function describeRoute({ path, revalidated = false, audience, isSigned = false, operation }: DescribedRoute): Json {
  const { operationId, summary, query, body, answers, errors = [] } = operation;
  const parameters = [
    ...pathParameters(path),
    ...(query === undefined ? [] : queryParameters(query)),
    ...(revalidated || answers[304] !== undefined ? [IF_NONE_MATCH] : []),
  ];
  return {
    operationId,
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, ...describeBody(body) } }),
    ...(audience === 'everybody' ? {} : { security: securityOf(audience, isSigned) }),
    responses: responses(
      revalidated ? { ...answers, 304: UNCHANGED } : answers,
      [...(audience === 'everybody' ? [] : (['UNAUTHENTICATED'] as const)), ...OF_EVERY_ROUTE, ...errors],
      { revalidated, isKeyed: audience !== 'everybody' },
    ),
  };
}

/** Any of them, keys with the scope; where the server asks for no keys, only administration needs one. */
function securityOf(audience: Scope, isSigned: boolean): Json[] {
  const keys = Object.keys(KEY_SCHEMES).map((scheme) => ({ [scheme]: [audience] }));
  const schemes = [...keys, ...(isSigned ? [{ signature: [] }] : [])];
  return audience === 'admin' ? schemes : [...schemes, {}];
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

/** Query parameters of a zod object: those of its output side, so that coercion does not show. */
function queryParameters(schema: QuerySchema<unknown>): Json[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...type } = property as Json;
    const isNeeded = !(schema.shape as Readonly<Record<string, z.ZodType>>)[name]!.safeParse(undefined).success;
    return { name, in: 'query', ...(isNeeded && { required: true }), description, schema: type };
  });
}

function describeBody({ description, content }: Omit<Answer, 'headers'>): Json {
  return { description, ...(content === undefined ? {} : { content: describeForms(content) }) };
}

function describeHeader({ description, required, schema = { type: 'string' } }: Header): Json {
  return { description, ...(required === undefined ? {} : { required }), schema };
}

function describeForms(forms: Forms): Json {
  return Object.fromEntries(Object.entries(forms).map(([type, form]) => [type, describeForm(form)]));
}

function describeForm(form: Form): Json {
  if (form instanceof z.ZodType) return { schema: { $ref: `#/components/schemas/${idOf(form)}` } };
  const { encoding, ...schema } = form;
  return {
    ...(Object.keys(schema).length === 0 ? {} : { schema }),
    ...(encoding === undefined ? {} : { encoding }),
  };
}

/** Responses by status: the route's answers, and its problems. Those that share a status share a response. */
function responses(
  answers: Operation['answers'],
  errors: readonly ErrorCode[],
  { revalidated, isKeyed }: { readonly revalidated: boolean; readonly isKeyed: boolean },
): Json {
  const codes = [...new Set(errors)];
  const statuses = new Set([...Object.keys(answers).map(Number), ...codes.map((code) => ERROR_TABLE[code].status)]);
  return Object.fromEntries(
    [...statuses].map((status) => {
      const answer = answers[status];
      const problems = codes.filter((code) => ERROR_TABLE[code].status === status);
      const shared: SharedHeader[] = [
        'X-Request-Id',
        ...(revalidated && [200, 304].includes(status) ? (['ETag'] as const) : []),
        // The route's own answer does not say it.
        ...(answer === undefined && problems.some((code) => ERROR_TABLE[code].retryable)
          ? (['Retry-After'] as const)
          : []),
        ...(status === 401 ? (['WWW-Authenticate'] as const) : []),
        ...(isKeyed && [200, 429].includes(status) ? (['RateLimit-Policy', 'RateLimit'] as const) : []),
        ...(problems.includes('UNSUPPORTED_ENCODING') ? (['Accept-Encoding'] as const) : []),
      ];
      const headers = {
        ...Object.fromEntries(shared.map((name) => [name, { $ref: `#/components/headers/${name}` }])),
        ...Object.fromEntries(
          Object.entries(answer?.headers ?? {}).map(([name, header]) => [name, describeHeader(header)]),
        ),
      };
      const descriptions = problems.map((code) => `${code}: ${ERROR_TABLE[code].title}`);
      const content = {
        ...answer?.content,
        ...(problems.length === 0 ? {} : { [PROBLEM_MEDIA_TYPE]: problemSchema }),
      };
      return [
        status,
        {
          headers,
          ...describeBody({
            description: [...(answer === undefined ? [] : [answer.description]), ...descriptions].join('; '),
            ...(Object.keys(content).length === 0 ? {} : { content }),
          }),
        },
      ];
    }),
  );
}

/** The schemas of all bodies and of their parts, by id, with references between them. */
function componentSchemas(routes: readonly DescribedRoute[]): Json {
  const bodies = routes.flatMap(({ operation: { body, answers } }) => [body, ...Object.values(answers)]);
  const forms = bodies.flatMap((body) => Object.values(body?.content ?? {}));
  const schemas = [problemSchema, ...forms].filter((form) => form instanceof z.ZodType);
  const { $defs = {} } = z.toJSONSchema(z.object(Object.fromEntries(schemas.map((schema) => [idOf(schema), schema]))));
  const text = JSON.stringify($defs).replaceAll('#/$defs/', '#/components/schemas/');
  const definitions = JSON.parse(text) as Record<string, Json>;
  return Object.fromEntries(
    Object.entries(definitions)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, { id: _, ...schema }]) => [name, schema]),
  );
}

function idOf(schema: z.ZodType): string {
  const id = schema.meta()?.id;
  if (id === undefined) throw new Error('the schema of a body needs an id, by which the document refers to it');
  return id;
}
