/**
 * The span of a request to the server, as OpenTelemetry's conventions for HTTP have it. Its attributes are made when it
 * ends, of requests that are traced only.
 *
 * Source: OpenTelemetry, Semantic Conventions 1.29, "HTTP server spans".
 */
import type { IncomingMessage } from 'node:http';
import type { Attributes, ServerTrace, Tracing } from '../tracing/request-trace.js';
import { notesOf, withoutSecrets } from './request-notes.js';
import { splitTarget } from './request-target.js';

/** Asked every few seconds by machines, about nobody's images. */
const PROBES: ReadonlySet<string | undefined> = new Set([
  '/livez',
  '/readyz',
  '/metrics',
  '/v2/health/live',
  '/v2/health/ready',
]);

/** What a client wrote is cut here. */
const MAX_TEXT = 512;

/** Begin the trace of a request, if it is to have one. `route` as fastify has it; undefined: none. */
export function beginTrace(
  tracing: Tracing | undefined,
  request: IncomingMessage,
  route: string | undefined,
): ServerTrace | undefined {
  if (tracing === undefined || PROBES.has(route)) return undefined;
  const trace = tracing.begin(request.headers, performance.now());
  if (trace !== undefined) notesOf(request).trace = trace;
  return trace;
}

/** `images.example:8080` and `[::1]:8080`, in two. */
const HOST = /^(.{1,512}?)(?::(\d{1,5}))?$/;

function serverOf(host: string | undefined): Attributes {
  const [, address, port] = HOST.exec(host ?? '') ?? [];
  return { 'server.address': address, 'server.port': port === undefined ? undefined : Number(port) };
}

export interface AnsweredRequest {
  readonly route: string | undefined;
  /** Of the answer; CLIENT_GONE if it could not be given. */
  readonly status: number;
  readonly client: string;
  readonly id: string;
}

/** End the trace of a request; does nothing if it has none. */
export function endTrace(request: IncomingMessage, { route, status, client, id }: AnsweredRequest): void {
  const { trace, model, images, macs, code } = notesOf(request);
  if (trace === undefined) return;
  const { method = '', url = '', headers, httpVersion } = request;
  const { path, query } = splitTarget(url);
  const isFailure = status >= 500;
  trace.end({
    name: route === undefined ? method : `${method} ${route}`,
    endMs: performance.now(),
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': status,
      'http.request.body.size': Number(headers['content-length'] ?? NaN) || undefined,
      'url.scheme': 'encrypted' in request.socket ? 'https' : 'http',
      'url.path': path.slice(0, MAX_TEXT),
      'url.query': query === undefined ? undefined : withoutSecrets(query).slice(0, MAX_TEXT),
      ...serverOf(headers.host),
      'client.address': client === '' ? undefined : client,
      'network.protocol.version': httpVersion,
      'user_agent.original': headers['user-agent']?.slice(0, MAX_TEXT),
      'fullconv.request.id': id,
      'fullconv.model': model,
      'fullconv.images': images,
      'fullconv.gmacs': macs === 0 ? undefined : macs / 1e9,
      'fullconv.code': code,
    },
    failure: isFailure ? (code ?? String(status)) : undefined,
  });
}
