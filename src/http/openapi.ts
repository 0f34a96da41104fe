/**
 * The OpenAPI 3.1 document, made from the zod schemas that validate requests and serialize answers. `npm run openapi`
 * writes it to openapi/openapi.json; CI fails when the committed file differs.
 */
import { z } from 'zod';
import { ERROR_TABLE, type ErrorCode } from '../errors.js';
import { VERSION } from '../version.js';
import { imagesBody } from './image-bodies.js';
import { classifyParameters, heatmapParameters, segmentParameters } from './parameters.js';
import { PROBLEM_MEDIA_TYPE, problemSchema } from './problem.js';
import { classifyResponse, heatmapResponse, modelDetail, modelsResponse, segmentResponse } from './schemas.js';

type Json = Record<string, unknown>;

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif', 'image/tiff'] as const;
const REQUEST_ERRORS = ['INVALID_REQUEST', 'MODEL_NOT_FOUND', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const;
const IMAGE_ERRORS = ['IMAGE_UNDECODABLE', 'IMAGE_TOO_LARGE', 'OUTPUT_UNSUPPORTED'] as const;
const LOAD_ERRORS = ['INFERENCE_FAILED', 'QUEUE_FULL', 'DRAINING', 'WORKER_LOST', 'DEADLINE_EXCEEDED'] as const;

/** Of the routes that revalidation.ts answers. */
const UNCHANGED = { 304: { description: 'What the client has, by the ETag in If-None-Match, is still the answer' } };

export function openapiDocument(): Json {
  const image = {
    requestBody: {
      required: true,
      description: 'One image as the body, whatever its Content-Type; or many, as multipart parts or as base64 in JSON',
      content: {
        ...Object.fromEntries([...IMAGE_TYPES, 'application/octet-stream'].map((type) => [type, {}])),
        'multipart/form-data': {
          schema: {
            type: 'object',
            properties: {
              image: { type: 'array', items: { type: 'string', contentMediaType: 'application/octet-stream' } },
            },
          },
        },
        'application/json': { schema: reference(imagesBody) },
      },
    },
  };
  const modelName = { name: 'name', in: 'path', required: true, schema: { type: 'string' } };
  const administration = {
    parameters: [modelName],
    security: [{ administrator: [] }],
    responses: { 200: jsonAnswer(modelDetail), ...problems(['UNAUTHENTICATED', 'MODEL_NOT_FOUND']) },
  };
  const text = (description: string, type: string): Json => ({ 200: { description, content: { [type]: {} } } });

  return {
    openapi: '3.1.0',
    info: {
      title: 'fullconv',
      version: VERSION,
      description: 'Any image classifier as a classifier and as a dense heatmap machine.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      '/v1/classify': {
        post: {
          operationId: 'classify',
          summary: 'The top-k classes of one or many images',
          parameters: queryParameters(classifyParameters),
          ...image,
          responses: {
            200: jsonAnswer(classifyResponse),
            ...problems([...REQUEST_ERRORS, ...IMAGE_ERRORS, ...LOAD_ERRORS]),
          },
        },
      },
      '/v1/heatmap': {
        post: {
          operationId: 'heatmap',
          summary: 'Class maps: where in the image each class is',
          parameters: queryParameters(heatmapParameters),
          ...image,
          responses: {
            200: {
              description:
                'A picture at the size of the photo, the maps as JSON, or as an array float32 [classes, h, w]',
              content: {
                'image/png': {},
                'image/webp': {},
                'image/avif': {},
                'application/json': { schema: reference(heatmapResponse) },
                'application/x-npy': {},
              },
            },
            ...problems([...REQUEST_ERRORS, 'CLASS_NOT_FOUND', 'NOT_ACCEPTABLE', ...IMAGE_ERRORS, ...LOAD_ERRORS]),
          },
        },
      },
      '/v1/segment': {
        post: {
          operationId: 'segment',
          summary: 'The winning class of every position',
          parameters: queryParameters(segmentParameters),
          ...image,
          responses: {
            200: {
              description:
                'One colour a class at the size of the photo, the legend as JSON, or class indices as uint16 [h, w] (65535: unlabelled)',
              content: {
                'image/png': {},
                'image/webp': {},
                'image/avif': {},
                'application/json': { schema: reference(segmentResponse) },
                'application/x-npy': {},
              },
            },
            ...problems([...REQUEST_ERRORS, 'NOT_ACCEPTABLE', ...IMAGE_ERRORS, ...LOAD_ERRORS]),
          },
        },
      },
      '/v1/models': {
        get: {
          operationId: 'listModels',
          summary: 'What can be asked',
          responses: { 200: jsonAnswer(modelsResponse), ...UNCHANGED },
        },
      },
      '/v1/models/{name}': {
        get: {
          operationId: 'getModel',
          summary: 'One model, with its labels',
          parameters: [modelName],
          responses: { 200: jsonAnswer(modelDetail), ...UNCHANGED, ...problems(['MODEL_NOT_FOUND']) },
        },
      },
      '/v1/models/{name}/load': {
        post: { operationId: 'loadModel', summary: 'Load or reload a model from its folder', ...administration },
      },
      '/v1/models/{name}/unload': {
        post: {
          operationId: 'unloadModel',
          summary: 'Finish the work in flight and close the model',
          ...administration,
        },
      },
      '/livez': {
        get: { operationId: 'live', summary: 'The process is alive', responses: text('Alive', 'application/json') },
      },
      '/readyz': {
        get: {
          operationId: 'ready',
          summary: 'Requests can be answered',
          responses: { ...text('Ready', 'application/json'), 503: { description: 'Not ready, or shutting down' } },
        },
      },
      '/metrics': {
        get: { operationId: 'metrics', summary: 'Prometheus metrics', responses: text('Metrics', 'text/plain') },
      },
      '/openapi.json': {
        get: {
          operationId: 'openapi',
          summary: 'This document',
          responses: { ...text('OpenAPI 3.1', 'application/json'), ...UNCHANGED },
        },
      },
    },
    components: {
      securitySchemes: { administrator: { type: 'http', scheme: 'bearer' } },
      schemas: componentSchemas(),
    },
  };
}

/** Responses by status; codes that share a status share a response. */
function problems(codes: readonly ErrorCode[]): Json {
  const statuses = [...new Set(codes.map((code) => ERROR_TABLE[code].status))];
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: codes
          .filter((code) => ERROR_TABLE[code].status === status)
          .map((code) => `${code}: ${ERROR_TABLE[code].title}`)
          .join('; '),
        content: { [PROBLEM_MEDIA_TYPE]: { schema: reference(problemSchema) } },
      },
    ]),
  );
}

function jsonAnswer(schema: z.ZodType): Json {
  return { description: 'OK', content: { 'application/json': { schema: reference(schema) } } };
}

function reference(schema: z.ZodType): Json {
  return { $ref: `#/components/schemas/${schema.meta()?.id ?? ''}` };
}

/** Query parameters of a zod object: what its output side takes, so that coercion does not show. */
function queryParameters(schema: z.ZodObject): Json[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...type } = property as Json;
    return { name, in: 'query', description, schema: type };
  });
}

/** Every schema that carries an id, with references between them. */
function componentSchemas(): Json {
  const all = z.object({
    imagesBody,
    problemSchema,
    classifyResponse,
    heatmapResponse,
    segmentResponse,
    modelsResponse,
    modelDetail,
  });
  const { $defs = {} } = z.toJSONSchema(all);
  const text = JSON.stringify($defs).replaceAll('#/$defs/', '#/components/schemas/');
  const definitions = JSON.parse(text) as Record<string, Json>;
  return Object.fromEntries(
    Object.entries(definitions)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, { id: _, ...schema }]) => [name, schema]),
  );
}
