/**
 * The routes that ask about images: what all of them take, how each begins, and how they answer for many images. A
 * request's query, model and number of images are checked before anything is decoded.
 */
import { z } from 'zod';
import type { Asker } from '../batching/expected-wait.js';
import type { ErrorCode, ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { RequestContext } from '../inference/request-context.js';
import type { Timing } from '../inference/timing.js';
import { SCORES } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { clientAddress, holderOf } from './client-address.js';
import { joinParameters } from './form-fields.js';
import { imagesOrForm, isForm, withImages } from './image-bodies.js';
import { flag, integer, list, number, oneOf, parseParameters, withoutRules, type QuerySchema } from './parameters.js';
import type { RouteParts } from './parts.js';
import { problemOf } from './problem.js';
import {
  askerOf,
  holdImages,
  limitPasses,
  longestWaitMs,
  modelReference,
  requestContext,
  roundTiming,
} from './request.js';
import { route, type Asked, type Route, type RouteDefinition } from './route.js';

const REQUEST_ERRORS = [
  'INVALID_REQUEST',
  'FORBIDDEN',
  'MODEL_NOT_FOUND',
  'REQUEST_TIMEOUT',
  'BODY_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'UNSUPPORTED_ENCODING',
] as const;
const IMAGE_ERRORS = ['IMAGE_UNDECODABLE', 'IMAGE_TOO_LARGE', 'OUTPUT_UNSUPPORTED'] as const;
const LOAD_ERRORS = ['INFERENCE_FAILED', 'QUEUE_FULL', 'DRAINING', 'WORKER_LOST', 'DEADLINE_EXCEEDED'] as const;

/** Query parameters of every such route. */
export const imageParameters = {
  model: z.string().min(1).optional().describe("A name from /v1/models; absent: the server's default model"),
  size: integer(1, 16384).optional().describe("Pixels of the short side; absent: the model's input size"),
  scale: list(number(0.05, 20), 16).default([1]).describe('One or several multipliers of the size, e.g. scale=1,1.5,2'),
  flip: flag.default(false).describe('Also average over the mirrored image'),
  scores: oneOf(SCORES).default('probability'),
  priority: integer(-100, 100).default(0).describe('Higher goes first'),
  deadlineMs: integer(1, 3_600_000)
    .optional()
    .describe("Longest wait, the body's way included; at most the server's own, which begins when the body has come"),
};

/** The parameters that every such route itself needs. */
export interface ImageQuery {
  readonly model?: string | undefined;
  readonly scale: readonly number[];
  readonly priority: number;
  readonly deadlineMs?: number | undefined;
}

export interface ImageQuestion<Query> extends Asked<Query> {
  readonly images: readonly ImageInput[];
  readonly context: RequestContext;
}

export interface ImageRouteDefinition<Query> extends Omit<
  RouteDefinition<Query>,
  'method' | 'audience' | 'body' | 'query' | 'errors' | 'answer'
> {
  readonly query: QuerySchema<Query>;
  /** Errors besides those of every such route. */
  readonly errors?: readonly ErrorCode[];
  readonly answer: (parts: RouteParts, question: ImageQuestion<Query>) => unknown;
}

export function imageRoute<Query extends ImageQuery>({
  errors = [],
  answer,
  ...definition
}: ImageRouteDefinition<Query>): Route {
  const { query: schema } = definition;
  return route<Query, string>({
    ...definition,
    method: 'POST',
    audience: 'infer',
    body: imagesOrForm(schema),
    errors: [...REQUEST_ERRORS, ...errors, ...IMAGE_ERRORS, ...LOAD_ERRORS],
    // A form may have other parameters: the rules between them wait for it.
    parse: (_, request) => parseParameters(isForm(request) ? withoutRules(schema) : schema, request.query),
    async answer(parts, asked) {
      const { admission } = parts.inference;
      const { access, config, registry, known, bodies, metrics, ending } = parts;
      const { request, reply, query: inQuery } = asked;
      const arrived = performance.now() - reply.elapsedTime;
      const deadlineOf = ({ deadlineMs = Infinity }: ImageQuery): number => arrived + deadlineMs;
      const client = holderOf(clientAddress(request.raw, config.trustedProxies));
      const asker = (query: ImageQuery): Asker => askerOf(query, client, reply.raw.socket, config);
      // Before its body is read: what is refused then costs next to nothing.
      registry.get(inQuery.model);
      if (!isForm(request)) known.add(request, reply, inQuery);
      admission.checkWait(longestWaitMs(inQuery, config), asker(inQuery));
      const places = holdImages(access.callerOf(request.raw)?.quota);
      const reading = { bodies, metrics, limits: config, client, deadline: deadlineOf(inQuery) };
      const answering = withImages(asked, reading, (images, fields) => {
        const query = isForm(request) ? parseParameters(schema, joinParameters(request.query, fields)) : inQuery;
        if (Object.keys(fields).length > 0) {
          registry.get(query.model);
          admission.checkWait(longestWaitMs(query, config), asker(query));
        }
        limitPasses(images.length * query.scale.length, config.maxImages);
        places.take(images.length);
        const context = requestContext(reply, {
          ...asker(query),
          deadline: Math.min(deadlineOf(query), performance.now() + config.deadlineMs),
          ending,
          budget: access.budgetFor(request.raw),
        });
        return answer(parts, { ...asked, query, images, context });
      });
      return answering.finally(() => places.giveBack());
    },
  });
}

interface FailedImage {
  readonly name: string;
  readonly problem: ServiceError;
}

/** The body of an answer: for each image its result or its problem. */
export function presentAnswer<Result extends object>(
  model: CompiledModel,
  { results, timing }: { readonly results: readonly (Result | FailedImage)[]; readonly timing: Timing },
  present: (result: Result) => object,
): object {
  return {
    model: modelReference(model),
    results: results.map((result) =>
      'problem' in result ? { name: result.name, problem: problemOf(result.problem) } : present(result),
    ),
    timing: roundTiming({ ...timing }),
  };
}
