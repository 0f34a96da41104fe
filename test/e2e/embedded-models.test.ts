/** What a user gets without configuring anything: the embedded models on photographs they have never seen. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { startTestApp, type TestApp } from '../support/app.js';
import { relativeError } from '../support/ort.js';

interface Region {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Each photograph's class, and where its object is, in photo pixels, drawn by hand. */
const PHOTOS: readonly { file: string; label: string; object: readonly Region[] }[] = [
  { file: 'chelsea.png', label: 'tiger cat', object: [{ left: 0, top: 0, right: 400, bottom: 300 }] },
  { file: 'coffee.png', label: 'espresso', object: [{ left: 170, top: 10, right: 420, bottom: 330 }] },
  {
    file: 'grace_hopper.jpg',
    label: 'military uniform',
    // From the cap to the jacket, so with the face between them.
    object: [{ left: 30, top: 20, right: 512, bottom: 600 }],
  },
];

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({}, new URL('../../models', import.meta.url).pathname);
});
afterAll(() => app.close());

const post = async (url: string, file: string) =>
  app.http.inject({
    method: 'POST',
    url,
    headers: { accept: 'application/json' },
    payload: await readFile(new URL(`../fixtures/photos/${file}`, import.meta.url)),
  });

describe.each(PHOTOS)('the default model on $file', ({ file, label, object }) => {
  it(`has ${label} among its five best classes`, async () => {
    const response = await post('/v1/classify', file);
    const { results } = response.json<{ results: { predictions: { label: string }[] }[] }>();
    expect(results[0]!.predictions.map((prediction) => prediction.label)).toContain(label);
  });

  it(`sees ${label} where it is`, async () => {
    const response = await post(`/v1/heatmap?class=${encodeURIComponent(label)}`, file);
    expect(response.statusCode, response.body).toBe(200);
    const { results } = response.json<{ results: { classes: { peak: { x: number; y: number } }[] }[] }>();
    const { x, y } = results[0]!.classes[0]!.peak;
    const inside = object.some(({ left, top, right, bottom }) => x >= left && x < right && y >= top && y < bottom);
    expect(inside, `the peak is at (${x}, ${y})`).toBe(true);
  });
});

interface Crop {
  readonly file: string;
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly logits: readonly number[];
}

const CROPS = JSON.parse(
  await readFile(new URL('../fixtures/efficientnet-lite0/logits.json', import.meta.url), 'utf8'),
) as Crop[];

it.each(CROPS)('the default model has the logits of the original weights on $file, $width×$height', async (crop) => {
  const { file, top, left, height, width } = crop;
  const photo = sharp(fileURLToPath(new URL(`../fixtures/photos/${file}`, import.meta.url)));
  const payload = await photo.extract({ top, left, height, width }).png().toBuffer();
  const query = 'fit=native&scores=logit&topK=1000';
  const response = await app.http.inject({ method: 'POST', url: `/v1/classify?${query}`, payload });
  expect(response.statusCode, response.body).toBe(200);
  const { results } = response.json<{ results: { predictions: { index: number; logit: number }[] }[] }>();
  const logits = Array<number>(crop.logits.length).fill(NaN);
  for (const { index, logit } of results[0]!.predictions) logits[index] = logit;
  expect(relativeError(logits, crop.logits)).toBeLessThan(1e-3);
});

describe('the maps of the default model, where a request does not say', () => {
  const picture = async (query: string): Promise<Buffer> => {
    const payload = await readFile(new URL('../fixtures/photos/coffee.png', import.meta.url));
    const response = await app.http.inject({ method: 'POST', url: `/v1/heatmap?${query}`, payload });
    expect(response.statusCode, response.body).toBe(200);
    return response.rawPayload;
  };

  it('see the objects as large as the evaluation does', async () => {
    const inputOf = async (url: string) =>
      (await post(url, 'coffee.png')).json<{ results: { input: object }[] }>().results[0]!.input;
    expect(await inputOf('/v1/heatmap')).toEqual({ width: 384, height: 256, scale: 1 });
    expect(await inputOf('/v1/segment')).toEqual({ width: 384, height: 256, scale: 1 });
    expect(await inputOf('/v1/heatmap?size=224')).toEqual({ width: 336, height: 224, scale: 1 });
    expect(await inputOf('/v1/heatmap?fit=crop')).toEqual({ width: 224, height: 224, scale: 1 });
    expect(await inputOf('/v1/classify?fit=whole')).toEqual({ width: 336, height: 224, scale: 1 });
  });

  it('are normalized in pictures and probabilities in numbers, of 16 bits too', async () => {
    expect(await picture('')).toEqual(await picture('scores=normalized&size=256'));
    expect(await picture('')).not.toEqual(await picture('scores=probability'));
    expect(await picture('render=gray16')).toEqual(await picture('render=gray16&scores=probability'));
    const json = (await post('/v1/heatmap', 'coffee.png')).json<{ scores: string }>();
    expect(json.scores).toBe('probability');
    const models = (await app.http.inject('/v1/models')).json<{ models: { maps?: object }[] }>().models;
    expect(models[0]!.maps).toEqual({ size: 256, scores: 'normalized' });
  });
});

it('the embedded models are ready, and every class of theirs has an id and a label', async () => {
  const { models } = (await app.http.inject('/v1/models')).json<{
    models: { name: string; state: string; reason?: string }[];
  }>();
  expect(models.map(({ name, state, reason }) => [name, state, reason])).toEqual([
    ['imagenet-efficientnet-lite0', 'ready', undefined],
    ['tinyimagenet-resnet18-w48', 'ready', undefined],
    ['tinyimagenet-vgg11bn-w32', 'ready', undefined],
  ]);
});
