/** What an answer says of its request, whatever else it says: the id that the log has too, and the trace that it belongs to. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RequestTrace } from '../tracing/request-trace.js';

/** A client's own request id is kept if it is safe to print. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;
const TRACE_PARENT = /^[0-9a-f-]{55}$/;

/** The client's own id of a request, or a new one. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

/** The headers that each answer begins with. `trace`: of a request that this server traces itself. */
export function headersOfEach(
  { headers: { traceparent } }: IncomingMessage,
  id: string,
  trace: RequestTrace | undefined,
): Record<string, string> {
  const headers: Record<string, string> = { 'x-request-id': id, 'x-content-type-options': 'nosniff' };
  if (typeof traceparent === 'string' && TRACE_PARENT.test(traceparent)) headers['traceparent'] = traceparent;
  // Source: W3C Trace Context, "traceresponse" (a draft).
  if (trace !== undefined) headers['traceresponse'] = trace.traceparent;
  return headers;
}
