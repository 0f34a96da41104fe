/**
 * Classifiers in the forms that other people's have, over HTTP: the answer is what the file computes, made a probability as the file
 * means it. The expected numbers are onnxruntime's, and TensorFlow.js's for LayersModels.
 */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type ServerProcess } from '../support/server.js';
import { hasShared, shared } from '../support/shared.js';
import { predict, readLayersModel } from '../support/tfjs.js';

interface Expected {
  readonly file_output: readonly number[];
}

const expected = hasShared
  ? (JSON.parse(await readFile(shared('wild-models', 'expected.json'), 'utf8')) as Record<string, Expected>)
  : {};

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

function softmax(values: readonly number[]): number[] {
  const largest = Math.max(...values);
  const terms = values.map((value) => Math.exp(value - largest));
  const sum = terms.reduce((total, term) => total + term, 0);
  return terms.map((term) => term / sum);
}

/** Models whose file gives logits of classes that exclude each other, and what each has. */
const OTHERS = {
  bnhead: 'arithmetic between fully connected layers',
  chainpad: 'padding that is computed from constants',
  concatpool: 'two poolings, joined',
  gray: 'one channel',
  incpool28: 'branches whose sizes agree only for some inputs',
  minus1: 'a free size, written as -1',
  padres: 'branches whose sizes agree only for some inputs',
};

/** What the file's numbers are, and what an answer has of them. */
const READINGS = {
  sigmoid1: { output: 'sigmoid', probabilities: 'sigmoid', of: (value: number) => value },
  sigmoid4: { output: 'sigmoid', probabilities: 'sigmoid', of: (value: number) => value },
  logit1: { output: 'logits', probabilities: 'sigmoid', of: sigmoid },
} as const;

/** LayersModels, and what TensorFlow.js itself is given: planes of numbers from 0 to 1, or the luma of a picture. */
const LAYERS_MODELS = {
  'k-gray': { output: 'probabilities', channels: 1 },
  'k-gapbn': { output: 'probabilities', channels: 3 },
  'k-sigmoid1': { output: 'sigmoid', channels: 3 },
} as const;

/** A picture [1, C, h, w]. */
async function planesOf(file: string, channels: 1 | 3) {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const pixels = Array.from({ length: info.width * info.height }, (_, index) => [
    ...data.subarray(3 * index, 3 * index + 3),
  ]);
  const luma = ([r = 0, g = 0, b = 0]: number[]): number => Math.round(0.299 * r + 0.587 * g + 0.114 * b);
  const planes = channels === 1 ? [pixels.map(luma)] : [0, 1, 2].map((c) => pixels.map((pixel) => pixel[c]!));
  return {
    dims: [1, channels, info.height, info.width],
    data: Float32Array.from(planes.flat(), (value) => value / 255),
  };
}

interface Answer {
  readonly results: readonly { readonly predictions: readonly { index: number; probability: number }[] }[];
}

describe.skipIf(!hasShared)("other people's classifiers", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await startServer({ FULLCONV_MODELS: shared('wild-models') });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  const ask = async (path: string, name: string): Promise<Response> => {
    const body = await readFile(shared('wild-models', name, 'input.png'));
    return fetch(`${server.url}${path}`, { method: 'POST', body, headers: { accept: 'application/json' } });
  };
  const describeModel = async (name: string): Promise<Record<string, unknown>> =>
    (await (await fetch(`${server.url}/v1/models/${name}`)).json()) as Record<string, unknown>;

  it.each(Object.entries(READINGS))('answer as the file means: %s', async (name, { of, ...reading }) => {
    expect(await describeModel(name)).toMatchObject({ state: 'ready', ...reading });
    // Fewer classes than five are no reason to refuse the simplest question.
    const response = await ask(`/v1/classify?model=${name}&fit=crop`, name);
    expect(response.status).toBe(200);
    const { results } = (await response.json()) as Answer;
    const byClass = results[0]!.predictions.toSorted((a, b) => a.index - b.index);
    const right = expected[name]!.file_output.map(of);
    expect(byClass).toHaveLength(right.length);
    byClass.forEach(({ probability }, index) => expect(probability).toBeCloseTo(right[index]!, 4));
  });

  it.each(Object.entries(OTHERS))('answer as the file computes: %s, with %s', async (name) => {
    expect(await describeModel(name)).toMatchObject({ state: 'ready', output: 'logits' });
    const { results } = (await (await ask(`/v1/classify?model=${name}&fit=native`, name)).json()) as Answer;
    const byClass = results[0]!.predictions.toSorted((a, b) => a.index - b.index);
    const right = softmax(expected[name]!.file_output);
    expect(byClass.map(({ probability }) => probability)).toHaveLength(right.length);
    byClass.forEach(({ probability }, index) => expect(probability).toBeCloseTo(right[index]!, 4));
  });

  it.each(Object.entries(LAYERS_MODELS))('answer as TensorFlow.js does: %s', async (name, { output, channels }) => {
    expect(await describeModel(name)).toMatchObject({ state: 'ready', output, mapKinds: ['windows', 'cells'] });
    const picture = shared('wild-models', 'sigmoid4', 'input.png');
    const model = await readLayersModel(shared('wild-models', name, 'tfjs'));
    const right = Array.from(predict(model, await planesOf(picture, channels)).data, Number);
    const { results } = (await (await ask(`/v1/classify?model=${name}&fit=native`, 'sigmoid4')).json()) as Answer;
    const byClass = results[0]!.predictions.toSorted((a, b) => a.index - b.index);
    expect(byClass).toHaveLength(right.length);
    byClass.forEach(({ probability }, index) => expect(probability).toBeCloseTo(right[index]!, 4));
  });

  it.each(Object.keys(OTHERS))('answer at each size, or say why not: %s', async (name) => {
    const statuses = new Set<number>();
    for (let size = 24; size <= 41; size++) {
      for (const question of [`classify?fit=stretch&size=${size}`, `heatmap?size=${size}`, `segment?size=${size}`]) {
        const response = await ask(`/v1/${question}&model=${name}`, name);
        statuses.add(response.status);
        const answer = (await response.json()) as { code?: string };
        if (response.status !== 200) expect(answer.code).toBe('OUTPUT_UNSUPPORTED');
      }
    }
    expect([...statuses].filter((status) => status !== 200 && status !== 422)).toEqual([]);
    expect(statuses).toContain(200);
  });

  it('show where the head of a net with hidden layers answers what, cell by cell', async () => {
    const maps = await describeModel('concatpool');
    expect(maps).toMatchObject({ mapKinds: ['windows', 'cells'] });
    const response = await ask('/v1/heatmap?model=concatpool&fit=native&map=cells&class=0', 'concatpool');
    const { results } = (await response.json()) as { results: { map: object }[] };
    expect(results[0]!.map).toMatchObject({ kind: 'cells', width: 8, height: 8 });
    const exact = await ask('/v1/heatmap?model=concatpool&fit=native&class=0', 'concatpool');
    expect(((await exact.json()) as { results: { map: object }[] }).results[0]!.map).toMatchObject({
      kind: 'windows',
      width: 1,
      height: 1,
    });
    expect((await ask('/v1/heatmap?model=bnhead&map=cells', 'bnhead')).status).toBe(422);
  });

  it('have maps of independent classes that are the sigmoids of their logits', async () => {
    const mapsAs = async (scores: string): Promise<Map<string, number[]>> => {
      const response = await ask(`/v1/heatmap?model=sigmoid4&top=4&fit=crop&scores=${scores}`, 'sigmoid4');
      expect(response.status).toBe(200);
      const { results } = (await response.json()) as { results: { classes: { id: string; values: number[][] }[] }[] };
      return new Map(results[0]!.classes.map(({ id, values }) => [id, values.flat()]));
    };
    const [logits, probabilities] = [await mapsAs('logit'), await mapsAs('probability')];
    expect(logits.size).toBe(4);
    for (const [id, values] of logits) {
      probabilities.get(id)!.forEach((value, cell) => expect(value).toBeCloseTo(sigmoid(values[cell]!), 5));
      // The net pools its last map: the mean of the cells is the image's.
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(sigmoid(mean)).toBeCloseTo(expected['sigmoid4']!.file_output[Number(id)]!, 4);
    }
  });

  it('are segmented by the probability of each class', async () => {
    const unlabelled = async (minProbability: number): Promise<number> => {
      const path = `/v1/segment?model=sigmoid4&fit=crop&minProbability=${minProbability}`;
      const { results } = (await (await ask(path, 'sigmoid4')).json()) as { results: { unlabelled: number }[] };
      return results[0]!.unlabelled;
    };
    // Two classes are near 1 in every cell: of a softmax, neither would be.
    expect(await unlabelled(0.9)).toBe(0);
  });
});
