/** Classifiers from ONNX files behind HTTP: with a class map, and without one. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import { startTestApp, type TestApp } from '../support/app.js';
import {
  BOUND_TO_ITS_SIZE,
  BOUND_TO_ONE_IMAGE,
  HEADS,
  HIDDEN_BEHIND_POOLING,
  TINY,
  tinyClassifier,
} from '../support/tiny-classifiers.js';
import { writeOnnxModel } from '../support/tiny-models.js';

const MODELS = {
  pooled: HEADS.find(({ name }) => name.startsWith('ReduceMean'))!,
  windowed: HEADS.find(({ name }) => name.startsWith('Transpose to channels last → Reshape'))!,
  hidden: HIDDEN_BEHIND_POOLING,
  bound: BOUND_TO_ITS_SIZE,
  single: BOUND_TO_ONE_IMAGE,
};

let root: string;
let app: TestApp;
let photo: Buffer;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-onnx-http-'));
  for (const [name, head] of Object.entries(MODELS)) {
    await writeOnnxModel(join(root, 'models'), name, writeOnnx(tinyClassifier(head)), TINY);
  }
  app = await startTestApp({ FULLCONV_CACHE: join(root, 'cache') }, join(root, 'models'));
  photo = await readFile(new URL('../fixtures/photos/coffee.png', import.meta.url));
});
afterAll(async () => {
  await app.close();
  await rm(root, { recursive: true });
});

const post = (url: string) =>
  app.http.inject({ method: 'POST', url, headers: { accept: 'application/json' }, payload: photo });

interface Answer {
  code?: string;
  detail?: string;
  results: { map: { width: number; height: number }; predictions: { probability: number }[] }[];
}

describe('GET /v1/models', () => {
  it('tells strides and the measured deviation, or why there is no class map', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: Record<string, unknown>[] }>();
    const byName = new Map(models.map((model) => [model['name'], model]));
    // No finer: the squeeze and excitation at stride 2 would see other cells.
    expect(byName.get('pooled')).toMatchObject({
      state: 'ready',
      architecture: 'onnx',
      outputStrides: [4, 2],
      minimumSize: 1,
    });
    expect(byName.get('windowed')).toMatchObject({
      state: 'ready',
      outputStrides: [4, 2],
      edges: ['valid', 'same'],
    });
    for (const name of ['pooled', 'windowed']) expect(byName.get(name)!['deviation']).toBeLessThan(1e-5);
    expect(byName.get('hidden')).toMatchObject({
      state: 'ready',
      outputStrides: [],
      heatmapsUnavailable: expect.stringMatching(
        /Reshape → Softmax → Flatten → Gemm: node .* gives the channels another form/,
      ) as string,
    });
    expect(byName.get('bound')).toMatchObject({ state: 'ready', outputStrides: [] });
    expect(byName.get('single')).toMatchObject({
      outputStrides: [],
      heatmapsUnavailable: expect.stringMatching(/\(Concat\): the sizes disagree/) as string,
    });
  });
});

describe.each(['heatmap', 'segment'])('POST /v1/%s', (route) => {
  it.each(['pooled', 'windowed'])('gives the map of %s', async (model) => {
    const response = await post(`/v1/${route}?model=${model}&size=64`);
    expect(response.statusCode, response.body).toBe(200);
    const { map } = response.json<Answer>().results[0]!;
    expect(map.height).toBe(model === 'pooled' ? 16 : 13);
  });

  it.each(['hidden', 'bound'])('is refused with the reason for %s', async (model) => {
    const response = await post(`/v1/${route}?model=${model}`);
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'OUTPUT_UNSUPPORTED',
      detail: expect.stringMatching(new RegExp(`^${model} has no class map: its head is not`)) as string,
    });
  });
});

describe('POST /v1/classify', () => {
  it.each(Object.keys(MODELS))('classifies with %s, one image and several at once', async (model) => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, async () => (await post(`/v1/classify?model=${model}`)).json<Answer>()),
    );
    const first = answers[0]!.results[0]!.predictions;
    expect(first.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 4);
    for (const { results } of answers) {
      for (const [rank, { probability }] of results[0]!.predictions.entries()) {
        expect(probability).toBeCloseTo(first[rank]!.probability, 5);
      }
    }
  });

  it.each(['pooled', 'windowed', 'hidden'])('takes another size with %s', async (model) => {
    expect((await post(`/v1/classify?model=${model}&size=40`)).statusCode).toBe(200);
  });

  it('names the size of a net that takes no other', async () => {
    const response = await post('/v1/classify?model=bound&size=40');
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'OUTPUT_UNSUPPORTED',
      detail: 'bound classifies only inputs of 16×16 pixels; this one would be 40×40.',
    });
  });
});

it('parity is measured once, and kept by digest', async () => {
  expect(await readdir(join(root, 'cache/parity/onnxruntime-cpu'))).toHaveLength(2);
});
