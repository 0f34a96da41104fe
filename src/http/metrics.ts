/**
 * Prometheus metrics: counts and durations of requests, time in each phase, sizes of batches and why each was
 * dispatched. One registry for each server, so that several servers in one process (tests) do not share counts.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics, type OpenMetricsContentType } from 'prom-client';
import { deviceName, type DeviceChoice } from '../device.js';
import type { DispatchReport } from '../batching/batcher.js';
import type { PhaseObserver } from '../inference/infer.js';
import type { RunCost } from '../batching/run-cost.js';
import { ERROR_TABLE, type ErrorCode } from '../errors.js';
import { MODEL_STATES } from '../models/registry.js';
import type { SpanCounts } from '../tracing/request-trace.js';
import { VERSION } from '../version.js';
import { expose, type Exposition, type Format } from './exposition.js';
import { REFUSALS, type Refusal } from './refusals.js';
import type { Lookup, ResponseCache } from './response-cache.js';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const MISNAMED = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

const BATCH_SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128];

type MetricRegistry = Registry<OpenMetricsContentType>;

export interface Metrics {
  observePhase: PhaseObserver;
  observeDispatch(report: DispatchReport): void;
  /** `traceId`: of a request that is traced, here and in the phases. */
  observeRequest(route: string, method: string, status: number, seconds: number, traceId?: string): void;
  /** A request that was answered with a problem. */
  observeProblem(code: ErrorCode): void;
  observeWorkerLost(): void;
  /** Free memory was given back to the system. */
  observeMemoryReturned(): void;
  observeLogLineDropped(): void;
  /** A request that came with a key, by the key's name. */
  observeKey(name: string, status: number): void;
  /** What a key has had computed, in multiply-adds. */
  observeKeyCost(name: string, multiplyAdds: number): void;
  /** A request that was refused for its key, or for having none. */
  observeKeyless(reason: KeylessReason): void;
  /** A client that was refused, or hung up on. */
  observeRefused(refusal: Refusal): void;
  /** An image was fetched from a URL, or was not. */
  observeFetch(isThere: boolean, seconds: number): void;
  /** A question that was looked up among the answers that are kept. */
  observeLookup(lookup: Lookup): void;
  /** Show the state of a server too; it is read whenever the metrics are. Must be called only once. */
  watch(sources: MetricSources): void;
  /** Show whether the keys of the file are in force, too. Must be called only once. */
  watchKeys(isCurrent: () => boolean): void;
  /** Show whether the certificate of the files is in force, too. Must be called only once. */
  watchTls(isCurrent: () => boolean): void;
  /** Show what clients hold, too. Must be called only once. */
  watchClients(sources: ClientSources): void;
  /** Show the answers that are kept, too. Must be called only once. */
  watchCache(cache: Pick<ResponseCache, 'bytes' | 'entries' | 'evictions'>): void;
  /** Show what became of spans, too. Must be called only once. */
  watchSpans(counts: () => SpanCounts): void;
  /** The text exposition, and its media type. OpenMetrics has the traces of some requests beside the counts (exemplars). */
  expose(format?: Format): Promise<Exposition>;
}

const KEYLESS_REASONS = ['missing', 'malformed', 'unknown', 'wrong', 'expired', 'busy'] as const;
export type KeylessReason = (typeof KEYLESS_REASONS)[number];

/** The state of a server. */
export interface MetricSources {
  admitted(): number;
  /** Images that wait for a worker, of those admitted. */
  queued(): number;
  idleWorkers(): number;
  /** Processes of workers, by their state. */
  workers(): Readonly<Record<'ready' | 'starting' | 'given_up', number>>;
  /** All versions of all models. `version`: absent where it is not known before the load. */
  models(): readonly { readonly name: string; readonly version?: string; readonly state: string }[];
  readonly limits: { readonly passes: number; readonly memoryBytes: number; readonly deadlineMs: number };
  readonly engine: string;
  readonly device: DeviceChoice;
  provider(): string | undefined;
  /** Bytes of FULLCONV_MEMORY_MB, by use. */
  memory(): Readonly<Record<string, number>>;
  /** By session. */
  runCosts(): ReadonlyMap<string, RunCost>;
  /** Loaded versions of models, and those that are being closed. */
  loadedModels(): readonly { readonly model: string; readonly version: string; readonly bytes: number }[];
  /** Since the start. */
  readonly modelCounts: { readonly loads: number; readonly failures: number; readonly evictions: number };
}

/** What clients hold of the server, and whether it answers them. */
export interface ClientSources {
  /** As /readyz says. */
  isReady(): boolean;
  connections(): number;
  bodiesBytes(): number;
  answersBytes(): number;
  fetches(): number;
}

export function createMetrics(): Metrics {
  // Only such a registry takes metrics with exemplars.
  const registry: MetricRegistry = new Registry();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  // Gauges by the names of counters, and the sums of others.
  for (const name of MISNAMED) registry.removeSingleMetric(name);

  const requests = new Histogram({
    name: 'fullconv_request_duration_seconds',
    help: 'Time from request to answer',
    labelNames: ['route', 'method', 'status'],
    buckets: SECONDS,
    enableExemplars: true,
    registers,
  });
  const phases = new Histogram({
    name: 'fullconv_phase_duration_seconds',
    help: 'Time of one image in a phase: decode, queue, infer (its whole batch), render',
    labelNames: ['phase', 'model'],
    buckets: SECONDS,
    enableExemplars: true,
    registers,
  });
  const batchSizes = new Histogram({
    name: 'fullconv_batch_size',
    help: 'Images in a dispatched batch',
    labelNames: ['session'],
    buckets: BATCH_SIZES,
    registers,
  });
  const dispatches = new Counter({
    name: 'fullconv_dispatches_total',
    help: 'Batches by the reason for their dispatch',
    labelNames: ['session', 'reason'],
    registers,
  });
  const lost = new Counter({
    name: 'fullconv_workers_lost_total',
    help: 'Processes that died and were replaced',
    registers,
  });
  const returns = new Counter({
    name: 'fullconv_memory_returns_total',
    help: 'Times that free memory was given back to the system after models were unloaded',
    registers,
  });
  const refused = new Counter({
    name: 'fullconv_refused_total',
    help: 'Requests and connections refused or given up before anything was computed, by the limit',
    labelNames: ['limit'],
    registers,
  });
  for (const limit of Object.keys(REFUSALS)) refused.inc({ limit }, 0);

  const lookups = new Counter({
    name: 'fullconv_response_cache_lookups_total',
    help: 'Requests by where their answer came from: hit, collapsed (computed for another that came before), miss',
    labelNames: ['result'],
    registers,
  });
  for (const result of ['hit', 'collapsed', 'miss']) lookups.inc({ result }, 0);
  const ofKeys = new Counter({
    name: 'fullconv_key_requests_total',
    help: 'Requests with a key, by its name and the status of the answer',
    labelNames: ['key', 'status'],
    registers,
  });
  const costOfKeys = new Counter({
    name: 'fullconv_key_gmac_total',
    help: 'GMAC (10⁹ multiply-adds) that were computed for a key, by its name',
    labelNames: ['key'],
    registers,
  });
  const keyless = new Counter({
    name: 'fullconv_keyless_requests_total',
    help: 'Requests refused because their key is missing or not valid, by the reason',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of KEYLESS_REASONS) keyless.inc({ reason }, 0);

  const fetches = new Histogram({
    name: 'fullconv_fetch_duration_seconds',
    help: 'Time that images take to be fetched from their URLs: fetched or failed',
    labelNames: ['result'],
    buckets: SECONDS,
    registers,
  });

  const linesDropped = new Counter({
    name: 'fullconv_log_lines_dropped_total',
    help: 'Lines of the log that could not be written, because the disk is full or nobody reads',
    registers,
  });

  const problems = new Counter({
    name: 'fullconv_problems_total',
    help: 'Requests answered with a problem, by its code',
    labelNames: ['code'],
    registers,
  });
  // An alert on a code would otherwise miss its first problem.
  for (const code of Object.keys(ERROR_TABLE)) problems.inc({ code }, 0);

  const observePhase: PhaseObserver = (phase, model, milliseconds, traceId) => {
    phases.observe({ labels: { phase, model }, value: milliseconds / 1000, ...exemplarOf(traceId) });
  };
  return {
    observePhase,
    observeDispatch({ session: id, batchSize, reason, inferMs, traceId }) {
      const session = withoutLoad(id);
      batchSizes.observe({ session }, batchSize);
      dispatches.inc({ session, reason });
      observePhase('infer', session.slice(0, session.indexOf('@')), inferMs, traceId);
    },
    observeRequest(route, method, status, seconds, traceId) {
      requests.observe({ labels: { route, method, status }, value: seconds, ...exemplarOf(traceId) });
    },
    observeProblem: (code) => problems.inc({ code }),
    observeWorkerLost: () => lost.inc(),
    observeMemoryReturned: () => returns.inc(),
    observeLogLineDropped: () => linesDropped.inc(),
    observeKey: (key, status) => ofKeys.inc({ key, status }),
    observeKeyCost: (key, multiplyAdds) => costOfKeys.inc({ key }, multiplyAdds / 1e9),
    observeKeyless: (reason) => keyless.inc({ reason }),
    observeRefused: (limit) => refused.inc({ limit }),
    observeFetch: (isThere, seconds) => fetches.observe({ result: isThere ? 'fetched' : 'failed' }, seconds),
    observeLookup: (lookup) => lookups.inc({ result: lookup === 'hit' || lookup === 'collapsed' ? lookup : 'miss' }),
    watch: (sources) => registerGauges(registers, sources),
    watchCache: (cache) => registerCache(registers, cache),
    watchTls: (isCurrent) =>
      gaugeIn(registers)(
        'fullconv_tls_files_valid',
        '1 while the certificate of the files is in force; 0: an older one',
        () => (isCurrent() ? 1 : 0),
      ),
    watchKeys: (isCurrent) =>
      gaugeIn(registers)(
        'fullconv_keys_file_valid',
        '1 while what the keys file says is in force; 0: an older one',
        () => (isCurrent() ? 1 : 0),
      ),
    watchClients: (sources) => registerClientGauges(registers, sources),
    watchSpans: (counts) => registerSpanCounter(registers, counts),
    expose: (format = 'prometheus') => expose(registry, format),
  };
}

/** Makes gauges that are read when the metrics are. */
function gaugeIn(registers: MetricRegistry[]) {
  return (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
}

/** The types of prom-client allow the metric's own labels alone. */
function exemplarOf(traceId: string | undefined): { readonly exemplarLabels?: object } {
  return traceId === undefined ? {} : { exemplarLabels: { trace_id: traceId } };
}

function registerSpanCounter(registers: MetricRegistry[], counts: () => SpanCounts): void {
  new Counter({
    name: 'fullconv_trace_spans_total',
    help: 'Spans of traces by what became of them: sent to the collector, failed to be, dropped because too many waited',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      for (const [result, count] of Object.entries<number>({ ...counts() })) this.inc({ result }, count);
    },
  });
}

function registerClientGauges(registers: MetricRegistry[], sources: ClientSources): void {
  const gauge = gaugeIn(registers);
  gauge('fullconv_ready', 'Whether requests can be answered, as /readyz says: 1 or 0', () => Number(sources.isReady()));
  gauge('fullconv_connections', 'Open connections', () => sources.connections());
  gauge('fullconv_bodies_bytes', 'Memory that holds request bodies', () => sources.bodiesBytes());
  gauge('fullconv_fetches', 'Images that are just fetched from URLs', () => sources.fetches());
  gauge('fullconv_answers_bytes', 'Large answers that clients have not taken completely', () => sources.answersBytes());
}

function registerCache(
  registers: MetricRegistry[],
  cache: Pick<ResponseCache, 'bytes' | 'entries' | 'evictions'>,
): void {
  const gauge = gaugeIn(registers);
  gauge(
    'fullconv_response_cache_bytes',
    'Memory that answers are kept in, of FULLCONV_RESPONSE_CACHE_MB',
    () => cache.bytes,
  );
  gauge('fullconv_response_cache_entries', 'Answers that are kept', () => cache.entries);
  new Counter({
    name: 'fullconv_response_cache_evictions_total',
    help: 'Answers that went because others needed their memory',
    registers,
    collect() {
      this.reset();
      this.inc(cache.evictions);
    },
  });
}

function registerGauges(registers: MetricRegistry[], sources: MetricSources): void {
  new Gauge({
    name: 'fullconv_build_info',
    help: 'What runs: the version, its Node, the engine, the processor; always 1',
    labelNames: ['version', 'node', 'engine', 'arch'],
    registers,
  }).set({ version: VERSION, node: process.versions.node, engine: sources.engine, arch: process.arch }, 1);
  const gauge = gaugeIn(registers);
  gauge('fullconv_images_queued', 'Images in flight that wait for a worker', () => sources.queued());
  const { passes, memoryBytes, deadlineMs } = sources.limits;
  gauge('fullconv_images_in_flight_limit', 'The most images (passes) that are admitted at once', () => passes);
  gauge('fullconv_memory_limit_bytes', 'FULLCONV_MEMORY_MB in bytes', () => memoryBytes);
  gauge('fullconv_deadline_seconds', 'The longest time for one answer', () => deadlineMs / 1000);
  new Gauge({
    name: 'fullconv_workers',
    help: 'Processes of workers by state: ready, starting (also again), given up',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(sources.workers())) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'fullconv_model_state',
    help: 'The state of each version of a model: 1 for the one that it is in',
    labelNames: ['model', 'version', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { name: model, version = '', state: current } of sources.models()) {
        for (const state of MODEL_STATES) this.set({ model, version, state }, Number(state === current));
      }
    },
  });
  gauge('fullconv_images_in_flight', 'Images admitted and not yet answered', () => sources.admitted());
  gauge('fullconv_workers_idle', 'Workers without a batch', () => sources.idleWorkers());
  new Gauge({
    name: 'fullconv_device_info',
    help: 'The device that the nets run on, the execution provider in use, and why; always 1',
    labelNames: ['engine', 'device', 'provider', 'why'],
    registers,
    collect() {
      const { devices, why } = sources.device;
      const provider = sources.provider() ?? '';
      this.reset();
      for (const device of devices) this.set({ engine: sources.engine, device: deviceName(device), provider, why }, 1);
    },
  });
  new Gauge({
    name: 'fullconv_memory_bytes',
    help: 'Memory in use of FULLCONV_MEMORY_MB: by runs, kept by engines of runs that are over, by drawings',
    labelNames: ['use'],
    registers,
    collect() {
      for (const [use, bytes] of Object.entries(sources.memory())) this.set({ use }, bytes);
    },
  });
  new Gauge({
    name: 'fullconv_model_memory_bytes',
    help: 'Memory of a loaded model: the bytes of its weights, for each open session and copy',
    labelNames: ['model', 'version'],
    registers,
    collect() {
      this.reset();
      for (const { bytes, ...labels } of sources.loadedModels()) this.set(labels, bytes);
    },
  });
  const countModels = (name: string, help: string, count: () => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(count());
      },
    });
  };
  const { modelCounts } = sources;
  countModels('fullconv_model_loads_total', 'Models that were loaded, and loaded again', () => modelCounts.loads);
  countModels('fullconv_model_load_failures_total', 'Loads that failed', () => modelCounts.failures);
  countModels('fullconv_model_evictions_total', 'Models unloaded to make room', () => modelCounts.evictions);
  const costGauge = (name: string, help: string, seconds: (cost: RunCost) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['session'],
      registers,
      collect() {
        this.reset();
        for (const [id, cost] of sources.runCosts()) this.set({ session: withoutLoad(id) }, seconds(cost));
      },
    });
  };
  costGauge('fullconv_run_fixed_seconds', 'Fitted cost per run, whatever is in it', ({ fixedMs }) => fixedMs / 1000);
  const secondsPerGmac = ({ msPerGmac }: RunCost): number => msPerGmac / 1000;
  costGauge('fullconv_run_seconds_per_gmac', 'Fitted cost per GMAC (10⁹ multiply-adds) in a run', secondsPerGmac);
  costGauge(
    'fullconv_run_seconds_per_gflop',
    'Deprecated, removed in the next version: the same as fullconv_run_seconds_per_gmac',
    secondsPerGmac,
  );
}

/** The session's id without the number of the load, so that reloads do not make new series. */
function withoutLoad(id: string): string {
  return id.replace(/#[^/]*/, '');
}
