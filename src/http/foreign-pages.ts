/**
 * Requests that a browser sends for a page which has no business here, refused before anything is done for them:
 *
 * - a page of another origin that posts (a browser sends simple posts without asking first): told by `Sec-Fetch-Site`, which
 *   pages cannot set, or where a browser does not send that, by an `Origin` that is not the address asked;
 * - a page under a name of its own that is made to point to this machine (DNS rebinding): told by a `Host` which is not one
 *   of this machine's. That is asked of servers that listen on this machine alone. Others have any name that a proxy or a
 *   cluster gives them.
 *
 * Programs send neither header, and are not concerned. Sources: the Fetch standard; Fetch Metadata Request Headers (W3C).
 */
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { Config } from '../config.js';
import { ServiceError } from '../errors.js';
import type { Refusal } from './refusals.js';

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/i;
const READING = ['GET', 'HEAD', 'OPTIONS'];

/** Whether an address to listen on is this machine's own, which no other reaches. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

export type ForeignSettings = Pick<Config, 'host' | 'allowedHosts' | 'corsOrigins'>;

/** Throws FORBIDDEN or INVALID_REQUEST. */
export type CheckRequest = (request: FastifyRequest) => void;

export function createForeignCheck(settings: ForeignSettings, onRefused: (refusal: Refusal) => void): CheckRequest {
  const { host, allowedHosts } = settings;
  const checkPage = createPageCheck(settings, onRefused);
  const isHostChecked = allowedHosts.length > 0 ? !allowedHosts.includes('*') : isLoopback(host);

  return (request) => {
    const {
      method,
      raw: { headers, httpVersion },
    } = request;
    if (headers.host === undefined && httpVersion === '1.1') {
      throw new ServiceError('INVALID_REQUEST', 'The request has no Host.');
    }
    if (isHostChecked && headers.host !== undefined && !isOwn(nameOf(headers.host), allowedHosts)) {
      onRefused('host');
      const detail = `This server is not called ${nameOf(headers.host).slice(0, 100)}; FULLCONV_ALLOWED_HOSTS can say that it is.`;
      throw new ServiceError('FORBIDDEN', detail);
    }
    if (!READING.includes(method)) checkPage(request);
  };
}

/** Refuses requests of pages of other origins, whatever their method. Throws FORBIDDEN. */
export function createPageCheck(
  { corsOrigins }: Pick<ForeignSettings, 'corsOrigins'>,
  onRefused: (refusal: Refusal) => void,
): CheckRequest {
  return ({ raw: { headers } }) => {
    const { origin, 'sec-fetch-site': site } = headers;
    if (origin !== undefined && (corsOrigins.includes('*') || corsOrigins.includes(origin))) return;
    const isForeign =
      site === undefined ? origin !== undefined && !isAt(origin, headers) : !['same-origin', 'none'].includes(site);
    if (!isForeign) return;
    onRefused('cross_site');
    const who = origin === undefined ? 'Pages of other origins' : `Pages of ${origin.slice(0, 100)}`;
    throw new ServiceError('FORBIDDEN', `${who} may not ask this server; FULLCONV_CORS_ORIGINS can say that they may.`);
  };
}

/** `localhost` of `localhost:8080`, `::1` of `[::1]:8080`. */
function nameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}

/** An address, or a name without a dot, belongs to no stranger: nobody can make it point elsewhere. */
function isOwn(name: string, allowedHosts: readonly string[]): boolean {
  return isIP(name) !== 0 || !name.includes('.') || name.endsWith('.localhost') || allowedHosts.includes(name);
}

/** Whether an origin is where the request went, as the client or the proxy before this server says. */
function isAt(origin: string, { host, 'x-forwarded-host': forwarded }: FastifyRequest['headers']): boolean {
  if (!URL.canParse(origin)) return false;
  const at = new URL(origin).host;
  return [host, forwarded].some((name) => typeof name === 'string' && withoutDefaultPort(name) === at);
}

function withoutDefaultPort(host: string): string {
  return host
    .trim()
    .toLowerCase()
    .replace(/:(80|443)$/, '');
}
