/**
 * The routes that ask about images: what all of them take, how each begins, and how they answer for many images. A
 * request's query, model and number of images are checked before anything is decoded. What is asked again may be answered from
 * the cache (response-cache.ts): so routes return their answers, and do not send them. Each has a second route, which fetches
 * an image from a URL (from-url/url-route.ts).
 */
import { z } from 'zod';
import type { ServiceError } from '../errors.js';
import type { Timing } from '../inference/timing.js';
import { SCORES } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import { sendAnswer } from './answer.js';
import { joinParameters } from './form-fields.js';
import { urlRoute } from './from-url/url-route.js';
import { imagesOrForm, isForm, withImages } from './image-bodies.js';
import {
  answerQuestion,
  arrivalOf,
  keyOfQuestion,
  mediaTypeOf,
  withModel,
  type ImageQuery,
  type ImageRouteDefinition,
} from './image-request.js';
import { flag, integer, list, number, oneOf, parseParameters, withoutRules } from './parameters.js';
import { problemOf } from './problem.js';
import { announcedLength, WORTH_DISCARDING_BYTES } from './receive-body.js';
import { holdImages, limitPasses, modelReference, roundTiming } from './request.js';
import { route, type Route } from './route.js';

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

/** The route that takes images, and the one that fetches an image from a URL. */
export function imageRoutes<Query extends ImageQuery>(
  definition: ImageRouteDefinition<Query>,
): readonly [Route, Route] {
  return [postRoute(definition), urlRoute(definition)];
}

function postRoute<Query extends ImageQuery>(definition: ImageRouteDefinition<Query>): Route {
  const { query: schema, path, operationId, summary, answers, errors = [] } = definition;
  return route<Query, string>({
    ...{ path, operationId, summary, answers, query: schema },
    method: 'POST',
    audience: 'infer',
    body: imagesOrForm(schema),
    errors: [...REQUEST_ERRORS, ...errors, ...IMAGE_ERRORS, ...LOAD_ERRORS],
    // A form may have other parameters: the rules between them wait for it.
    parse: (_, request) => parseParameters(isForm(request) ? withoutRules(schema) : schema, request.query),
    answer(parts, asked) {
      const { access, config, registry, known, bodies, metrics, cache } = parts;
      const { request, reply, query: inQuery } = asked;
      const arrival = arrivalOf(parts, asked);
      // Before its body is read: what is refused then costs next to nothing.
      registry.check(inQuery.model, inQuery.version);
      if (!isForm(request)) known.add(request, reply, inQuery);
      // A full server may have the answer. A short body would be read in any case, for the sake of the connection.
      const mayBeKept = cache.isOn && (announcedLength(request.raw) ?? Infinity) <= WORTH_DISCARDING_BYTES;
      if (!mayBeKept) arrival.checkWait(inQuery);
      const places = holdImages(access.callerOf(request.raw)?.quota);
      const reading = {
        ...{ bodies, metrics, limits: config, client: arrival.client },
        deadline: arrival.deadlineOf(inQuery),
      };
      const answering = withImages(asked, reading, async (images, fields) => {
        const query = isForm(request) ? parseParameters(schema, joinParameters(request.query, fields)) : inQuery;
        if (Object.keys(fields).length > 0) {
          registry.check(query.model, query.version);
          if (!mayBeKept) arrival.checkWait(query);
        }
        limitPasses(images.length * query.scale.length, config.maxImages);
        places.take(images.length);
        const context = arrival.context(query, config.deadlineMs);
        const mediaType = mediaTypeOf(definition, request, query, images.length);
        const check = (): void => {
          if (mayBeKept) arrival.checkWait(query);
        };
        // The model is free again before the answer leaves: that may take as long as the client likes.
        const made = await withModel(parts, { query, images, context }, (model) => {
          const question = { query, images, context, model, mediaType };
          return answerQuestion(parts, definition, question, () => keyOfQuestion(parts, definition, question), check);
        });
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
