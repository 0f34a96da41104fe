/**
 * The composition root: it joins the two roads, http → inference → batching → runtime and models → graph. An engine
 * room has workers and a batcher, but no model. A service adds models and inference, without HTTP; the command line
 * uses it. An app is a service behind fastify.
 */
import { setMaxListeners } from 'node:events';
import type { Server as TlsServer } from 'node:tls';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Config } from './config.js';
import { coreCount } from './cores.js';
import { deviceNames } from './device.js';
import { OperatorError, ServiceError, UnavailableError, UsageError } from './errors.js';
import { createHttpServer } from './http/http-server.js';
import { readTlsFiles } from './http/tls-files.js';
import { openKeys, openTls, tlsPaths } from './http/live-credentials.js';
import { isLoopback } from './http/foreign-pages.js';
import { listen, listenForAdministration, portOfAdministration, type ListenAt } from './http/listeners.js';
import { createMetrics, type Metrics } from './http/metrics.js';
import type { BatchLimits } from './batching/batch-policy.js';
import { shapeKey } from './batching/batch-tensors.js';
import { createBatcher, type Batcher } from './batching/batcher.js';
import { batchLimits, warmUpSizes, withWarmUp } from './batching/device-policy.js';
import { createStudio, type DrawJob, type Studio } from './drawing/studio.js';
import { returnFreeMemory, whenIdle } from './free-memory.js';
import { readKeysFile } from './keys/keys-file.js';
import { createInference, type Inference } from './inference/infer.js';
import { createStatistics, type Statistics } from './inference/statistics.js';
import type { Work, WorkOutput } from './inference/work.js';
import { createMemory, type Memory } from './memory.js';
import { ChangedFileError } from './models/files/file-access.js';
import { createFolderFinder } from './models/import/import-to-cache.js';
import { createNetworkLoader } from './models/load-thread.js';
import { createRegistry, type Registry } from './models/registry.js';
import { lookAt, watchFolder, type Look } from './models/watch-folder.js';
import { createJobPool } from './processes/job-pool.js';
import { createPool, type WorkerPool } from './processes/pool.js';
import type { WorkerLost } from './processes/slot.js';
import { chooseEngine, theseMachines, type EngineChoice } from './runtime/choose-engine.js';
import type { DevicePolicy } from './runtime/device-policy.js';
import { engineNamed, platformOf } from './runtime/engines.js';
import type { SessionSpec } from './runtime/session.js';
import type { Tracing } from './tracing/request-trace.js';
import { VERSION } from './version.js';

/** The devices that a server runs on, and how they are fed. */
export interface DevicePlan extends EngineChoice {
  readonly policy: DevicePolicy;
  /** For each device. */
  readonly workers: number;
  readonly limits: BatchLimits;
}

/** Workers and batches, without any model. */
export interface EngineRoom extends DevicePlan {
  readonly pool: WorkerPool<Work, WorkOutput>;
  readonly batcher: Batcher<Work, WorkOutput>;
  /** Draws in processes of their own. */
  readonly studio: Studio;
  /** Have all processes give free memory back to the system, when they have nothing to do. */
  readonly returnMemorySoon: () => void;
  readonly memory: Memory;
  readonly metrics: Metrics;
  readonly statistics: Statistics;
  /** Refuse new work, finish the work in flight, end the workers. */
  close(): Promise<void>;
}

export interface Service extends EngineRoom {
  readonly registry: Registry;
  readonly inference: Inference;
}

/** What the settings do not have; in tests, other built files of threads and processes, and other devices. */
export interface ServiceOptions {
  readonly workerFile?: string;
  /** Path of the built models/load-worker.js. */
  readonly loaderFile?: string;
  /** Path of the built models/import/draft-worker.js. */
  readonly importerFile?: string;
  readonly plan?: DevicePlan;
  /** Paths of models beside those in the folder of models: model folders, and what can be imported. */
  readonly models?: readonly string[];
}

export type Logger = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>;

/** The built file that processes which decode, run and draw begin with, beside this one. */
const WORKER_FILE = fileURLToPath(new URL('./engine-process/main.js', import.meta.url));

/** The built file of the threads that read strangers' networks, beside this one. */
const LOADER_FILE = fileURLToPath(new URL('./models/load-worker.js', import.meta.url));

/** The built file of the threads that import models, beside this one. */
const IMPORTER_FILE = fileURLToPath(new URL('./models/import/draft-worker.js', import.meta.url));

/** The built page, beside this file. */
const PLAYGROUND_FOLDER = fileURLToPath(new URL('./playground/', import.meta.url));

const CHANGED = "a model's files have changed";
const BROKEN = 'a model could not be loaded';

/** The runs of a model's load take their turn among the requests, however long that takes. */
const UNHURRIED = {
  cost: 0,
  bytes: 0,
  priority: 0,
  flow: { client: 'server', connection: 0 },
  deadline: Number.POSITIVE_INFINITY,
};

/** Try the devices and apply the settings to their policy. Throws OperatorError if a device asked for does not work. */
export async function planDevices(config: Config): Promise<DevicePlan> {
  const cores = coreCount();
  const { openvino: libraryFolder, cache } = config;
  const mayAutocast = config.precision !== 'fp32';
  const machines = theseMachines({ cores, libraryFolder, mayAutocast, cache, version: VERSION });
  const choice = await chooseEngine(config, machines);
  const { kind } = choice.device.devices[0]!;
  const policy = engineNamed(choice.engine).policy(kind, cores);
  if (config.precision === 'bf16' && choice.autocast !== 'bf16') {
    throw new OperatorError(
      `FULLCONV_PRECISION=bf16: ${choice.engine} on this machine's ${kind} is not faster in it; OpenVINO is on processors with AVX-512-BF16 or AMX`,
    );
  }
  const { workers = policy.workers, maxBatch = policy.maxBatch, maxBatchGmacs = policy.maxBatchGmacs } = config;
  if (workers > 1 && !policy.shared) {
    throw new UsageError(`FULLCONV_WORKERS=${workers}: ${kind} works only in one thread of a process`);
  }
  return { ...choice, policy, workers, limits: batchLimits(policy, maxBatch, maxBatchGmacs * 1e9) };
}

/**
 * Choose the devices and start their workers. Rejects if no worker starts, and with OperatorError if a device that was
 * asked for does not work.
 */
export async function createEngineRoom(
  config: Config,
  log: Logger,
  { workerFile = WORKER_FILE, plan: given }: ServiceOptions = {},
): Promise<EngineRoom> {
  const plan = given ?? (await planDevices(config));
  const { engine, device, workers, limits, policy } = plan;
  log.info({ engine, device: deviceNames(device.devices), why: device.why }, 'device');
  const metrics = createMetrics();
  const statistics = createStatistics();
  const onWorkerLost = (info: WorkerLost): void => {
    metrics.observeWorkerLost();
    log.error({ ...info, err: info.error }, 'a worker died');
  };
  const memory = createMemory(config.memoryMb * 2 ** 20);
  const pool = await createPool<Work, WorkOutput>({
    devices: device.devices,
    workers,
    lanes: engineNamed(engine).lanes,
    engine,
    engineOptions: {
      threads: config.threads,
      libraryFolder: config.openvino,
      kept: { folder: join(config.cache, 'optimized'), maxBytes: config.cacheMb * 2 ** 20 },
      maxCopiedBytes: config.shapeCopiesMb * 2 ** 20,
    },
    decoders: Math.max(1, Math.ceil(config.decoders / (workers * device.devices.length))),
    decodersEach: policy.decodersEach,
    workerFile,
    onKept: (bytes) => memory.kept(bytes),
    onWorkerLost,
  });
  memory.onWanted(() => pool.shrink());
  const artists = createJobPool<DrawJob>({
    ...{ size: config.renderers, workerFile, task: 'draw this picture', onWorkerLost },
  });
  const batcher = createBatcher({
    executor: pool,
    limits: { ...limits, maxQueue: config.maxQueue, maxRunMs: config.deadlineMs },
    memory,
    onDispatch(report) {
      metrics.observeDispatch(report);
      statistics.observeRun(report);
    },
  });
  const returning = whenIdle(
    () => batcher.queued === 0 && pool.free === pool.size,
    async () => {
      await Promise.all([pool.returnMemory(), artists.returnMemory(), returnFreeMemory()]);
      metrics.observeMemoryReturned();
    },
  );
  return {
    ...plan,
    pool,
    batcher,
    memory,
    studio: createStudio({
      drawElsewhere: (job, options) =>
        artists.do<Uint8Array>(job, { ...options, isAnswer: (value) => value instanceof Uint8Array }),
      memory,
      renderers: config.renderers,
      limits: { background: config.background, maxPixels: config.maxPixels, maxSeconds: config.maxDrawSeconds },
      observe: metrics.observePhase,
    }),
    metrics,
    statistics,
    returnMemorySoon: () => returning.soon(),
    async close() {
      returning.stop();
      await batcher.drain();
      await Promise.all([pool.drain(), artists.drain()]);
    },
  };
}

/**
 * Start the workers and load the models: while the workers start, the first models are read and compiled. Rejects if no
 * worker starts or the default model does not exist.
 */
export async function createService(config: Config, log: Logger, options: ServiceOptions = {}): Promise<Service> {
  const plan = options.plan ?? (await planDevices(config));
  // What is dropped in while the models are loaded is new, too.
  const first = config.watch === 0 ? undefined : await lookAt(config.models).catch(() => undefined);
  const starting = createEngineRoom(config, log, { ...options, plan });
  const [started, loaded] = await Promise.allSettled([
    starting,
    loadModels(config, log, { ...options, plan }, starting),
  ]);
  // Without workers no model can be loaded: their error is the reason.
  if (started.status === 'rejected') throw started.reason;
  const room = started.value;
  const { pool, batcher, memory, metrics, statistics, policy, engine, device } = room;
  if (loaded.status === 'rejected') {
    await pool.drain();
    throw loaded.reason;
  }
  const registry = loaded.value;
  if (registry.others.length > 0) log.info({ names: registry.others }, 'in the folder of models, and no models');
  const memoryBytes = config.memoryMb * 2 ** 20;
  const unwatch = registry.watchFiles();
  const unwatchFolder = watchModels(config, log, registry, first);
  const inference = createInference({
    batcher,
    lease: (model, view) => registry.lease(model, view),
    limits: { ...config, inputStep: policy.inputStep, memoryBytes, maxDecodeBytes: memoryBytes },
    background: config.background,
    observe: metrics.observePhase,
    statistics,
  });
  metrics.watch({
    admitted: () => inference.admission.admitted,
    queued: () => batcher.queued,
    idleWorkers: () => pool.idle,
    workers: () => pool.processes,
    models: () => registry.list(),
    limits: { passes: config.maxQueue, memoryBytes, deadlineMs: config.deadlineMs },
    engine,
    device,
    provider: () => pool.provider,
    memory: () => memory.inUse,
    runCosts: () => batcher.runCosts(),
    loadedModels: () => loadedModels(registry),
    modelCounts: registry.counts,
  });
  return {
    ...room,
    registry,
    inference,
    close() {
      unwatch();
      unwatchFolder();
      return room.close();
    },
  };
}

function loadedModels(registry: Registry) {
  return registry
    .list()
    .filter(({ model }) => model !== undefined)
    .map(({ name: model, version = '', memoryBytes: bytes = 0 }) => ({ model, version, bytes }));
}

/** If the settings want it. `first`: the folder as it was before the registry was made. */
function watchModels(
  { models: folder, watch }: Config,
  log: Logger,
  registry: Registry,
  first: Look | undefined,
): () => void {
  if (first === undefined) return () => undefined;
  const onTrouble = (detail: string, error?: unknown): void => log.warn({ folder, err: error }, detail);
  return watchFolder(registry, { folder, everyMs: watch * 1000, first, onTrouble });
}

/** Load the models. Their sessions wait until the engine room has started. */
function loadModels(
  config: Config,
  log: Logger,
  {
    plan,
    loaderFile = LOADER_FILE,
    importerFile = IMPORTER_FILE,
    models = [],
  }: ServiceOptions & { readonly plan: DevicePlan },
  starting: Promise<EngineRoom>,
): Promise<Registry> {
  const { kind } = plan.device.devices[0]!;
  const engine = engineNamed(plan.engine);
  let isStarted = true;
  starting.catch(() => (isStarted = false));
  return createRegistry(
    {
      folder: config.models,
      given: models,
      findFolder: createFolderFinder({
        cache: config.cache,
        models: config.models,
        maxBytes: config.cacheMb * 2 ** 20,
        workerFile: importerFile,
      }),
      cache: config.cache,
      untrained: config.untrained,
      defaultModel: config.defaultModel,
      defaultAlias: config.defaultAlias,
      maxBytes: config.modelMemory === undefined ? undefined : config.modelMemory * 2 ** 20,
      copies: {
        processes: plan.device.devices.length * Math.ceil(plan.workers / (engine.lanes ?? 1)),
        isMapped: config.cacheMb > 0 && (engine.mapsWeights?.(kind) ?? false),
      },
      engine: engine.name,
      computesHalf: engine.computesHalf(kind),
      autocast: plan.autocast,
      precision: config.precision,
      loadNetwork: createNetworkLoader({ workerFile: loaderFile }),
    },
    {
      platform: platformOf(engine, kind),
      roundsFactors: engine.roundsFactors?.(kind) ?? false,
      open: async (spec) => openWarm(await starting, spec),
      close: async (id) => {
        const { batcher, pool, returnMemorySoon } = await starting;
        batcher.forget(id);
        await pool.close(id);
        returnMemorySoon();
      },
      run: async (session, feeds) => {
        const { batcher } = await starting;
        const { output } = await batcher.submit({ session, shape: shapeKey(feeds), work: { feeds }, ...UNHURRIED });
        return output.outputs;
      },
    },
    ({ name, state, reason, model }, error) => {
      if (!isStarted) return;
      const facts = { model: name, state, reason, parameters: model?.parameters, precision: model?.precision };
      const isWidened = model?.manifest.precision === 'fp16' && model.precision === 'fp32';
      if (model?.notHalf !== undefined) log.info({ model: name }, `it would be ${model.notHalf}`);
      if (model?.doubt !== undefined) log.warn({ model: name }, model.doubt);
      if (error === undefined) log.info(facts, isWidened ? 'model, in single precision on this device' : 'model');
      else log.error({ ...facts, err: error }, error instanceof ChangedFileError ? CHANGED : BROKEN);
    },
  );
}

/** Open a session and warm it up if the device needs that. Its cost is first learned from the warm-up runs. */
async function openWarm({ pool, batcher, policy, limits }: EngineRoom, spec: SessionSpec): Promise<void> {
  const times = await pool.open(withWarmUp(spec, policy, limits));
  const { cost = 0 } = spec.typical ?? {};
  warmUpSizes(spec, policy, limits).forEach((size, index) => batcher.learn(spec.id, size * cost, times[index]!));
}

export interface App {
  readonly http: FastifyInstance;
  /** Listen, for administration too where it has a listener of its own. Rejects with UnavailableError if an address cannot be had. */
  listen(at: ListenAt): Promise<void>;
  /** Where administration is listened for, if it has a listener of its own. */
  adminPort(): number | undefined;
  /** Readiness turns false at once; the routes go on answering. */
  markDraining(): void;
  /** Refuse new requests with DRAINING, answer those in flight, end the workers. */
  close(): Promise<void>;
  /**
   * Answer the images in flight with DRAINING, and hang up on every client a moment later, so that `close` need not wait for
   * clients that do not read their answers.
   */
  hangUp(): void;
}

export interface AppOptions {
  /** The built page. */
  readonly playgroundFolder?: string;
  /** Left out: nothing is traced. */
  readonly tracing?: Tracing | undefined;
}

/**
 * Throws UsageError for settings that do not go together, and for files of theirs that are no good, before anything is started.
 * Returns what the operator should know.
 */
export async function checkSettings(config: Config): Promise<readonly string[]> {
  const { keys, host, port, adminPort } = config;
  if (adminPort === port && port !== 0) {
    throw new UsageError(`FULLCONV_ADMIN_PORT=${adminPort} is PORT; the two listeners need different ports`);
  }
  if (keys !== '') await readKeysFile(keys);
  const paths = tlsPaths(config);
  if (paths !== undefined) await readTlsFiles(paths);
  if (keys !== '' || isLoopback(host)) return [];
  return [`HOST=${host}: whoever reaches this address may ask this server; FULLCONV_KEYS makes it ask for keys`];
}

/** For a promise that rejects with an error of the system. */
function unavailable(what: string): (error: unknown) => never {
  return (error) => {
    throw new UnavailableError(`${what}: ${(error as Error).message}`, { cause: error });
  };
}

/** How long the last answers have to leave. */
const LAST_ANSWERS_MS = 500;

/** A service behind HTTP. */
export async function createApp(
  config: Config,
  service: Service,
  logger: FastifyBaseLogger | false,
  { playgroundFolder = PLAYGROUND_FOLDER, tracing }: AppOptions = {},
): Promise<App> {
  if (tracing !== undefined) service.metrics.watchSpans(() => tracing.spans);
  const state = { ready: true };
  const ending = new AbortController();
  // Each request in flight listens.
  setMaxListeners(0, ending.signal);
  const keys = await openKeys(config, service.metrics, logger);
  const certificate = await openTls(config, service.metrics, logger);
  const http = await createHttpServer({
    config,
    tls: certificate?.content,
    keyring: keys?.keyring,
    logger,
    tracing,
    ...service,
    inputStep: service.policy.inputStep,
    runCosts: () => service.batcher.runCosts(),
    playgroundFolder,
    isAlive: () => service.pool.failure === undefined,
    ending: ending.signal,
    isReady: () => state.ready && service.pool.ready > 0 && service.registry.defaultName !== undefined,
  });
  certificate?.follow(http.server as unknown as TlsServer);
  return {
    http,
    async listen(at) {
      const { adminHost: host, adminPort: port } = config;
      await listen(http, at).catch(unavailable(`PORT=${at.port} HOST=${at.host}`));
      if (port === undefined) return;
      const failed = unavailable(`FULLCONV_ADMIN_PORT=${port} FULLCONV_ADMIN_HOST=${host}`);
      await listenForAdministration(http, { host, port }).catch(async (error: unknown) => {
        // Otherwise it would listen on, with nothing behind it.
        await http.close();
        failed(error);
      });
    },
    adminPort: () => portOfAdministration(http.server),
    markDraining: () => {
      state.ready = false;
    },
    hangUp() {
      ending.abort(new ServiceError('DRAINING', 'The server has ended before there was an answer.'));
      setTimeout(() => http.server.closeAllConnections(), LAST_ANSWERS_MS).unref();
    },
    async close() {
      state.ready = false;
      try {
        await http.close();
      } finally {
        keys?.file.close();
        certificate?.close();
        await service.close();
      }
    },
  };
}
