/**
 * Fastify, set up: request ids, the way bodies come in, errors as problem+json, measurements, and the routes. Each
 * route module gets what it needs and nothing else.
 */
import { randomUUID } from 'node:crypto';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import type { Inference } from '../inference/infer.js';
import type { Registry } from '../models/registry.js';
import { acceptImages } from './images.js';
import type { Metrics } from './metrics.js';
import { handleError } from './problem.js';
import { classifyRoute } from './routes/classify.js';
import { heatmapRoute } from './routes/heatmap.js';
import { modelRoutes } from './routes/models.js';
import { operationRoutes } from './routes/operations.js';

export interface HttpParts {
  readonly config: Config;
  readonly logger: FastifyBaseLogger | false;
  readonly inference: Inference;
  readonly registry: Registry;
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
}

/** A client's own request id is kept when it is safe to print. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

export async function createHttpServer(parts: HttpParts): Promise<FastifyInstance> {
  const { config, logger, metrics } = parts;
  const app = Fastify({
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: config.maxBytes,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    logController: new LogController({ disableRequestLogging: true }),
  });
  let closing = false;

  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id);
    const trace = request.headers.traceparent;
    if (typeof trace === 'string' && /^[0-9a-f-]{55}$/.test(trace)) void reply.header('traceparent', trace);
    if (closing) throw new ServiceError('DRAINING', 'The server is shutting down.');
  });
  // A connection that is kept alive after its last answer would hold the stop up until its time-out.
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing) void reply.header('connection', 'close');
    done(null, payload);
  });
  app.addHook('preClose', (done) => {
    closing = true;
    const sweep = setInterval(() => app.server.closeIdleConnections(), 100);
    app.server.once('close', () => clearInterval(sweep));
    done();
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.observeRequest(route, request.method, reply.statusCode, reply.elapsedTime / 1000);
    request.log.info(
      { method: request.method, url: request.url, status: reply.statusCode, ms: reply.elapsedTime },
      'request',
    );
  });
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((request) => {
    throw new ServiceError('NOT_FOUND', `There is nothing at ${request.method} ${request.url.split('?')[0] ?? ''}.`);
  });

  app.removeContentTypeParser('text/plain');
  await acceptImages(app, config);
  classifyRoute(app, parts);
  heatmapRoute(app, parts);
  modelRoutes(app, parts);
  operationRoutes(app, parts);
  return app;
}
