/**
 * Which routes answer where: below the base path, and at which listener.
 *
 * With FULLCONV_BASE_PATH a route answers below that path, for a proxy that passes it on. Probes answer at the root too: whoever
 * asks them does not come through the proxy. (A proxy that takes the path away needs no setting: the pages and the API's
 * description have relative addresses only.)
 *
 * With FULLCONV_ADMIN_PORT administration and metrics answer at that listener alone, which answers nothing else but probes. It
 * takes both forms of an address.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyRequest, onRequestHookHandler } from 'fastify';
import { ServiceError } from '../errors.js';
import type { Config } from '../config.js';
import type { Audience } from './access.js';
import { portOfAdministration } from './listeners.js';
import { splitTarget } from './request-target.js';

/** What of a route says where it answers. */
export interface Reachable {
  readonly audience: Audience;
  readonly isProbe?: boolean;
}

export interface Reach {
  /** Refuses a route where it does not answer. */
  hook(route: Reachable): onRequestHookHandler;
  /** The address that a request for the base path itself is sent to; undefined for others. */
  redirectOf(request: IncomingMessage): string | undefined;
  /** Whether a connection came by the listener of administration. */
  isAdministration(socket: Socket): boolean;
  /** Whether a request is not below the base path. */
  isOutside(request: IncomingMessage): boolean;
}

const OF_ADMINISTRATION: readonly Audience[] = ['admin', 'metrics'];

export function createReach(server: Server, { basePath, adminPort }: Pick<Config, 'basePath' | 'adminPort'>): Reach {
  const outside = new WeakSet<IncomingMessage>();
  const redirects = new WeakMap<IncomingMessage, string>();
  /** One that has closed has no port any more. */
  const known = new WeakMap<Socket, boolean>();

  function isAdministration(socket: Socket): boolean {
    if (adminPort === undefined) return false;
    const isIt = known.get(socket) ?? socket.localPort === portOfAdministration(server);
    known.set(socket, isIt);
    return isIt;
  }

  if (basePath !== '') {
    // Before everything that looks at the address.
    server.prependListener('request', (request: IncomingMessage) => {
      const { url = '' } = request;
      const { path, query } = splitTarget(url);
      if (path.startsWith(`${basePath}/`)) request.url = url.slice(basePath.length);
      else outside.add(request);
      const last = basePath.slice(basePath.lastIndexOf('/') + 1);
      if (path === basePath) redirects.set(request, `${last}/${query === undefined ? '' : `?${query}`}`);
    });
  }

  return {
    hook:
      ({ audience, isProbe = false }) =>
      (request, _reply, done) => {
        const isAtAdministration = isAdministration(request.raw.socket);
        const isOfAdministration = adminPort !== undefined && OF_ADMINISTRATION.includes(audience);
        const isBelow = isAtAdministration || !outside.has(request.raw);
        const answers = isProbe || (isBelow && isAtAdministration === isOfAdministration);
        done(answers ? undefined : nothingAt(request));
      },
    redirectOf: (request) => redirects.get(request),
    isAdministration,
    isOutside: (request) => outside.has(request),
  };
}

/** NOT_FOUND for the address of a request. */
export function nothingAt({ method, url }: Pick<FastifyRequest, 'method' | 'url'>): ServiceError {
  return new ServiceError('NOT_FOUND', `There is nothing at ${method} ${splitTarget(url).path}.`);
}
