/**
 * The quick way to refuse. A server that is asked many times what it can do spends most of its time on refusals, which it then
 * lacks for what it has accepted. So a question that will be refused because the server is full is answered from its header alone, in
 * front of fastify: without its hooks, loggers of its own, zod and errors with stacks. The answer is the same, to the letter.
 *
 * What is in order is learned from requests that went the long way (known-questions.ts). A request is refused here only if it asks a
 * known question with a key that is known and may ask it, and its header has nothing else that could change the answer: a page's origin, an
 * expectation, a body of unknown or great length, another request before it. Everything else goes the long way, and so does
 * everything while there are free places.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.js';
import type { Admission, Full } from '../inference/admission.js';
import type { Registry } from '../models/registry.js';
import type { Tracing } from '../tracing/request-trace.js';
import type { Access } from './access.js';
import { clientAddress, holderOf } from './client-address.js';
import type { Connections } from './connections.js';
import { headersOfEach, requestIdOf } from './identity.js';
import type { KnownQuestions, Question } from './known-questions.js';
import type { Metrics } from './metrics.js';
import { PROBLEM_MEDIA_TYPE, problemOf } from './problem.js';
import type { Reach } from './reach.js';
import { announcedLength, WORTH_DISCARDING_BYTES } from './receive-body.js';
import { createRefusalLog } from './refusal-log.js';
import { askerOf, longestWaitMs } from './request.js';
import { notesOf, safeUrl } from './request-notes.js';
import { beginTrace, endTrace } from './server-trace.js';

/** Answers a request with QUEUE_FULL and returns true, if that is what it gets and its header is enough to tell. */
export type RefuseOnSight = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface OnSightParts {
  readonly known: Pick<KnownQuestions, 'find'>;
  readonly config: Config;
  readonly logger: FastifyBaseLogger | false;
  readonly inference: { readonly admission: Pick<Admission, 'whyFull'> };
  readonly registry: Pick<Registry, 'check'>;
  readonly metrics: Pick<Metrics, 'observeRequest' | 'observeProblem' | 'observeKey'>;
  readonly access: Pick<Access, 'enterOnSight' | 'callerOf' | 'headersFor'>;
  readonly tracing?: Tracing | undefined;
  readonly reach: Pick<Reach, 'isAdministration' | 'isOutside'>;
  readonly connections: Pick<Connections, 'isBroken' | 'waiting'>;
  readonly isClosing: () => boolean;
}

export function createRefuseOnSight({
  known,
  config,
  logger,
  inference: { admission },
  registry,
  metrics,
  access,
  tracing,
  reach,
  connections,
  isClosing,
}: OnSightParts): RefuseOnSight {
  const log = logger === false ? undefined : createRefusalLog(logger);

  function whyFull(request: IncomingMessage, question: Question): Full | undefined {
    try {
      registry.check(question.model, question.version);
    } catch {
      return undefined;
    }
    const client = holderOf(clientAddress(request, config.trustedProxies));
    return admission.whyFull(longestWaitMs(question, config), askerOf(question, client, request.socket, config));
  }

  function isPlain({ method, httpVersion, headers, socket }: IncomingMessage): boolean {
    return (
      method === 'POST' &&
      httpVersion === '1.1' &&
      headers.origin === undefined &&
      headers['sec-fetch-site'] === undefined &&
      headers.expect === undefined &&
      headers.upgrade === undefined &&
      (headers.connection === undefined || headers.connection === 'keep-alive') &&
      connections.waiting(socket) === 1 &&
      !connections.isBroken(socket)
    );
  }

  return (request, response) => {
    const began = performance.now();
    const { url, headers } = request;
    const found = known.find(headers.host, url);
    if (found === undefined || isClosing() || !isPlain(request)) return false;
    if (reach.isOutside(request) || reach.isAdministration(request.socket)) return false;
    if ((announcedLength(request) ?? Infinity) > WORTH_DISCARDING_BYTES) return false;
    const why = whyFull(request, found.question);
    // Last, because it counts the request. A key that cannot be told at once goes the long way, as does one that may not.
    if (why === undefined || !access.enterOnSight(request, 'infer')) return false;

    const id = requestIdOf(request);
    const code = 'QUEUE_FULL';
    const trace = beginTrace(tracing, request, found.route);
    const body = JSON.stringify(problemOf({ code, message: why.detail, errors: [], limit: why.limit }, id));
    response.writeHead(503, {
      ...headersOfEach(request, id, trace),
      ...(found.vary === undefined ? {} : { vary: found.vary }),
      ...access.headersFor(request),
      'retry-after': String(why.retryAfterS),
      'content-type': PROBLEM_MEDIA_TYPE,
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);

    const ms = performance.now() - began;
    metrics.observeRequest(found.route, 'POST', 503, ms / 1000, trace?.traceId);
    metrics.observeProblem(code);
    const key = access.callerOf(request)?.name;
    if (key !== undefined) metrics.observeKey(key, 503);
    if (trace !== undefined) {
      notesOf(request).code = code;
      const client = clientAddress(request, config.trustedProxies);
      endTrace(request, { route: found.route, status: 503, client, id });
    }
    log?.refused((logger) => {
      logger.warn({ reqId: id, code }, why.detail);
      const client = clientAddress(request, config.trustedProxies);
      const seen = { method: 'POST', url: safeUrl(url ?? ''), status: 503, ms, client, key };
      logger.info({ reqId: id, ...seen, code, trace_id: trace?.traceId, span_id: trace?.spanId }, 'request');
    });
    return true;
  };
}

/** Let a server refuse on sight, before its own handler is asked: the last listener, for others come before that. */
export function refuseOnSight(server: Server, refuse: RefuseOnSight): void {
  const handle = server.listeners('request').at(-1) as RequestListener;
  server.off('request', handle);
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!refuse(request, response)) handle.call(server, request, response);
  });
}
