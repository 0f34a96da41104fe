/** How a service starts: models are read while the workers start, and what keeps it from starting is said once. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createService, type Logger } from '../../src/app.js';
import { readConfig } from '../../src/config.js';
import { writeTinyModels } from '../support/tiny-models.js';

const workerFile = fileURLToPath(new URL('../fixtures/late-worker.mjs', import.meta.url));
let folder: string;
let models: string;
beforeEach(async () => {
  [folder, models] = [await mkdtemp(join(tmpdir(), 'fullconv-start-')), await writeTinyModels()];
  vi.stubEnv('LATE_WORKER_MARKER', join(folder, 'marker'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const each of [folder, models]) await rm(each, { recursive: true });
});

/** What the log says of models, in order. */
function collector(): { log: Logger; states: unknown[]; errors: unknown[] } {
  const [states, errors] = [[] as unknown[], [] as unknown[]];
  const log = {
    info: (facts: object) => {
      if ('state' in facts) states.push(facts.state);
    },
    warn: () => undefined,
    error: (facts: object) => void errors.push(facts),
  };
  return { log: log, states, errors };
}

const config = () => readConfig({ FULLCONV_MODELS: models, FULLCONV_DEVICE: 'cpu', FULLCONV_WORKERS: '1' });

it('reads models while the workers start', async () => {
  const { log, states, errors } = collector();
  const starting = createService(config(), log, { workerFile });
  await expect.poll(() => states).toEqual(['loading', 'loading']);
  await writeFile(join(folder, 'marker'), 'go');
  const service = await starting;
  expect(service.registry.list().map(({ state }) => state)).toEqual(['ready', 'ready']);
  expect(errors).toEqual([]);
  await service.close();
});

it('says once why no worker starts, and nothing of the models', async () => {
  const { log, errors } = collector();
  await writeFile(join(folder, 'marker'), 'broken');
  await expect(createService(config(), log, { workerFile })).rejects.toThrow(
    /no worker can be started: .* ended with code 1/,
  );
  expect(errors.filter((facts) => 'state' in (facts as object))).toEqual([]);
});
