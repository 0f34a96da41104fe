/**
 * GET of a route that asks about images, with the address of one: `?url=`. Everything that can be refused without the image is refused
 * before it is fetched; what decides the answer is known when it has come, so that a client which has the answer already gets 304, and nothing runs.
 *
 * A signed address is for pages of anybody's: caches may keep its answers for an hour, as long as it holds, and pages
 * of other origins may show them. Other answers are for who asked, and asked for again each time. Refusals are not kept.
 *
 * Sources: RFC 9110 section 8.8.3 (ETag) and 13.1.2; RFC 9111 section 5.2.2 (Cache-Control); the Fetch standard
 * (Cross-Origin-Resource-Policy).
 */
import { Readable } from 'node:stream';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ErrorCode } from '../../errors.js';
import { secondsNow } from '../../signed-address.js';
import { sendAnswer } from '../answer.js';
import type { BodyAccount } from '../body-memory.js';
import { withFetched } from '../image-bodies.js';
import {
  answerQuestion,
  arrivalOf,
  keyOfQuestion,
  mediaTypeOf,
  withModel,
  type Arrival,
  type ImageQuery,
  type ImageRouteDefinition,
} from '../image-request.js';
import { integer, parseParameters } from '../parameters.js';
import type { RouteParts } from '../parts.js';
import { holdImages, limitPasses } from '../request.js';
import { names } from '../revalidation.js';
import { route, type Answer, type Route } from '../route.js';
import { mayFetch, sourceOf, type Source } from './allowed-hosts.js';
import { fetchImage } from './fetch-image.js';
import { resolveBySystem } from './guarded-lookup.js';

const urlQuery = z.strictObject({
  url: z
    .string('must be the address of an image, encoded as URLs are')
    .min(1, 'must be the address of an image, encoded as URLs are')
    .describe('The address of the image, of a host of FULLCONV_URL_HOSTS or FULLCONV_URL_PRIVATE_HOSTS'),
  expires: integer(0, 999_999_999_999).optional().describe('Until when a signed address holds, in seconds since 1970'),
  signature: z
    .string()
    .optional()
    .describe(
      'Of the path and the query to the letter but for this parameter: HMAC-SHA256 in base64url, needed where there are FULLCONV_URL_KEYS',
    ),
});

type UrlQuery = z.output<typeof urlQuery>;

/** The longest that caches keep an answer, in seconds: a model or an image may be another by then. */
const MAX_AGE_S = 3600;

const ERRORS: readonly ErrorCode[] = [
  ...(['INVALID_REQUEST', 'FORBIDDEN', 'MODEL_NOT_FOUND', 'METHOD_NOT_ALLOWED', 'BODY_TOO_LARGE'] as const),
  ...(['UNSUPPORTED_MEDIA_TYPE', 'IMAGE_UNDECODABLE', 'IMAGE_NOT_FETCHED', 'IMAGE_TOO_LARGE'] as const),
  ...([
    'OUTPUT_UNSUPPORTED',
    'INFERENCE_FAILED',
    'QUEUE_FULL',
    'DRAINING',
    'WORKER_LOST',
    'DEADLINE_EXCEEDED',
  ] as const),
];

const HEADERS: Answer['headers'] = {
  ETag: { description: 'Of what decides the answer, for If-None-Match', required: true },
  'Cache-Control': { description: 'public with a signed address, otherwise private', required: true },
};

export function urlRoute<Query extends ImageQuery>(definition: ImageRouteDefinition<Query>): Route {
  const { query: schema, path, operationId, summary, answers, errors = [] } = definition;
  const described = Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      { ...answer, headers: { ...answer.headers, ...HEADERS } },
    ]),
  );
  return route<Query & UrlQuery, string>({
    method: 'GET',
    path,
    operationId: `${operationId}Url`,
    summary: `${summary}, of an image at a URL; where FULLCONV_URL_HOSTS names hosts`,
    query: z.strictObject({ ...(schema.shape as z.ZodRawShape), ...urlQuery.shape }) as never,
    answers: { ...described, 304: { description: 'The client already has the answer: If-None-Match names its ETag' } },
    errors: [...ERRORS, ...errors],
    audience: 'infer',
    isSigned: true,
    isServed: mayFetch,
    parse(_, { query }) {
      const { url, expires, signature, ...asked } = query as Readonly<Record<string, unknown>>;
      const ofUrl = Object.entries({ url, expires, signature }).filter(([, value]) => value !== undefined);
      return { ...parseParameters(urlQuery, Object.fromEntries(ofUrl)), ...parseParameters(schema, asked) };
    },
    async answer(parts, { request, reply, query: { url, expires, signature: _, ...asked } }) {
      // A rest of a type that has all parameters is those of the route.
      const query = asked as unknown as Query;
      const { access, config, registry, cache, bodies, metrics } = parts;
      const source = sourceOf(url, config);
      const mediaType = mediaTypeOf(definition, request, query, 1);
      registry.check(query.model, query.version);
      limitPasses(query.scale.length, config.maxImages);
      const arrival = arrivalOf(parts, { request, reply });
      const checkWait = (): void => arrival.checkWait(query);
      if (!cache.isOn) checkWait();
      const deadline = arrival.deadlineOf(query);
      const reading = { bodies, metrics, limits: config, client: arrival.client, deadline };
      const fetch = (account: BodyAccount): Promise<Buffer> =>
        fetched(parts, request.log, source, query, arrival, account);
      const leave = leaveOf(config.urlKeys.length > 0 ? expires : undefined);
      const places = holdImages(access.callerOf(request.raw)?.quota);
      const answering = withFetched({ request, reply }, reading, fetch, async (images) => {
        const context = arrival.context(query, config.deadlineMs);
        const made = await withModel(parts, { query, images, context }, async (model) => {
          const question = { query, images, context, model, mediaType };
          const key = await keyOfQuestion(parts, definition, question);
          const etag = etagOf(key, mediaType);
          if (isKnown(request, etag)) return { etag };
          const check = cache.isOn ? checkWait : () => undefined;
          return { etag, answer: await answerQuestion(parts, definition, question, () => Promise.resolve(key), check) };
        });
        void reply.headers({ ...leave, etag: made.etag });
        return made.answer === undefined || request.headers['if-none-match']?.trim() === '*'
          ? unchanged(reply)
          : sendAnswer(reply, made.answer);
      });
      return answering.finally(() => places.giveBack());
    },
  });
}

/** The image's bytes, within the limits of the server and of the client. */
async function fetched(
  { config, fetchSlots, metrics }: RouteParts,
  log: FastifyBaseLogger,
  source: Source,
  query: ImageQuery,
  arrival: Arrival,
  account: BodyAccount,
): Promise<Buffer> {
  const { maxBytes, minRate, requestTimeoutMs: timeoutMs } = config;
  const giveBack = fetchSlots.take(source.url.host, arrival.client);
  const began = performance.now();
  let isThere = false;
  try {
    const { signal, deadline } = arrival.context(query, Infinity);
    const limits = { maxBytes, minRate, timeoutMs, deadline };
    const bytes = await fetchImage(source, { hosts: config, resolve: resolveBySystem, account, signal, ...limits });
    isThere = true;
    return bytes;
  } catch (error) {
    // For the operator alone: it may have an internal address.
    const { cause } = error as Error;
    if (cause instanceof Error) log.info({ host: source.url.host, why: cause.message }, 'an image was not fetched');
    throw error;
  } finally {
    giveBack();
    metrics.observeFetch(isThere, (performance.now() - began) / 1000);
  }
}

/** Until when an address is signed, in seconds; undefined for one that needs no signature. */
function leaveOf(expires: number | undefined): Readonly<Record<string, string>> {
  if (expires === undefined) {
    return { 'cache-control': 'private, no-cache', 'cross-origin-resource-policy': 'same-origin' };
  }
  const age = Math.max(0, Math.min(expires - secondsNow(), MAX_AGE_S));
  return { 'cache-control': `public, max-age=${age}`, 'cross-origin-resource-policy': 'cross-origin' };
}

/** Weak for JSON: it says how long it took. Other forms of the same key are the same bytes. */
function etagOf(key: string, mediaType: string): string {
  return `${mediaType === 'application/json' ? 'W/' : ''}"${key.slice(0, 22)}"`;
}

/** Whether the client has the answer. Whether there is one at all, as it may ask by `*`, is known when it is computed. */
function isKnown({ headers }: FastifyRequest, etag: string): boolean {
  const list = headers['if-none-match'];
  return list?.trim() !== '*' && names(list, etag);
}

/** Without a length, which is not known. Of a HEAD fastify would say that it is 0, but for a stream. */
function unchanged(reply: FastifyReply): FastifyReply {
  void reply.code(304);
  return reply.request.method === 'HEAD' ? reply.send(Readable.from([])) : reply.send();
}
