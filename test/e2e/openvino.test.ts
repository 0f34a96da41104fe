/** The server on the OpenVINO engine beside ONNX Runtime's answers; what is said where OpenVINO is missing. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPENVINO } from '../support/engines.js';
import { startServer, type ServerProcess } from '../support/server.js';

const MODELS = fileURLToPath(new URL('../../models', import.meta.url));
const PHOTO = fileURLToPath(new URL('../fixtures/photos/coffee.png', import.meta.url));
const RESNET = 'tinyimagenet-resnet18-w48';

interface Answer {
  readonly model: { readonly engine: string; readonly precision: string };
  readonly results: readonly {
    readonly predictions: readonly { readonly label: string; readonly probability: number }[];
  }[];
}

interface Listed {
  readonly name: string;
  readonly state: string;
  readonly engine: string;
  readonly precision: string;
}

let cache: string;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'fullconv-openvino-'));
});
afterAll(() => rm(cache, { recursive: true }));

const OPTIONS = () => ({ FULLCONV_MODELS: MODELS, FULLCONV_WORKERS: '1', FULLCONV_CACHE: cache });
const folder = process.env['FULLCONV_OPENVINO'];
const onOpenvino = (settings: Record<string, string> = {}): Promise<ServerProcess> =>
  startServer({
    ...OPTIONS(),
    FULLCONV_ENGINE: 'openvino',
    ...(folder !== undefined && { FULLCONV_OPENVINO: folder }),
    ...settings,
  });

async function classify({ url }: ServerProcess, model: string): Promise<Answer> {
  const response = await fetch(`${url}/v1/classify?model=${model}`, { method: 'POST', body: await readFile(PHOTO) });
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

async function list({ url }: ServerProcess): Promise<readonly Listed[]> {
  return ((await (await fetch(`${url}/v1/models`)).json()) as { models: Listed[] }).models;
}

describe.skipIf(OPENVINO === undefined)('the server on the OpenVINO engine', () => {
  it('answers as on ONNX Runtime in single precision, and says what computes', async () => {
    const [reference, server] = await Promise.all([
      startServer({ ...OPTIONS(), FULLCONV_ENGINE: 'onnxruntime' }),
      onOpenvino({ FULLCONV_PRECISION: 'fp32' }),
    ]);
    try {
      for (const { name, state, engine, precision } of await list(server)) {
        expect({ state, engine, precision }).toEqual({ state: 'ready', engine: 'openvino', precision: 'fp32' });
        const [expected, found] = await Promise.all([classify(reference, name), classify(server, name)]);
        expect(expected.model).toMatchObject({ engine: 'onnxruntime', precision: 'fp32' });
        expect(found.model).toMatchObject({ engine: 'openvino', precision: 'fp32' });
        for (const [rank, { label, probability }] of expected.results[0]!.predictions.entries()) {
          expect(found.results[0]!.predictions[rank]).toMatchObject({ label });
          expect(found.results[0]!.predictions[rank]!.probability).toBeCloseTo(probability, 4);
        }
      }
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(metrics).toMatch(
        /fullconv_device_info\{engine="openvino",device="cpu",provider="cpu",why="asked for; a core runs/,
      );
    } finally {
      await Promise.all([reference.stop(), server.stop()]);
    }
  });

  it('computes in bfloat16 what stays the same in it, where the processor is faster in it', async () => {
    const server = await onOpenvino();
    try {
      const precisions = new Map((await list(server)).map(({ name, precision }) => [name, precision]));
      const isFaster = server.log.some((line) => line.includes('with openvino in bf16'));
      expect(precisions.get(RESNET)).toBe(isFaster ? 'bf16' : 'fp32');
      // Its logits on noise differ by 6 % of the largest, which it allows.
      expect(precisions.get('imagenet-efficientnet-lite0')).toBe(isFaster ? 'bf16' : 'fp32');
      expect((await classify(server, RESNET)).model.precision).toBe(precisions.get(RESNET));
    } finally {
      await server.stop();
    }
  });

  it('is what auto takes where it is faster', async () => {
    const server = await onOpenvino({ FULLCONV_ENGINE: 'auto', FULLCONV_MEMORY_MB: '100000' });
    try {
      const [, there, here] = /in ([\d.]+) ms with openvino[^,]*, in ([\d.]+) with onnxruntime/.exec(
        server.log.join('\n'),
      )!;
      // Between the two is a tenth, and what rounding makes of the figures.
      const [model] = await list(server);
      if (Number(there) * 1.2 < Number(here)) expect(model!.engine).toBe('openvino');
      if (Number(there) > Number(here)) expect(model!.engine).toBe('onnxruntime');
    } finally {
      await server.stop();
    }
  });
});

it('where OpenVINO is missing, the start ends with what would help', async () => {
  await expect(onOpenvino({ FULLCONV_OPENVINO: cache })).rejects.toThrow(
    /^ended with 3: [^]*fullconv: FULLCONV_ENGINE=openvino: FULLCONV_OPENVINO=\S+: there is no C library of OpenVINO in this folder/,
  );
});

it('bfloat16 that is asked for where nothing is faster in it ends the start', async () => {
  const starting = startServer({ ...OPTIONS(), FULLCONV_ENGINE: 'onnxruntime', FULLCONV_PRECISION: 'bf16' });
  await expect(starting).rejects.toThrow(
    /^ended with 3: [^]*FULLCONV_PRECISION=bf16: onnxruntime on this machine's cpu is not faster in it/,
  );
});
