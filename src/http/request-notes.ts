/**
 * What is learned of a request while it is answered: for its line in the log, the metrics and its trace. The key of its
 * client belongs here, too, where there are keys.
 */
import type { IncomingMessage } from 'node:http';
import type { ErrorCode } from '../errors.js';
import type { RequestNotes } from '../inference/request-context.js';
import type { ServerTrace } from '../tracing/request-trace.js';
import { splitTarget } from './request-target.js';

export interface HttpNotes extends RequestNotes {
  /** Of the problem that it is answered with. */
  code: ErrorCode | undefined;
  trace: ServerTrace | undefined;
}

const notes = new WeakMap<IncomingMessage, HttpNotes>();

/** The notes of a request, which are empty at first. */
export function notesOf(request: IncomingMessage): HttpNotes {
  const known = notes.get(request);
  if (known !== undefined) return known;
  const empty: HttpNotes = { model: undefined, images: undefined, macs: 0, code: undefined, trace: undefined };
  notes.set(request, empty);
  return empty;
}

/** As fields of the request's line in the log; what is undefined is not written. `gmacs`: 10⁹ multiply-adds, of what ran. */
export function logFields({ model, images, macs, code, trace }: HttpNotes): Readonly<Record<string, unknown>> {
  return {
    model,
    images,
    gmacs: macs === 0 ? undefined : Math.round(macs / 1e6) / 1e3,
    code,
    // As OpenTelemetry names them in logs.
    trace_id: trace?.traceId,
    span_id: trace?.spanId,
  };
}

/** Names of parameters whose values may be secrets, or addresses that hold some. */
const SECRET = /sig|url|key|token|secret|auth|passw|credential/i;

/** A query without the values of such parameters: the log and the traces of a server are read by more people than its requests. */
export function withoutSecrets(query: string): string {
  return query
    .split('&')
    .map((parameter) => {
      const end = parameter.indexOf('=');
      const name = parameter.slice(0, Math.max(end, 0));
      return SECRET.test(decodedName(name)) ? `${name}=REDACTED` : parameter;
    })
    .join('&');
}

/** A name may be written with escapes. */
function decodedName(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The same for what a request line holds: a path, and perhaps a query. */
export function safeUrl(url: string): string {
  const { path, query } = splitTarget(url);
  return query === undefined ? url : url.slice(0, path.length + 1) + withoutSecrets(query);
}
