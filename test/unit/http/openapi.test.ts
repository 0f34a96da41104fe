import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openapiDocument } from '../../../src/http/openapi.js';
import { flag, integer } from '../../../src/http/parameters.js';
import { json, route, type Route } from '../../../src/http/route.js';

const part = z.object({ size: z.number() }).meta({ id: 'Part' });
const thing = z.object({ parts: z.array(part) }).meta({ id: 'Thing' });

const getThing = route({
  method: 'GET',
  path: '/v1/boxes/:box/things/:thing',
  revalidated: true,
  audience: 'everybody',
  operationId: 'getThing',
  summary: 'One thing',
  query: z.strictObject({
    depth: integer(1, 9).default(2).describe('How deep'),
    all: flag.optional(),
    key: z.string(),
  }),
  answers: { 200: json(thing) },
  errors: ['NOT_FOUND', 'MODEL_NOT_FOUND', 'QUEUE_FULL'],
  answer: (_parts, { params }) => `${params.box} ${params.thing}`,
});

const addThing = route({
  method: 'POST',
  path: '/v1/boxes/:box/things/:thing',
  audience: 'admin',
  operationId: 'addThing',
  summary: 'A new thing',
  body: { description: 'The thing', content: { 'application/json': thing, 'image/png': {} } },
  answers: { 200: { description: 'Done' } },
  answer: () => undefined,
});

/** What the document says of the routes' one address. */
function described(...routes: Route[]) {
  const { paths, components } = openapiDocument(routes) as unknown as {
    paths: Record<string, Record<string, Record<string, unknown>>>;
    components: { schemas: Record<string, unknown> };
  };
  return { paths, schemas: components.schemas, operations: paths['/v1/boxes/{box}/things/{thing}']! };
}

describe('the OpenAPI document', () => {
  it('has the methods of an address together, and its parameters as OpenAPI writes them', () => {
    const { paths, operations } = described(getThing, addThing);
    expect(Object.keys(paths)).toEqual(['/v1/boxes/{box}/things/{thing}']);
    expect(Object.keys(operations)).toEqual(['get', 'post']);
    expect(operations['get']!['parameters']).toEqual([
      { name: 'box', in: 'path', required: true, schema: { type: 'string' } },
      { name: 'thing', in: 'path', required: true, schema: { type: 'string' } },
      {
        name: 'depth',
        in: 'query',
        description: 'How deep',
        schema: { default: 2, type: 'integer', minimum: 1, maximum: 9 },
      },
      { name: 'all', in: 'query', description: undefined, schema: { type: 'boolean' } },
      { name: 'key', in: 'query', required: true, description: undefined, schema: { type: 'string' } },
      { name: 'If-None-Match', in: 'header', description: expect.any(String) as string, schema: { type: 'string' } },
    ]);
  });

  it('says how a route fails by status, also before it is reached, and that it is not asked in vain', () => {
    const { operations } = described(getThing);
    const responses = operations['get']!['responses'] as Record<string, { description: string }>;
    expect(Object.entries(responses).map(([status, { description }]) => [status, description])).toEqual([
      ['200', 'OK'],
      ['304', 'The client already has the answer: If-None-Match names its ETag'],
      ['400', 'INVALID_REQUEST: The request is malformed'],
      ['403', 'FORBIDDEN: The request is not allowed'],
      ['404', 'NOT_FOUND: There is nothing at this address; MODEL_NOT_FOUND: No such model'],
      ['408', 'REQUEST_TIMEOUT: The request did not arrive in time'],
      ['429', 'RATE_LIMITED: The client asks for too much at once'],
      ['431', 'HEADERS_TOO_LARGE: The headers of the request are too large'],
      ['503', 'QUEUE_FULL: The server is at capacity; DRAINING: The server is shutting down'],
    ]);
  });

  it('has an answer of the route and its problems of the same status together', () => {
    const probe = route({
      method: 'GET',
      path: '/v1/boxes/:box/things/:thing',
      audience: 'everybody',
      operationId: 'probe',
      summary: 'Whether it is there',
      answers: { 200: json(thing), 503: json(thing, 'It is not') },
      answer: () => undefined,
    });
    const responses = described(probe).operations['get']!['responses'] as Record<string, object>;
    expect(responses['503']).toMatchObject({
      description: 'It is not; QUEUE_FULL: The server is at capacity; DRAINING: The server is shutting down',
      content: {
        'application/json': { schema: { $ref: '#/components/schemas/Thing' } },
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      },
    });
    // Only its problems say when to come again.
    expect(responses['503']).not.toHaveProperty(['headers', 'Retry-After']);
  });

  it('names the headers of answers, those of the route among them', () => {
    const { operations } = described(
      route({
        method: 'GET',
        path: '/v1/boxes/:box/things/:thing',
        revalidated: true,
        audience: 'admin',
        operationId: 'getThing',
        summary: 'One thing',
        answers: {
          200: json(thing, 'OK', {
            Colour: { description: 'Of the thing', required: true, schema: { enum: ['red'] } },
          }),
        },
        answer: () => undefined,
      }),
    );
    const responses = operations['get']!['responses'] as Record<string, { headers: object }>;
    const shared = (name: string): object => ({ $ref: `#/components/headers/${name}` });
    const id = { 'X-Request-Id': shared('X-Request-Id') };
    expect(responses['200']!.headers).toEqual({
      ...id,
      ETag: shared('ETag'),
      'RateLimit-Policy': shared('RateLimit-Policy'),
      RateLimit: shared('RateLimit'),
      Colour: { description: 'Of the thing', required: true, schema: { enum: ['red'] } },
    });
    expect(responses['304']!.headers).toEqual({ ...id, ETag: shared('ETag') });
    expect(responses['401']!.headers).toEqual({ ...id, 'WWW-Authenticate': shared('WWW-Authenticate') });
    expect(responses['403']!.headers).toEqual(id);
    expect(responses['503']!.headers).toEqual({ ...id, 'Retry-After': shared('Retry-After') });
  });

  it('says for whom a route is, and what it takes', () => {
    const { post } = described(addThing).operations;
    expect(post).toMatchObject({
      security: [{ bearer: ['admin'] }, { apiKey: ['admin'] }],
      requestBody: {
        required: true,
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } }, 'image/png': {} },
      },
      responses: { 200: { description: 'Done' }, 401: {} },
    });
  });

  it('has the schemas of all bodies, and those that they are made of', () => {
    const { schemas } = described(getThing);
    expect(Object.keys(schemas)).toEqual(['Part', 'Problem', 'Thing']);
    expect(JSON.stringify(schemas['Thing'])).toContain('#/components/schemas/Part');
  });

  it('says nothing of what is no part of the API', () => {
    const page: Route = { method: 'GET', path: '/', audience: 'everybody', handle: () => undefined };
    expect(described(page).paths).toEqual({});
  });

  it('wants a body’s schema to have an id', () => {
    const nameless = route({
      method: 'GET',
      path: '/',
      audience: 'everybody',
      operationId: 'nameless',
      summary: '',
      answers: { 200: json(z.object({})) },
      answer: () => ({}),
    });
    expect(() => openapiDocument([nameless])).toThrow('needs an id');
  });
});
