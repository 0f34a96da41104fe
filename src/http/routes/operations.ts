/** Probes, metrics and the API's own description: what runs and watches the server, not what uses it. */
import type { FastifyInstance } from 'fastify';
import { openapiDocument } from '../openapi.js';
import type { HttpParts } from '../parts.js';
import { revalidated } from '../revalidation.js';

export function operationRoutes(app: FastifyInstance, { metrics, isReady, isAlive }: HttpParts): void {
  const document = JSON.stringify(openapiDocument());

  app.get('/livez', (_request, reply) => {
    const alive = isAlive();
    return reply.code(alive ? 200 : 503).send({ status: alive ? 'alive' : 'every worker has been given up' });
  });
  app.get('/readyz', (_request, reply) => {
    const ready = isReady();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready' });
  });
  app.get('/metrics', async (_request, reply) => {
    const { body, contentType } = await metrics.expose();
    return reply.type(contentType).send(body);
  });
  app.get('/openapi.json', { onSend: revalidated }, (_request, reply) => reply.type('application/json').send(document));
}
