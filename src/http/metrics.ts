/**
 * Prometheus metrics: counts and durations of requests, time in each phase, sizes of batches and why each was
 * dispatched. One registry for each server, so that several servers in one process (tests) do not share counts.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { deviceName, type DeviceChoice } from '../device.js';
import type { DispatchReport } from '../batching/batcher.js';
import type { PhaseObserver } from '../inference/infer.js';
import type { RunCost } from '../batching/run-cost.js';
import { REFUSALS, type Refusal } from './refusals.js';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const BATCH_SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128];

export interface Metrics {
  observePhase: PhaseObserver;
  observeDispatch(report: DispatchReport): void;
  observeRequest(route: string, method: string, status: number, seconds: number): void;
  observeWorkerLost(): void;
  observeLogLineDropped(): void;
  /** A request that came with a key, by the key's name. */
  observeKey(name: string, status: number): void;
  /** What a key has had computed, in multiply-adds. */
  observeKeyCost(name: string, multiplyAdds: number): void;
  /** A request that was refused for its key, or for having none. */
  observeKeyless(reason: KeylessReason): void;
  /** A client that was refused, or hung up on. */
  observeRefused(refusal: Refusal): void;
  /** Show the state of a server too; it is read whenever the metrics are. Must be called only once. */
  watch(sources: MetricSources): void;
  /** Show whether the keys of the file are in force, too. Must be called only once. */
  watchKeys(isCurrent: () => boolean): void;
  /** Show whether the certificate of the files is in force, too. Must be called only once. */
  watchTls(isCurrent: () => boolean): void;
  /** Show what clients hold, too. Must be called only once. */
  watchClients(sources: ClientSources): void;
  /** The text exposition, and its media type. */
  expose(): Promise<{ body: string; contentType: string }>;
}

const KEYLESS_REASONS = ['missing', 'malformed', 'unknown', 'wrong', 'expired', 'busy'] as const;
export type KeylessReason = (typeof KEYLESS_REASONS)[number];

/** The state of a server. */
export interface MetricSources {
  admitted(): number;
  idleWorkers(): number;
  readonly engine: string;
  readonly device: DeviceChoice;
  provider(): string | undefined;
  /** Bytes of FULLCONV_MEMORY_MB, by use. */
  memory(): Readonly<Record<string, number>>;
  /** By session. */
  runCosts(): ReadonlyMap<string, RunCost>;
}

/** What clients hold of the server. */
export interface ClientSources {
  connections(): number;
  bodiesBytes(): number;
  answersBytes(): number;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const requests = new Histogram({
    name: 'fullconv_request_duration_seconds',
    help: 'Time from request to answer',
    labelNames: ['route', 'method', 'status'],
    buckets: SECONDS,
    registers,
  });
  const phases = new Histogram({
    name: 'fullconv_phase_duration_seconds',
    help: 'Time of one image in a phase: decode, queue, infer (its whole batch), render',
    labelNames: ['phase', 'model'],
    buckets: SECONDS,
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
    help: 'Workers that died and were replaced',
    registers,
  });
  const refused = new Counter({
    name: 'fullconv_refused_total',
    help: 'Requests and connections refused or given up before anything was computed, by the limit',
    labelNames: ['limit'],
    registers,
  });
  for (const limit of Object.keys(REFUSALS)) refused.inc({ limit }, 0);

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

  const linesDropped = new Counter({
    name: 'fullconv_log_lines_dropped_total',
    help: 'Lines of the log that could not be written, because the disk is full or nobody reads',
    registers,
  });

  const observePhase: PhaseObserver = (phase, model, milliseconds) => {
    phases.observe({ phase, model }, milliseconds / 1000);
  };
  return {
    observePhase,
    observeDispatch({ session: id, batchSize, reason, inferMs }) {
      const session = withoutLoad(id);
      batchSizes.observe({ session }, batchSize);
      dispatches.inc({ session, reason });
      observePhase('infer', session.slice(0, session.indexOf('@')), inferMs);
    },
    observeRequest(route, method, status, seconds) {
      requests.observe({ route, method, status }, seconds);
    },
    observeWorkerLost: () => lost.inc(),
    observeLogLineDropped: () => linesDropped.inc(),
    observeKey: (key, status) => ofKeys.inc({ key, status }),
    observeKeyCost: (key, multiplyAdds) => costOfKeys.inc({ key }, multiplyAdds / 1e9),
    observeKeyless: (reason) => keyless.inc({ reason }),
    observeRefused: (limit) => refused.inc({ limit }),
    watch: (sources) => registerGauges(registers, sources),
    watchTls: (isCurrent) =>
      registerGauge(
        registers,
        'fullconv_tls_files_valid',
        '1 while the certificate of the files is in force; 0: an older one',
        () => (isCurrent() ? 1 : 0),
      ),
    watchKeys: (isCurrent) =>
      registerGauge(
        registers,
        'fullconv_keys_file_valid',
        '1 while what the keys file says is in force; 0: an older one',
        () => (isCurrent() ? 1 : 0),
      ),
    watchClients: (sources) => registerClientGauges(registers, sources),
    expose: async () => ({ body: await registry.metrics(), contentType: registry.contentType }),
  };
}

function registerGauge(registers: Registry[], name: string, help: string, value: () => number): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(value());
    },
  });
}

function registerClientGauges(registers: Registry[], sources: ClientSources): void {
  const gauge = (name: string, help: string, value: () => number): void => registerGauge(registers, name, help, value);
  gauge('fullconv_connections', 'Open connections', () => sources.connections());
  gauge('fullconv_bodies_bytes', 'Memory that holds request bodies', () => sources.bodiesBytes());
  gauge('fullconv_answers_bytes', 'Large answers that clients have not taken completely', () => sources.answersBytes());
}

function registerGauges(registers: Registry[], sources: MetricSources): void {
  new Gauge({
    name: 'fullconv_images_in_flight',
    help: 'Images admitted and not yet answered',
    registers,
    collect() {
      this.set(sources.admitted());
    },
  });
  new Gauge({
    name: 'fullconv_workers_idle',
    help: 'Workers without a batch',
    registers,
    collect() {
      this.set(sources.idleWorkers());
    },
  });
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
