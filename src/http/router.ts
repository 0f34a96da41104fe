/**
 * Adds the routes to fastify, each with the serializers of its answers. Each address answers a method that no route
 * takes with 405 and the methods that it does take.
 */
import { METHODS as nodeMethods } from 'node:http';
import type { FastifyInstance, onRequestHookHandler, onSendHookHandler } from 'fastify';
import { z } from 'zod';
import { ServiceError } from '../errors.js';
import type { RouteParts } from './parts.js';
import { revalidated } from './revalidation.js';
import type { Operation, Route } from './route.js';
import { serializerOf } from './schemas.js';

/** All that Node's parser knows. A CONNECT never gets here: Node hangs up on it. */
const METHODS = nodeMethods.filter((method) => method !== 'CONNECT');

const TAKEN = ['GET', 'HEAD', 'POST'];

/** Those of the routes that this server has. `onSend` is the last hook of each answer. */
export function addRoutes(
  app: FastifyInstance,
  all: readonly Route[],
  parts: RouteParts,
  onSend: onSendHookHandler,
): void {
  const routes = all.filter(({ isServed }) => isServed?.(parts.config) ?? true);
  // Nothing that no route takes is looked at before it is refused.
  for (const method of METHODS) if (!TAKEN.includes(method)) app.addHttpMethod(method, { overrideExisting: true });
  const { access, reach, config } = parts;
  for (const route of routes) {
    const { method, path, audience, isSigned = false, operation, handle, revalidated: hasTag = false } = route;
    app.route({
      method,
      url: path,
      schema: { response: operation === undefined ? {} : serializersOf(operation) },
      // Where addresses are signed, the signature is in the place of a key.
      onRequest: [reach.hook(route), access.enter(isSigned && config.urlKeys.length > 0 ? 'everybody' : audience)],
      onSend: hasTag ? [revalidated, onSend] : onSend,
      handler: (request, reply) => handle(parts, request, reply),
    });
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    const there = routes.filter((route) => route.path === path);
    refuseOtherMethods(app, path, there, reach.hook(there[0]!));
  }
}

/** By status, for the answers that have a zod schema. */
function serializersOf({ answers }: Operation): Record<string, unknown> {
  const written = Object.entries(answers).flatMap(([status, { content = {} }]) => {
    const forms = Object.entries(content);
    if (!forms.some(([, form]) => form instanceof z.ZodType)) return [];
    const serializers = forms.map(([type, form]) => [
      type,
      { schema: form instanceof z.ZodType ? serializerOf(form) : {} },
    ]);
    return [[status, { content: Object.fromEntries(serializers) as unknown }]];
  });
  return Object.fromEntries(written) as Record<string, unknown>;
}

/** `/v2/models/:name/versions/:version` of `…/:version(^\\d+$)`. */
function withoutRules(path: string): string {
  return path.replace(/\(.*?\)/g, '');
}

function refuseOtherMethods(
  app: FastifyInstance,
  path: string,
  routes: readonly Route[],
  onRequest: onRequestHookHandler,
): void {
  // Fastify answers HEAD wherever it answers GET.
  const allowed = routes.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  app.route({
    method: METHODS.filter((method) => !allowed.includes(method)),
    url: path,
    onRequest,
    handler: (request, reply) => {
      void reply.header('allow', allowed.join(', '));
      throw new ServiceError(
        'METHOD_NOT_ALLOWED',
        `${withoutRules(path)} takes ${allowed.join(', ')}, not ${request.method}.`,
      );
    },
  });
}
