/**
 * Sets up Fastify: request ids, pages of other origins, how bodies come in and how many bytes of them are held, errors
 * as problem+json, measurements, and the routes (routes/index.ts). Each route takes the parts of the server that it
 * uses.
 */
import { randomUUID } from 'node:crypto';
import Fastify, { LogController, type FastifyInstance } from 'fastify';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import { allowOrigins } from './cross-origin.js';
import { acceptImages } from './image-bodies.js';
import type { HttpParts } from './parts.js';
import { openapiDocument } from './openapi.js';
import { handleClientError, handleError } from './problem.js';
import { refuseWhileClosing } from './refuse-while-closing.js';
import { addRoutes } from './router.js';
import { ROUTES } from './routes/index.js';
import { playgroundRoutes } from './routes/playground.js';

/** A client's own request id is kept if it is safe to print. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;
const TRACE_PARENT = /^[0-9a-f-]{55}$/;

export async function createHttpServer(parts: HttpParts): Promise<FastifyInstance> {
  const { config, logger, metrics } = parts;
  const app = Fastify({
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: config.maxBytes,
    requestTimeout: config.requestTimeoutMs,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    routerOptions: { maxParamLength: 1000 },
    return503OnClosing: false,
    // A connection that is open after the last answer waits for none: see refuseWhileClosing.
    forceCloseConnections: true,
    // Off, because it would also limit the wait for the last answers. FULLCONV_DRAIN_TIMEOUT_MS limits that.
    pluginTimeout: 0,
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: handleError,
    clientErrorHandler: handleClientError,
  });

  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    const trace = request.headers.traceparent;
    if (typeof trace === 'string' && TRACE_PARENT.test(trace)) void reply.header('traceparent', trace);
    done();
  });
  // Before any hook that may refuse a request: pages of other origins may read refusals, too.
  await allowOrigins(app, config.corsOrigins);
  refuseWhileClosing(app);
  holdBodies(app, config);
  app.addHook('onResponse', (request, reply, done) => {
    const { method, url } = request;
    const { statusCode: status, elapsedTime: ms } = reply;
    metrics.observeRequest(request.routeOptions.url ?? 'none', method, status, ms / 1000);
    request.log.info({ method, url, status, ms }, 'request');
    done();
  });
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((request) => {
    throw new ServiceError('NOT_FOUND', `There is nothing at ${request.method} ${request.url.split('?')[0] ?? ''}.`);
  });

  await acceptImages(app, config);
  const routeParts = { ...parts, document: openapiDocument(ROUTES) };
  const pages = config.playground ? await playgroundRoutes(routeParts) : [];
  addRoutes(app, [...ROUTES, ...pages], routeParts);
  return app;
}

/**
 * Bodies are read into memory before anything else is known about a request. All of them together may hold
 * `maxBodiesBytes`. A body of unknown length counts as `maxBytes`.
 */
function holdBodies(app: FastifyInstance, { maxBytes, maxBodiesBytes }: Config): void {
  let held = 0;
  app.addHook('onRequest', (request, reply, done) => {
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
    const bytes = encoding === undefined ? Number(length ?? 0) : maxBytes;
    if (bytes > maxBytes) {
      done(new ServiceError('BODY_TOO_LARGE', `The body has ${bytes} bytes; the limit is ${maxBytes}.`));
      return;
    }
    if (held + bytes > Math.max(maxBodiesBytes, maxBytes)) {
      done(new ServiceError('QUEUE_FULL', 'The server holds as many request bodies as it may.'));
      return;
    }
    held += bytes;
    reply.raw.once('close', () => (held -= bytes));
    done();
  });
}
