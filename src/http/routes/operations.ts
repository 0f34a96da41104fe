/** Probes, metrics and the API's own description: for running and watching the server, not for using it. */
import accepts from 'accepts';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Format } from '../exposition.js';
import { json, route } from '../route.js';

const health = z.object({ status: z.string() }).meta({ id: 'Health' });

export const live = route({
  method: 'GET',
  path: '/livez',
  audience: 'everybody',
  isProbe: true,
  operationId: 'live',
  summary: 'The process is alive',
  answers: { 200: json(health, 'Alive'), 503: json(health, 'Every worker has been given up') },
  answer({ isAlive }, { reply }) {
    const alive = isAlive();
    return reply.code(alive ? 200 : 503).send({ status: alive ? 'alive' : 'every worker has been given up' });
  },
});

export const ready = route({
  method: 'GET',
  path: '/readyz',
  audience: 'everybody',
  isProbe: true,
  operationId: 'ready',
  summary: 'Requests can be answered',
  answers: { 200: json(health, 'Ready'), 503: json(health, 'Not ready, or shutting down') },
  answer({ isReady }, { reply }) {
    const isUp = isReady();
    return reply.code(isUp ? 200 : 503).send({ status: isUp ? 'ready' : 'not ready' });
  },
});

const CLASSIC = 'text/plain';
const OPEN_METRICS = 'application/openmetrics-text';

/** Prometheus names versions and ways to escape of each format that it takes; there is one of each here. */
function formatFor({ headers }: FastifyRequest): Format {
  const accept = (headers.accept ?? '*/*').replace(/;(?!\s*q=)[^;,]*/gi, '');
  const chosen = accepts({ headers: { accept } } as unknown as FastifyRequest['raw']).type([CLASSIC, OPEN_METRICS]);
  return chosen === OPEN_METRICS ? 'openmetrics' : 'prometheus';
}

export const metrics = route({
  method: 'GET',
  path: '/metrics',
  audience: 'metrics',
  operationId: 'metrics',
  summary: 'Prometheus metrics',
  answers: { 200: { description: 'Metrics', content: { [CLASSIC]: {}, [OPEN_METRICS]: {} } } },
  async answer(parts, { request, reply }) {
    const { body, contentType } = await parts.metrics.expose(formatFor(request));
    return reply.type(contentType).send(body);
  },
});

export const openapi = route({
  method: 'GET',
  path: '/openapi.json',
  audience: 'everybody',
  revalidated: true,
  operationId: 'openapi',
  summary: 'This document',
  answers: { 200: json({}, 'OpenAPI 3.1') },
  answer: ({ document }, { reply }) => reply.type('application/json').send(JSON.stringify(document)),
});
