/** A lab for experiments, in process: real workers, real engine. */
import { fileURLToPath } from 'node:url';
import { readConfig } from '../../src/config.js';
import { createLab, type Lab } from '../../src/experiments/lab.js';
import { PATIENCE } from './server.js';

const built = (file: string): string => fileURLToPath(new URL(`../../dist/${file}`, import.meta.url));

export const EMBEDDED = fileURLToPath(new URL('../../models', import.meta.url));

/** The caller must close it. `models` are those that are not in the folder of models. */
export function testLab(environment: Record<string, string> = {}, models: readonly string[] = []): Lab {
  const config = readConfig({
    FULLCONV_MODELS: EMBEDDED,
    FULLCONV_ENGINE: 'onnxruntime',
    FULLCONV_DEVICE: 'cpu',
    FULLCONV_WORKERS: '1',
    FULLCONV_LOG_LEVEL: 'silent',
    ...PATIENCE,
    ...environment,
  });
  return createLab(config, {
    models,
    workerFile: built('engine-process/main.js'),
    loaderFile: built('models/load-worker.js'),
    importerFile: built('models/import/draft-worker.js'),
  });
}
