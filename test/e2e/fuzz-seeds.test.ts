/** Every case that a fuzzer has found, again: `npm run fuzz` keeps those that fail in test/fixtures/fuzz. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileName, readCases, SEEDS } from '../../load/fuzz/case-file.js';
import { exchange } from '../../load/fuzz/exchange.js';
import { repeatInside } from '../../load/fuzz/repeat.js';
import { faultIn, type ApiDocument } from '../../load/fuzz/verdict.js';
import { startServer, type ServerProcess } from '../support/server.js';
import { writeTinyModels } from '../support/tiny-models.js';

/** Longer than any answer takes; what hangs is over then. */
const PATIENCE_MS = 60_000;

const ROOT = new URL('../../', import.meta.url).pathname;
const cases = await readCases(join(ROOT, SEEDS));
const isInside = ({ kind }: (typeof cases)[number]): boolean => kind === 'models' || kind === 'parsers';

describe('a server', () => {
  let server: ServerProcess;
  let models: string;
  let document: ApiDocument;
  beforeAll(async () => {
    models = await writeTinyModels();
    document = JSON.parse(await readFile(join(ROOT, 'openapi/openapi.json'), 'utf8')) as ApiDocument;
    server = await startServer({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '1' });
  });
  afterAll(async () => {
    await server.stop();
    await rm(models, { recursive: true });
  });

  it.each(cases.filter((one) => !isInside(one)).map((one) => [fileName(one), one.bytes] as const))(
    'answers %s',
    async (_, bytes) => {
      const found = await exchange(server.url, bytes, PATIENCE_MS);
      expect(faultIn(bytes, found, { document, deadlineMs: PATIENCE_MS })).toBeUndefined();
      const metrics = await fetch(`${server.url}/metrics`);
      expect(await metrics.text()).toContain('\nfullconv_workers_lost_total 0\n');
    },
  );
});

describe('a reader', () => {
  const inside = cases.filter(isInside);
  it.each(inside.map((one) => [fileName(one), one] as const))('takes %s', async (_, one) => {
    expect(await repeatInside(one)).toBeUndefined();
  });
});
