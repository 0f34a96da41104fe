/**
 * Traces through OpenTelemetry's SDK, whose packages are optional peers: they are loaded only where traces are switched on. The
 * spans are made by hand, with the times that the phases were measured at. So no library hooks into what the server does, and
 * nothing is carried along in asynchronous contexts.
 *
 * Whether a request is sampled is decided before anything is made of it. What waits for the collector is bounded, and so is
 * the wait at the end: a collector that is gone or hangs costs spans, never requests.
 */
import { randomUUID } from 'node:crypto';
import type { Context, Span, SpanContext } from '@opentelemetry/api';
import { UnavailableError } from '../errors.js';
import { createExportLog, type LogSink } from './export-log.js';
import type { Attributes, ServerTrace, TraceHeaders, TracedPhase, Tracing } from './request-trace.js';
import type { SamplerSettings, TraceSettings } from './settings.js';
import { parseTraceParent, type TraceParent } from './trace-context.js';

/** How long the end of the server waits for the last spans to leave. */
const CLOSE_MS = 2000;

/** Phases of one request that become spans. One that has more says how many were left out. */
export const MAX_PHASES = 128;

const NO_TRACE_ID = '0'.repeat(32);

/** Of the SDK; the API before it and the exporter beside it fit these only. */
const PACKAGES = [
  '@opentelemetry/api@~1.9.1',
  '@opentelemetry/resources@^2.12.1',
  '@opentelemetry/sdk-trace-node@^2.12.1',
  '@opentelemetry/exporter-trace-otlp-proto@^0.223.1',
];

export interface TracingOptions {
  readonly settings: TraceSettings;
  /** Of this server. */
  readonly version: string;
  readonly log: LogSink;
  /** Loads the packages. Default: those installed beside this program. */
  readonly load?: typeof loadPackages;
}

/** Rejects with UnavailableError if the packages are not installed. */
export async function startTracing({ settings, version, log, load = loadPackages }: TracingOptions): Promise<Tracing> {
  const { api, sdk, resources, OTLPTraceExporter } = await load().catch(sayWhatIsMissing);
  const { endpoint, sampler, takesContext, maxWaiting } = settings;
  const counts = { sent: 0, failed: 0, dropped: 0 };
  /** Spans that have ended, and that the collector has neither taken nor refused. */
  let waiting = 0;
  let isClosed = false;

  // What is wrong with the settings of the exporter and the resource is said while they are made.
  const say = (message: string): void => log.warn({}, message);
  const ignore = (): void => undefined;
  api.diag.setLogger(
    { error: say, warn: say, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const exportLog = createExportLog(log, endpoint);
  const exporter = new OTLPTraceExporter();
  const processor = new sdk.BatchSpanProcessor(
    {
      export: (spans, done) =>
        exporter.export(spans, (result) => {
          waiting -= spans.length;
          // Of ExportResultCode, which is in no package that is named here.
          const isSent = (result.code as number) === 0;
          counts[isSent ? 'sent' : 'failed'] += spans.length;
          if (isSent) exportLog.sent();
          else exportLog.failed(spans.length, result.error);
          done(result);
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: () => exporter.forceFlush(),
    },
    { maxQueueSize: maxWaiting },
  );
  const described = resources.detectResources({ detectors: [resources.envDetector] });
  const asked = process.env['OTEL_RESOURCE_ATTRIBUTES'] ?? '';
  if (asked.trim() !== '' && Object.keys(described.attributes).every((name) => name === 'service.name')) {
    say(
      'OTEL_RESOURCE_ATTRIBUTES is ignored: it must be name=value,name=value, with %2C and %3D for , and = in a value',
    );
  }
  const ids = new sdk.RandomIdGenerator();
  let rootId = NO_TRACE_ID;
  const provider = new sdk.NodeTracerProvider({
    resource: resources
      .defaultResource()
      .merge(
        resources.resourceFromAttributes({
          'service.name': 'fullconv',
          'service.version': version,
          'service.instance.id': randomUUID(),
        }),
      )
      .merge(described),
    // Only what is sampled gets here.
    sampler: new sdk.AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => rootId, generateSpanId: () => ids.generateSpanId() },
    spanProcessors: [processor],
  });
  api.diag.disable();
  const tracer = provider.getTracer('fullconv', version);
  const isSampled = samplerOf(
    sampler,
    new sdk.TraceIdRatioBasedSampler(sampler.ratio),
    api,
    sdk.SamplingDecision.RECORD_AND_SAMPLED,
  );

  function end(span: Span, at: readonly [number, number]): void {
    waiting += 1;
    span.end([...at]);
  }

  function isFull(): boolean {
    if (waiting < maxWaiting) return false;
    counts.dropped += 1;
    return true;
  }

  function begin({ traceparent, tracestate }: TraceHeaders, startMs: number): ServerTrace | undefined {
    if (isClosed) return undefined;
    const parent = takesContext ? parseTraceParent(traceparent) : undefined;
    const traceId = parent?.traceId ?? (sampler.ratio > 0 ? ids.generateTraceId() : NO_TRACE_ID);
    if (!isSampled(parent, traceId) || isFull()) return undefined;

    // The clock may be set while the server runs, but a request's spans fit together.
    const offsetMs = Date.now() - performance.now();
    const timeOf = (ms: number): [number, number] => {
      const epochMs = offsetMs + ms;
      const seconds = Math.floor(epochMs / 1000);
      return [seconds, Math.round((epochMs - seconds * 1000) * 1e6)];
    };
    rootId = traceId;
    const state = parent === undefined ? undefined : [tracestate].flat().filter(Boolean).join(',');
    const context =
      parent === undefined
        ? api.ROOT_CONTEXT
        : api.trace.setSpanContext(api.ROOT_CONTEXT, {
            ...{ traceId, spanId: parent.spanId, isRemote: true, traceFlags: Number(parent.isSampled) },
            ...(state === undefined || state === '' ? {} : { traceState: api.createTraceState(state) }),
          } satisfies SpanContext);
    const { SERVER: kind } = api.SpanKind;
    const span = tracer.startSpan('HTTP', { kind, startTime: timeOf(startMs) }, context);
    const { spanId, traceState } = span.spanContext();
    const inside = api.trace.setSpan(api.ROOT_CONTEXT, span);
    const fail = (failed: Span, code: string): void => {
      failed.setAttribute('error.type', code).setStatus({ code: api.SpanStatusCode.ERROR, message: code });
    };
    let phases = 0;
    let isOver = false;

    return {
      traceId,
      spanId,
      traceparent: `00-${traceId}-${spanId}-01`,
      tracestate: traceState?.serialize(),
      phase({ name, startMs: from, endMs, attributes = {}, failure }: TracedPhase) {
        if (isOver) return;
        phases += 1;
        if (phases > MAX_PHASES || isFull()) return;
        const phase = tracer.startSpan(name, { startTime: timeOf(from), attributes: known(attributes) }, inside);
        if (failure !== undefined) fail(phase, failure);
        end(phase, timeOf(Math.max(from, endMs)));
      },
      end({ name, endMs, attributes, failure }) {
        if (isOver) return;
        isOver = true;
        // The processor would drop it without saying so.
        if (isFull()) return;
        span.updateName(name).setAttributes(known(attributes));
        if (phases > MAX_PHASES) span.setAttribute('fullconv.phases_left_out', phases - MAX_PHASES);
        if (failure !== undefined) fail(span, failure);
        end(span, timeOf(endMs));
      },
    };
  }

  return {
    begin,
    get spans() {
      return { ...counts };
    },
    async close() {
      isClosed = true;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), CLOSE_MS)));
      // The first batch that fails ends the shutdown; the others are on their way.
      const flushed = provider
        .shutdown()
        .catch(() => undefined)
        .then(() => exporter.forceFlush())
        .catch(() => undefined);
      const ended = await Promise.race([flushed, late]);
      clearTimeout(timer);
      if (ended === 'late') log.warn({ endpoint, lost: waiting }, 'the last spans of traces could not be sent in time');
    },
  };
}

type Api = typeof import('@opentelemetry/api');

async function loadPackages() {
  const [api, sdk, resources, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
  ]);
  return { api, sdk, resources, OTLPTraceExporter };
}

function sayWhatIsMissing(error: Error): never {
  const install = PACKAGES.map((name) => `'${name}'`).join(' ');
  throw new UnavailableError(
    `traces are switched on, and OpenTelemetry cannot be loaded (${error.message.split('\n')[0] ?? ''}): npm install --save-prod ${install}; OTEL_TRACES_EXPORTER=none switches traces off`,
    { cause: error },
  );
}

interface RatioSampler {
  shouldSample(context: Context, traceId: string): { readonly decision: number };
}

/** Of a caller's trace, by its flag; of others, and of all where no caller is believed, by the trace's id. */
function samplerOf(
  { isParentBased, ratio }: SamplerSettings,
  byId: RatioSampler,
  { ROOT_CONTEXT }: Api,
  sampled: number,
): (parent: TraceParent | undefined, traceId: string) => boolean {
  return (parent, traceId) => {
    if (parent !== undefined && isParentBased) return parent.isSampled;
    if (ratio === 0 || ratio === 1) return ratio === 1;
    return byId.shouldSample(ROOT_CONTEXT, traceId).decision === sampled;
  };
}

/** Without those that are undefined. */
function known(attributes: Attributes): Record<string, string | number | boolean> {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Record<
    string,
    string | number | boolean
  >;
}
