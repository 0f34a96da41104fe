/**
 * Sets up Fastify: request ids, what a client may cost at most (connections.ts, body-memory.ts, sending.ts), pages of other
 * origins, errors as problem+json, measurements, and the routes (routes/index.ts). Each route takes the parts of the server
 * that it uses.
 */
import type { ServerOptions } from 'node:http';
import Fastify, { LogController, type FastifyInstance, type FastifyRequest } from 'fastify';
import { createAccess } from './access.js';
import { createKeyOf } from './answer-key.js';
import { createBodyMemory } from './body-memory.js';
import { clientAddress } from './client-address.js';
import {
  CHECK_MS,
  HANDSHAKE_TIMEOUT_MS,
  HEADERS_TIMEOUT_MS,
  watchConnections,
  type Connections,
} from './connections.js';
import { allowOrigins } from './cross-origin.js';
import { createForeignCheck, createPageCheck } from './foreign-pages.js';
import { createFetchSlots } from './from-url/fetch-slots.js';
import { acceptBodies } from './image-bodies.js';
import type { HttpParts } from './parts.js';
import { openapiDocument } from './openapi.js';
import { handleError } from './problem.js';
import { announcedLength, hasBody, WORTH_DISCARDING_BYTES } from './receive-body.js';
import { headersOfEach, requestIdOf } from './identity.js';
import { createKnownQuestions } from './known-questions.js';
import { createRefuseOnSight, refuseOnSight } from './refuse-on-sight.js';
import { createReach, nothingAt } from './reach.js';
import { refuseWhileClosing } from './refuse-while-closing.js';
import type { Refusal } from './refusals.js';
import { logFields, notesOf, safeUrl } from './request-notes.js';
import { checkTarget } from './request-target.js';
import { createResponseCache } from './response-cache.js';
import { addRoutes } from './router.js';
import { ROUTES } from './routes/index.js';
import { playgroundRoutes } from './routes/playground.js';
import { createSending } from './sending.js';
import { beginTrace, endTrace } from './server-trace.js';

/** What the log and the metrics have in the place of a status where the client left before it had its whole answer. */
const CLIENT_GONE = 499;

export async function createHttpServer(parts: HttpParts): Promise<FastifyInstance> {
  const { config, logger, metrics, tracing } = parts;
  const app = Fastify({
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    // Of bodies that fastify reads: there are none, see image-bodies.ts.
    bodyLimit: config.maxBytes,
    requestTimeout: config.requestTimeoutMs,
    ...protocolOf(parts),
    genReqId: requestIdOf,
    routerOptions: { maxParamLength: 1000 },
    return503OnClosing: false,
    // A connection that is open after the last answer waits for none: see Connections.drain.
    forceCloseConnections: true,
    // Off, because it would also limit the wait for the last answers. FULLCONV_DRAIN_TIMEOUT_MS limits that.
    pluginTimeout: 0,
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: handleError,
    clientErrorHandler: (error, socket) => connections.handleClientError(error, socket),
  });
  const onRefused = (refusal: Refusal): void => metrics.observeRefused(refusal);
  const reach = createReach(app.server, config);
  const connections = watchConnections(app.server, {
    ...config,
    proxies: config.trustedProxies,
    isReserved: (socket) => reach.isAdministration(socket),
    onRefused,
  });
  const bodies = createBodyMemory(Math.max(config.maxBodiesBytes, config.maxBytes));
  const fetchSlots = createFetchSlots(config.maxFetches, onRefused);
  const sending = createSending(config.maxAnswersBytes, () => connections.giveUpStalled());
  metrics.watchClients({
    isReady: parts.isReady,
    connections: () => connections.count,
    bodiesBytes: () => bodies.held,
    answersBytes: () => sending.held,
    fetches: () => fetchSlots.taken,
  });

  const access = createAccess(parts);
  app.addHook('onRequest', (request, reply, done) => {
    const trace = beginTrace(tracing, request.raw, request.routeOptions.url);
    void reply.headers(headersOfEach(request.raw, request.id, trace));
    done();
  });
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    void reply.headers(access.headersFor(raw));
    done(null, payload);
  });
  // Before any hook that may refuse a request: pages of other origins may read refusals, too.
  await allowOrigins(app, config.corsOrigins);
  const isClosing = refuseWhileClosing(app, connections);
  const checkForeign = createForeignCheck(config, onRefused);
  const checkForeignToAdministration = createForeignCheck({ ...config, host: config.adminHost }, onRefused);
  app.addHook('onRequest', (request, _reply, done) => {
    checkTarget(request.url, onRefused);
    if (reach.isAdministration(request.raw.socket)) checkForeignToAdministration(request);
    else checkForeign(request);
    connections.checkPipeline(request.socket);
    done();
  });
  closeBehindUnread(app, connections);
  const recorded = new WeakSet<FastifyRequest>();
  const record = (request: FastifyRequest, status: number, ms: number): void => {
    if (recorded.has(request)) return;
    recorded.add(request);
    const { method, raw, id } = request;
    const route = request.routeOptions.url;
    const notes = notesOf(raw);
    const key = access.callerOf(raw)?.name;
    const client = clientAddress(raw, config.trustedProxies);
    metrics.observeRequest(route ?? 'none', method, status, ms / 1000, notes.trace?.traceId);
    if (notes.code !== undefined) metrics.observeProblem(notes.code);
    if (key !== undefined) metrics.observeKey(key, status);
    const end = (): void => endTrace(raw, { route, status, client, id });
    // What a client that has left was waiting for ends first.
    if (status === CLIENT_GONE) setImmediate(end);
    else end();
    request.log.info({ method, url: safeUrl(request.url), status, ms, client, key, ...logFields(notes) }, 'request');
  };
  app.addHook('onRequest', (request, reply, done) => {
    // While there is still a connection, which has an address.
    clientAddress(request.raw, config.trustedProxies);
    // Fastify says nothing of these.
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) record(request, CLIENT_GONE, reply.elapsedTime);
    });
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    record(request, reply.statusCode, reply.elapsedTime);
    done();
  });
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((request, reply) => {
    const redirect = reach.redirectOf(request.raw);
    if (redirect === undefined) throw nothingAt(request);
    void reply.redirect(redirect, 308);
  });

  acceptBodies(app);
  const known = createKnownQuestions();
  const cache = createResponseCache({ budget: config.responseCacheMb * 2 ** 20, maxFollowers: config.maxQueue });
  metrics.watchCache(cache);
  // With a cache, the header does not tell whether a full server has the answer.
  if (!cache.isOn)
    refuseOnSight(app.server, createRefuseOnSight({ ...parts, access, reach, known, connections, isClosing }));
  const routeParts = {
    ...parts,
    access,
    reach,
    document: openapiDocument(ROUTES, config.basePath),
    bodies,
    known,
    cache,
    keyOf: createKeyOf(parts),
    fetchSlots,
    checkPage: createPageCheck(config, onRefused),
  };
  const pages = config.playground ? await playgroundRoutes(routeParts) : [];
  addRoutes(app, [...ROUTES, ...pages], routeParts, sending.inPieces);
  return app;
}

/** The options of Node's own server, of HTTP or of HTTP in TLS. */
function protocolOf({ config, tls }: HttpParts): { readonly http: ServerOptions } {
  const http = {
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, config.requestTimeoutMs),
    requestTimeout: config.requestTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
    // What it would answer is no problem+json: see foreign-pages.ts.
    requireHostHeader: false,
  };
  if (tls === undefined) return { http };
  // Fastify's types have a server of its own for TLS. Here both are servers of HTTP.
  const https = { ...http, ...tls, handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
  return { https } as unknown as { readonly http: ServerOptions };
}

/**
 * An answer may leave before its request has come: then the connection ends with it. Only a short rest is read on for, and
 * never one that did not come in time, or of a client that waits to be told to send it.
 */
function closeBehindUnread(app: FastifyInstance, connections: Connections): void {
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    const isWorthReading =
      (announcedLength(raw) ?? Infinity) <= WORTH_DISCARDING_BYTES &&
      raw.headers.expect === undefined &&
      ![408, 504].includes(reply.statusCode);
    const isUnread = hasBody(raw) && !raw.complete;
    if ((isUnread && !isWorthReading) || connections.isBroken(raw.socket)) void reply.header('connection', 'close');
    done(null, payload);
  });
}
