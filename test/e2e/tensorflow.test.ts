/** The server on the TensorFlow engine: in workers, beside ONNX Runtime's answers, and where TensorFlow is missing. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import type { Work, WorkOutput } from '../../src/inference/work.js';
import { createPool } from '../../src/processes/pool.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { asFeeds, BINDINGS, INSTALLED_BINDINGS } from '../support/engines.js';
import { randomTensor } from '../support/ort.js';
import { startServer, type ServerProcess } from '../support/server.js';
import { tinyResNet } from '../support/tiny-graphs.js';

const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
const PHOTO = fileURLToPath(new URL('../fixtures/photos/coffee.png', import.meta.url));
const WORKER = fileURLToPath(new URL('../../dist/engine-process/main.js', import.meta.url));
const WASM = { FULLCONV_ENGINE: 'tensorflow', FULLCONV_DEVICE: 'wasm' };

interface Answers {
  readonly predictions: readonly { readonly label: string; readonly probability: number }[];
  readonly peak: { readonly x: number; readonly y: number };
  readonly mask: unknown;
}

async function ask(app: TestApp): Promise<Answers> {
  const payload = await readFile(PHOTO);
  const post = async <T>(url: string): Promise<T> => {
    const response = await app.http.inject({ method: 'POST', url, payload, headers: { accept: 'application/json' } });
    expect(response.statusCode, response.body).toBe(200);
    return response.json<{ results: T[] }>().results[0]!;
  };
  const { predictions } = await post<Pick<Answers, 'predictions'>>('/v1/classify');
  const { classes } = await post<{ classes: Answers[] }>(
    '/v1/heatmap?class=espresso&outputStride=8&size=128&flip=true',
  );
  return { predictions, peak: classes[0]!.peak, mask: await post('/v1/segment') };
}

describe('the server on the TensorFlow engine', () => {
  let app: TestApp;
  let reference: TestApp;
  beforeAll(async () => {
    [app, reference] = await Promise.all([
      startTestApp({ ...WASM, FULLCONV_WORKERS: '2' }, MODELS),
      startTestApp({ FULLCONV_WORKERS: '1' }, MODELS),
    ]);
  });
  afterAll(() => Promise.all([app.close(), reference.close()]));

  it('has every embedded model, and says what computes', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: { name: string; state: string }[] }>();
    expect(models.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
    const { body } = await app.http.inject('/metrics');
    expect(body).toContain('fullconv_device_info{engine="tensorflow",device="wasm",provider="wasm",why="asked for"} 1');
  });

  it('answers as the other engine does', async () => {
    const [found, expected] = await Promise.all([ask(app), ask(reference)]);
    expect(found.predictions.map(({ label }) => label)).toEqual(expected.predictions.map(({ label }) => label));
    for (const [rank, { probability }] of expected.predictions.entries()) {
      expect(found.predictions[rank]!.probability).toBeCloseTo(probability, 4);
    }
    expect(found.peak).toEqual(expected.peak);
    expect(found.mask).toEqual(expected.mask);
  });

  it('answers many at once from several workers', async () => {
    const payload = await readFile(PHOTO);
    const asked = Array.from({ length: 12 }, (_, index) =>
      app.http.inject({ method: 'POST', url: `/v1/classify?scale=${1 + (index % 3) / 2}`, payload }),
    );
    for (const { statusCode } of await Promise.all(asked)) expect(statusCode).toBe(200);
  });
});

describe.each(BINDINGS.length === 0 ? (['wasm'] as const) : (['wasm', 'cpu'] as const))(
  'workers on TensorFlow (%s)',
  (kind) => {
    it('run at the same time, each with sessions of its own, and end when they have answered', async () => {
      const devices = [{ kind, index: 0 }];
      const options = { devices, workers: 3, engineOptions: { threads: 1 }, decoders: 1, workerFile: WORKER };
      const pool = await createPool<Work, WorkOutput>({ ...options, engine: 'tensorflow' });
      const model = writeOnnx(tinyResNet());
      for (const id of ['one', 'two']) await pool.open({ id, model });
      const batch = asFeeds({ input: randomTensor([1, 3, 64, 64]) });
      const run = async (id: string) => {
        const { outcomes } = await pool.run(id, [{ batch }]);
        return (outcomes[0] as { output: WorkOutput }).output.outputs;
      };
      const results = await Promise.all(['one', 'two', 'one'].map(run));
      expect(new Set(results.map((outputs) => String(outputs['logits']!.data))).size).toBe(1);
      await pool.close('one');
      await expect(run('one')).rejects.toThrow('is not open');
      const last = run('two');
      await pool.drain();
      expect(await last).toEqual(results[0]);
      expect(pool.replacements).toBe(0);
    });
  },
);

describe('a start without TensorFlow', () => {
  it.skipIf(INSTALLED_BINDINGS.length > 0)('ends with the command that installs it', async () => {
    const starting: Promise<ServerProcess> = startServer({ FULLCONV_ENGINE: 'tensorflow', FULLCONV_DEVICE: 'cuda' });
    await expect(starting).rejects.toThrow(
      /^ended with 3: [^]*fullconv: FULLCONV_ENGINE=tensorflow cannot be used\. cuda: @tensorflow\/tfjs-node-gpu is not installed: npm install .*Node 20 and 22, not on 23 or later\.\s*$/,
    );
  });

  it('is refused with the devices of the engine', async () => {
    const starting = startServer({ FULLCONV_ENGINE: 'tensorflow', FULLCONV_DEVICE: 'webgpu' });
    await expect(starting).rejects.toThrow('FULLCONV_DEVICE=webgpu: tensorflow runs on cpu, cuda, wasm only');
  });
});
