/** The whole server, in process, over the tiny models: real workers, real engine, requests by `inject` or over a port. */
import { rm } from 'node:fs/promises';
import type { FastifyBaseLogger } from 'fastify';
import { createApp, createService, type App, type Logger, type Service, type ServiceOptions } from '../../src/app.js';
import { readConfig } from '../../src/config.js';
import type { Tracing } from '../../src/tracing/request-trace.js';
import { PATIENCE } from './server.js';
import { writeTinyModels } from './tiny-models.js';

const SILENT: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const WORKER_FILE = new URL('../../dist/engine-process/main.js', import.meta.url).pathname;
const LOADER_FILE = new URL('../../dist/models/load-worker.js', import.meta.url).pathname;
const IMPORTER_FILE = new URL('../../dist/models/import/draft-worker.js', import.meta.url).pathname;
const PLAYGROUND_FOLDER = new URL('../../dist/playground/', import.meta.url).pathname;

export interface TestApp extends App {
  readonly service: Service;
  readonly models: string;
}

/** Start the app with settings of its own; `close` ends it and removes its models. */
export async function startTestApp(
  environment: Record<string, string> = {},
  models?: string,
  {
    logger = false,
    tracing,
    ...options
  }: ServiceOptions & { readonly logger?: FastifyBaseLogger | false; readonly tracing?: Tracing } = {},
): Promise<TestApp> {
  const folder = models ?? (await writeTinyModels());
  const config = readConfig({
    FULLCONV_MODELS: folder,
    // Tests compare answers with figures of this engine and device.
    FULLCONV_ENGINE: 'onnxruntime',
    FULLCONV_DEVICE: 'cpu',
    FULLCONV_WORKERS: '2',
    FULLCONV_LOG_LEVEL: 'silent',
    ...PATIENCE,
    ...environment,
  });
  const service = await createService(config, SILENT, {
    workerFile: WORKER_FILE,
    loaderFile: LOADER_FILE,
    importerFile: IMPORTER_FILE,
    ...options,
  });
  const app = await createApp(config, service, logger, { playgroundFolder: PLAYGROUND_FOLDER, tracing });
  return {
    ...app,
    service,
    models: folder,
    async close() {
      await app.close();
      if (models === undefined) await rm(folder, { recursive: true });
    },
  };
}
