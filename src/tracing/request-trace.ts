/**
 * What traces are told of a request, whoever records them. A request that is not traced has no such object: all that asks
 * for it costs one comparison. The phases are those that metrics observe.
 */
import type { ErrorCode } from '../errors.js';

/** Why a phase failed: an error's code, or nobody waited for it any more. */
export type Failure = ErrorCode | 'CANCELLED';

/** The phases of a request that are spans: body, and of each pass queue, decode and run; render of a picture. */
export const TRACED_PHASES = ['body', 'queue', 'decode', 'run', 'render'] as const;

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A phase that is over. */
export interface TracedPhase {
  readonly name: (typeof TRACED_PHASES)[number];
  /** In milliseconds of `performance.now()`, as all times here. */
  readonly startMs: number;
  readonly endMs: number;
  /** Neither bytes of an image nor anything secret. */
  readonly attributes?: Attributes;
  /** Why it failed; absent: it did not. */
  readonly failure?: Failure | undefined;
}

/** The trace of one request, as the parts of the server see it. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Of the request's own span: 16 hexadecimal digits. */
  readonly spanId: string;
  /** For calls that are made for the request, and for its answer. Source: W3C Trace Context, `traceparent`. */
  readonly traceparent: string;
  /** The caller's `tracestate`, for the same calls; absent if it sent none that is valid. */
  readonly tracestate: string | undefined;
  /** Record a phase. Beyond the limit of phases, or when the request is over, it is only counted. */
  phase(phase: TracedPhase): void;
}

/** A request that ends. */
export interface EndedRequest {
  /** `POST /v1/classify`. */
  readonly name: string;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** Why the server failed; absent: it did not, whatever the client did. */
  readonly failure?: string | undefined;
}

/** The trace of one request, as whoever begins and ends it sees it. */
export interface ServerTrace extends RequestTrace {
  /** End the request's span. Later phases are dropped, and so is a second end. */
  end(request: EndedRequest): void;
}

/** Where traces begin. */
export interface Tracing {
  /**
   * Begin the trace of a request that came at `startMs`. Undefined if the request is not sampled: then nothing was made of it.
   * `headers` are those of the request.
   */
  begin(headers: TraceHeaders, startMs: number): ServerTrace | undefined;
  /** What became of spans so far. */
  readonly spans: SpanCounts;
  /** Send what waits, for at most CLOSE_MS. Never rejects. */
  close(): Promise<void>;
}

/** By name, in lower case; of interest are `traceparent` and `tracestate`. */
export type TraceHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface SpanCounts {
  readonly sent: number;
  /** The collector did not take them, or took too long. */
  readonly failed: number;
  /** Not kept, because as many waited as may. */
  readonly dropped: number;
}
