/**
 * The routes that ask about images: what all of them take, how each begins, and how they answer for many images. A
 * request's query, model and number of images are checked before anything is decoded. What is asked again may be answered from
 * the cache (response-cache.ts): so routes return their answers, and do not send them.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Asker } from '../batching/expected-wait.js';
import type { ErrorCode, ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { RequestContext } from '../inference/request-context.js';
import type { Asked as AskedOf } from '../inference/statistics.js';
import type { Timing } from '../inference/timing.js';
import { SCORES } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { sendAnswer, type MadeAnswer } from './answer.js';
import { answerOnce } from './answer-once.js';
import { clientAddress, holderOf } from './client-address.js';
import { joinParameters } from './form-fields.js';
import { imagesOrForm, isForm, withImages } from './image-bodies.js';
import { flag, integer, list, number, oneOf, parseParameters, withoutRules, type QuerySchema } from './parameters.js';
import type { RouteParts } from './parts.js';
import { problemOf } from './problem.js';
import { announcedLength, WORTH_DISCARDING_BYTES } from './receive-body.js';
import {
  askerOf,
  holdImages,
  limitPasses,
  longestWaitMs,
  modelReference,
  requestContext,
  roundTiming,
  waitForModel,
} from './request.js';
import { route, type Route, type RouteDefinition } from './route.js';

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
const LOAD_ERRORS = [
  'INFERENCE_FAILED',
  'QUEUE_FULL',
  'MODEL_NOT_READY',
  'DRAINING',
  'WORKER_LOST',
  'DEADLINE_EXCEEDED',
] as const;

/** Query parameters of every such route. */
export const imageParameters = {
  model: z.string().min(1).optional().describe("A name from /v1/models; absent: the server's default model"),
  version: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A version of the model, by its number or by one of its labels; absent: the one with the label stable, otherwise the highest that can answer',
    ),
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
  readonly version?: string | undefined;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly priority: number;
  readonly deadlineMs?: number | undefined;
}

export interface ImageQuestion<Query> {
  readonly query: Query;
  readonly images: readonly ImageInput[];
  readonly context: RequestContext;
  /** Its sessions stay open until the answer is there. */
  readonly model: CompiledModel;
  /** The form that the answer will have. */
  readonly mediaType: string;
}

export interface ImageRouteDefinition<Query> extends Omit<
  RouteDefinition<Query>,
  'method' | 'audience' | 'body' | 'query' | 'errors' | 'answer'
> {
  readonly query: QuerySchema<Query>;
  /** Errors besides those of every such route. */
  readonly errors?: readonly ErrorCode[];
  /** What it asks of a model. */
  readonly asked: AskedOf;
  /** The form of the answer for so many images; absent: JSON. */
  readonly negotiate?: (request: FastifyRequest, query: Query, images: number) => string;
  /** The query as all queries are that ask the same; absent: as it is. */
  readonly canonical?: (query: Query, model: CompiledModel) => object;
  readonly answer: (parts: RouteParts, question: ImageQuestion<Query>) => Promise<MadeAnswer>;
}

export function imageRoute<Query extends ImageQuery>({
  errors = [],
  asked: askedOf,
  negotiate = () => 'application/json',
  canonical = (query) => query,
  answer,
  ...definition
}: ImageRouteDefinition<Query>): Route {
  const { query: schema, path } = definition;
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
      const { access, config, registry, known, bodies, metrics, ending, cache, keyOf } = parts;
      const { request, reply, query: inQuery } = asked;
      const arrived = performance.now() - reply.elapsedTime;
      const deadlineOf = ({ deadlineMs = Infinity }: ImageQuery): number => arrived + deadlineMs;
      const client = holderOf(clientAddress(request.raw, config.trustedProxies));
      const asker = (query: ImageQuery): Asker => askerOf(query, client, reply.raw.socket, config);
      // Before its body is read: what is refused then costs next to nothing.
      registry.check(inQuery.model, inQuery.version);
      if (!isForm(request)) known.add(request, reply, inQuery);
      // A full server may have the answer. A short body would be read in any case, for the sake of the connection.
      const mayBeKept = cache.isOn && (announcedLength(request.raw) ?? Infinity) <= WORTH_DISCARDING_BYTES;
      const checkWait = (query: ImageQuery): void => admission.checkWait(longestWaitMs(query, config), asker(query));
      if (!mayBeKept) checkWait(inQuery);
      const places = holdImages(access.callerOf(request.raw)?.quota);
      const reading = { bodies, metrics, limits: config, client, deadline: deadlineOf(inQuery) };
      const answering = withImages(asked, reading, async (images, fields) => {
        const query = isForm(request) ? parseParameters(schema, joinParameters(request.query, fields)) : inQuery;
        if (Object.keys(fields).length > 0) {
          registry.check(query.model, query.version);
          if (!mayBeKept) checkWait(query);
        }
        limitPasses(images.length * query.scale.length, config.maxImages);
        places.take(images.length);
        const context = requestContext(reply, {
          ...asker(query),
          deadline: Math.min(deadlineOf(query), performance.now() + config.deadlineMs),
          ending,
          budget: access.budgetFor(request.raw),
        });
        const mediaType = negotiate(request, query, images.length);
        const passes = images.length * query.scale.length * (query.flip ? 2 : 1);
        const answerBy = (model: CompiledModel): Promise<MadeAnswer> => {
          const key = () => keyOf({ route: path, mediaType, model, parameters: canonical(query, model), images });
          return answerOnce(parts, { model, asked: askedOf, context, key }, () => {
            if (mayBeKept) checkWait(query);
            return answer(parts, { query, images, context, model, mediaType });
          });
        };
        const wait = waitForModel(admission, passes, context);
        // The model is free again before the answer leaves: that may take as long as the client likes.
        const made = await registry.use(query.model, answerBy, { version: query.version, wait });
        return sendAnswer(reply, made);
      });
      return answering.finally(() => places.giveBack());
    },
  });
}

interface FailedImage {
  readonly name: string;
  readonly problem: ServiceError;
}

/** Whether every image has a result. */
export function areWhole(results: readonly object[]): boolean {
  return results.every((result) => !('problem' in result));
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
