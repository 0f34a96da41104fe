/**
 * A caller's trace, read from the header `traceparent`. What is malformed is ignored, as if the header were absent.
 *
 * Source: W3C Trace Context (Recommendation, 2021), section 3.2.
 */

export interface TraceParent {
  readonly traceId: string;
  /** Of the caller's span. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** Version, trace, span, flags; a version that is not known yet may have more behind a hyphen. */
const TRACE_PARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
/** Longer headers are of no version. */
const MAX_TRACE_PARENT = 256;
const SAMPLED = 1;

/** Undefined if there is none, or if it is malformed. A header that was sent twice is malformed. */
export function parseTraceParent(header: string | string[] | undefined): TraceParent | undefined {
  if (typeof header !== 'string' || header.length > MAX_TRACE_PARENT) return undefined;
  const [, version, traceId, spanId, flags, rest] = TRACE_PARENT.exec(header.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, isSampled: (parseInt(flags, 16) & SAMPLED) === SAMPLED };
}
