/**
 * What all questions about images share, whichever way the image comes: the definition of their route, whose they are and until
 * when, and the way from a question that is in order to its answer.
 */
import type { FastifyRequest } from 'fastify';
import type { Asker } from '../batching/expected-wait.js';
import type { ErrorCode } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import type { RequestContext } from '../inference/request-context.js';
import type { Asked } from '../inference/statistics.js';
import type { CompiledModel } from '../models/compile.js';
import type { MadeAnswer } from './answer.js';
import { answerOnce } from './answer-once.js';
import { clientAddress, holderOf } from './client-address.js';
import type { Exchange } from './image-bodies.js';
import type { QuerySchema } from './parameters.js';
import type { RouteParts } from './parts.js';
import { askerOf, longestWaitMs, requestContext, waitForModel } from './request.js';
import type { RouteDefinition } from './route.js';

/** The parameters that every such route itself needs. */
export interface ImageQuery {
  readonly model?: string | undefined;
  readonly version?: string | undefined;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly priority: number;
  readonly deadlineMs?: number | undefined;
}

/** A question whose parameters are in order. */
export interface CheckedQuestion<Query> {
  readonly query: Query;
  readonly images: readonly ImageInput[];
  readonly context: RequestContext;
  /** The form that the answer will have. */
  readonly mediaType: string;
}

export interface ImageQuestion<Query> extends CheckedQuestion<Query> {
  /** Its sessions stay open until the answer is there. */
  readonly model: CompiledModel;
}

/** What a route adds to what all of them do. */
export interface ImageRouteDefinition<Query> extends Omit<
  RouteDefinition<Query>,
  'method' | 'audience' | 'isSigned' | 'body' | 'query' | 'errors' | 'answer'
> {
  readonly query: QuerySchema<Query>;
  /** Errors besides those of every such route. */
  readonly errors?: readonly ErrorCode[];
  /** What it asks of a model. */
  readonly asked: Asked;
  /** The form of the answer for so many images; absent: JSON. Throws NOT_ACCEPTABLE. */
  readonly negotiate?: (request: FastifyRequest, query: Query, images: number) => string;
  /** The query as all queries are that ask the same; absent: as it is. */
  readonly canonical?: (query: Query, model: CompiledModel) => object;
  readonly answer: (parts: RouteParts, question: ImageQuestion<Query>) => Promise<MadeAnswer>;
}

export function mediaTypeOf<Query>(
  { negotiate }: ImageRouteDefinition<Query>,
  request: FastifyRequest,
  query: Query,
  images: number,
): string {
  return negotiate?.(request, query, images) ?? 'application/json';
}

/** Whose a request is, and how long it may take. */
export interface Arrival {
  /** Whose shares and limits it has. */
  readonly client: string;
  /** When the client wants no answer any more, in milliseconds of `performance.now()`. */
  deadlineOf(query: ImageQuery): number;
  /** Throws QUEUE_FULL if it would wait too long for a worker. */
  checkWait(query: ImageQuery): void;
  /** It lives for so long from now on, in milliseconds, and no longer than its client wants it. */
  context(query: ImageQuery, longestMs: number): RequestContext;
}

export function arrivalOf({ access, config, inference, ending }: RouteParts, { request, reply }: Exchange): Arrival {
  const arrived = performance.now() - reply.elapsedTime;
  const deadlineOf = ({ deadlineMs = Infinity }: ImageQuery): number => arrived + deadlineMs;
  const client = holderOf(clientAddress(request.raw, config.trustedProxies));
  const asker = (query: ImageQuery): Asker => askerOf(query, client, reply.raw.socket, config);
  return {
    client,
    deadlineOf,
    checkWait: (query) => inference.admission.checkWait(longestWaitMs(query, config), asker(query)),
    context: (query, longestMs) =>
      requestContext(reply, {
        ...asker(query),
        deadline: Math.min(deadlineOf(query), performance.now() + longestMs),
        ending,
        budget: access.budgetFor(request.raw),
      }),
  };
}

/** Work with the model that a query names. If it is to be loaded first, the request waits for that as long as it lives. */
export function withModel<T>(
  { registry, inference }: Pick<RouteParts, 'registry' | 'inference'>,
  { query, images, context }: Pick<CheckedQuestion<ImageQuery>, 'query' | 'images' | 'context'>,
  work: (model: CompiledModel) => Promise<T>,
): Promise<T> {
  const passes = images.length * query.scale.length * (query.flip ? 2 : 1);
  const wait = waitForModel(inference.admission, passes, context);
  return registry.use(query.model, work, { version: query.version, wait });
}

/** The key of a question's answer. */
export function keyOfQuestion<Query extends ImageQuery>(
  { keyOf }: Pick<RouteParts, 'keyOf'>,
  { path, canonical = (query) => query }: ImageRouteDefinition<Query>,
  { query, images, model, mediaType }: ImageQuestion<Query>,
): Promise<string> {
  return keyOf({ route: path, mediaType, model, parameters: canonical(query, model), images });
}

/** The answer to a question, or that to the same one before it. `check` is called if it must be computed. */
export function answerQuestion<Query extends ImageQuery>(
  parts: RouteParts,
  { asked, answer }: ImageRouteDefinition<Query>,
  question: ImageQuestion<Query>,
  key: () => Promise<string>,
  check: () => void,
): Promise<MadeAnswer> {
  const { model, context } = question;
  return answerOnce(parts, { model, asked, context, key }, () => {
    check();
    return answer(parts, question);
  });
}
