/**
 * The composition root: here the two roads meet. A service is the engine room (workers, batcher, models) without HTTP,
 * as the command line uses it; an app is a service behind fastify.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Config } from './config.js';
import { createHttpServer } from './http/http-server.js';
import { createMetrics, type Metrics } from './http/metrics.js';
import { createBatcher, type Batcher } from './inference/batcher.js';
import { createInference, type Inference } from './inference/infer.js';
import { createRegistry, type Registry } from './models/registry.js';
import { createPool, type WorkerPool } from './runtime/pool.js';

/** Workers and batches, without any model. */
export interface EngineRoom {
  readonly pool: WorkerPool;
  readonly batcher: Batcher;
  readonly metrics: Metrics;
  /** Refuse new work, finish what is in flight, end the workers. */
  close(): Promise<void>;
}

export interface Service extends EngineRoom {
  readonly registry: Registry;
  readonly inference: Inference;
}

export type Logger = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>;

/** The built worker, beside this file. */
const WORKER_FILE = fileURLToPath(new URL('./runtime/worker.js', import.meta.url));

/** The built page, beside this file. */
const PLAYGROUND_FOLDER = fileURLToPath(new URL('./playground/', import.meta.url));

/** What a load runs takes its turn among the requests, however long that takes. */
const UNHURRIED = { cost: 0, priority: 0, deadline: Number.POSITIVE_INFINITY };

/** Start the workers. `admitted`: how many images are in the server. Rejects when no worker starts. */
export async function createEngineRoom(
  config: Config,
  log: Logger,
  { workerFile = WORKER_FILE, admitted = () => 0 }: { workerFile?: string; admitted?: () => number } = {},
): Promise<EngineRoom> {
  const metrics = createMetrics({
    admitted,
    idleWorkers: () => pool.idle,
    engine: () => ({ engine: config.engine, provider: pool.provider }),
  });
  const pool = await createPool({
    workers: config.workers,
    engine: config.engine,
    engineOptions: {
      threads: config.threads,
      providers: config.providers,
      kept: { folder: join(config.cache, 'optimized'), maxBytes: config.cacheMb * 2 ** 20 },
    },
    workerFile,
    onWorkerLost: (info) => {
      metrics.observeWorkerLost();
      log.error({ ...info, err: info.error }, 'a worker died');
    },
  });
  const batcher = createBatcher({
    executor: pool,
    limits: {
      maxBatchSize: config.maxBatch,
      maxBatchCost: config.maxBatchGflops * 1e9,
      maxQueue: config.maxQueue,
      lingerMs: 0,
    },
    onDispatch: (report) => metrics.observeDispatch(report),
  });
  return {
    pool,
    batcher,
    metrics,
    async close() {
      await batcher.drain();
      await pool.drain();
    },
  };
}

/** Start the workers and load the models. Rejects when no worker starts or the default model does not exist. */
export async function createService(config: Config, log: Logger, workerFile = WORKER_FILE): Promise<Service> {
  const room = await createEngineRoom(config, log, { workerFile, admitted: () => inference.admitted });
  const { pool, batcher, metrics } = room;
  const inference: Inference = createInference({
    batcher,
    lease: (model, view) => registry.lease(model, view),
    limits: config,
    background: config.background,
    observe: metrics.observePhase,
  });
  const registry: Registry = await createRegistry(
    { folder: config.models, cache: config.cache, untrained: config.untrained, defaultModel: config.defaultModel },
    {
      open: (spec) => pool.open(spec),
      close: (id) => pool.close(id),
      run: async (session, feeds) => {
        const { outputs } = await batcher.submit({ session, feeds, ...UNHURRIED });
        return outputs;
      },
    },
    ({ name, state, reason, model }, error) => {
      const facts = { model: name, state, reason, parameters: model?.parameters };
      if (error === undefined) log.info(facts, 'model');
      else log.error({ ...facts, err: error }, 'a model could not be loaded');
    },
  ).catch(async (error: unknown) => {
    await pool.drain();
    throw error;
  });
  return { ...room, registry, inference };
}

export interface App {
  readonly http: FastifyInstance;
  /** Readiness turns false at once; the routes go on answering. */
  markDraining(): void;
  /** Refuse new requests with DRAINING, answer those in flight, end the workers. */
  close(): Promise<void>;
  /** Hang up on every client, so that `close` need not wait for those who do not read their answers. */
  hangUp(): void;
}

/** A service behind HTTP. */
export async function createApp(
  config: Config,
  service: Service,
  logger: FastifyBaseLogger | false,
  playgroundFolder = PLAYGROUND_FOLDER,
): Promise<App> {
  const state = { ready: true };
  const http = await createHttpServer({
    config,
    logger,
    ...service,
    playgroundFolder,
    isAlive: () => service.pool.failure === undefined,
    isReady: () => state.ready && service.pool.ready > 0 && service.registry.defaultName !== undefined,
  });
  return {
    http,
    markDraining: () => {
      state.ready = false;
    },
    hangUp: () => http.server.closeAllConnections(),
    async close() {
      state.ready = false;
      await http.close();
      await service.close();
    },
  };
}
