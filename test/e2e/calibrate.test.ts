/** `fullconv calibrate`, and the probabilities that a server gives at the temperature that it has written. */
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { softmax } from '../../src/maps/scores.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { runFullconv, type Ended } from '../support/command-line.js';
import { writeTinyModels } from '../support/tiny-models.js';

const PHOTO = fileURLToPath(new URL('../fixtures/photos/chelsea.png', import.meta.url));

let root: string;
let models: string;
beforeAll(async () => {
  models = await writeTinyModels();
  root = await mkdtemp(join(tmpdir(), 'fullconv-calibrate-'));
  for (let index = 0; index < 120; index++) {
    const folder = join(root, 'images', `id-${index % 10}`);
    await mkdir(folder, { recursive: true });
    await sharp(PHOTO)
      .extract({ left: 2 * index, top: index, width: 64 + (index % 3), height: 64 })
      .png()
      .toFile(join(folder, `${index}.png`));
  }
  await cp(join(root, 'images', 'id-0'), join(root, 'few', 'id-0'), { recursive: true });
  await mkdir(join(root, 'others'));
  await copyFile(PHOTO, join(root, 'others', 'cat.png'));
  await writeFile(join(root, 'others', 'bad.png'), 'nothing');
});
afterAll(() => Promise.all([models, root].map((path) => rm(path, { recursive: true }))));

const calibrate = (...args: string[]): Promise<Ended> =>
  runFullconv({ FULLCONV_MODELS: models, FULLCONV_CACHE: join(root, 'cache') }, 'calibrate', ...args);
const images = (): string => join(root, 'images');

interface Classified {
  readonly results: [
    { readonly predictions: { readonly index: number; readonly probability?: number; readonly logit?: number }[] },
  ];
}
interface Mapped {
  readonly results: [{ readonly classes: { readonly index: number; readonly values: number[][] }[] }];
}

it('fits a temperature, measures it on other images, and writes it for the server', async () => {
  const told = await calibrate(images(), '--others', join(root, 'others'), '--model', 'tiny-vgg');
  expect(told.code, told.stderr).toBe(1);
  expect(told.stdout).toMatch(/^tiny-vgg at 64 pixels, 120 images: temperature \S+; --write keeps it\n/);
  expect(told.stdout).toMatch(/\nECE % +\d+\.\d+ +\d+\.\d+\n/);
  expect(told.stdout).toMatch(/\nAUROC of the largest logit against 1 others: [01]\.\d{4}\n$/);
  expect(told.stderr).toContain('bad.png: ');
  const file = join(models, 'tiny-vgg', 'model.json');
  const before = JSON.parse(await readFile(file, 'utf8')) as object;
  expect(before).not.toHaveProperty('temperature');

  const written = await calibrate(images(), '--model', 'tiny-vgg', '--write', '--json');
  expect(written.code, written.stderr).toBe(0);
  interface Worth {
    readonly temperature: number;
    readonly negativeLogLikelihood: number;
  }
  const { temperature, ...measured } = JSON.parse(written.stdout) as {
    temperature: number;
    before: Worth;
    after: Worth;
  };
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ ...before, temperature });
  expect(temperature).not.toBe(1);
  expect(measured.before.temperature).toBe(1);
  // These labels mean nothing: the less sure a net is, the better.
  expect(measured.after.negativeLogLikelihood).toBeLessThan(measured.before.negativeLogLikelihood + 0.01);

  // Where nearly all answers are right, a net may be surer.
  const easier = await calibrate(images(), '--model', 'tiny-vgg', '--accuracy', '0.99');
  expect(easier.stdout).toContain('counted as if 99.00 % were right');
  expect(Number(/temperature ([\d.]+);/.exec(easier.stdout)?.[1])).toBeLessThan(temperature);

  const all = await calibrate(images(), '--model', 'tiny-vgg', '--accuracy', '1');
  expect(all).toMatchObject({ code: 2, stderr: expect.stringContaining('above 0 and below 1') as string });

  // The command writes nothing that is special: any temperature is what probabilities are made with.
  await writeFile(file, JSON.stringify({ ...before, temperature: 0.25 }));
  const app = await startTestApp({ FULLCONV_CACHE: join(root, 'cache') }, models);
  try {
    expect((await app.http.inject('/v1/models/tiny-vgg')).json()).toMatchObject({ temperature: 0.25 });
    await expectTemperature(app, 0.25);
  } finally {
    await app.close();
  }
});

async function expectTemperature(app: TestApp, temperature: number): Promise<void> {
  const payload = await readFile(PHOTO);
  const ask = async <T>(query: string): Promise<T> => {
    const headers = { accept: 'application/json' };
    const response = await app.http.inject({ method: 'POST', url: `/v1/${query}&model=tiny-vgg`, headers, payload });
    expect(response.statusCode, response.body).toBe(200);
    return response.json<T>();
  };
  const scoresOf = async (scores: 'probability' | 'logit'): Promise<Float32Array> => {
    const { results } = await ask<Classified>(`classify?topK=10&scores=${scores}`);
    const sorted = [...results[0].predictions].sort((a, b) => a.index - b.index);
    return Float32Array.from(sorted, (each) => each[scores]!);
  };
  const expected = softmax(await scoresOf('logit'), temperature);
  (await scoresOf('probability')).forEach((score, index) => expect(score).toBeCloseTo(expected[index]!, 5));

  const mapsOf = async (scores: string, query: string): Promise<number[][]> => {
    const all = Array.from({ length: 10 }, (_, index) => `class=${index}`).join('&');
    const { results } = await ask<Mapped>(`heatmap?${all}&size=96&scores=${scores}&${query}`);
    return [...results[0].classes].sort((a, b) => a.index - b.index).map(({ values }) => values.flat());
  };
  for (const query of ['', 'outputStride=8', 'edge=same']) {
    const [logits, probabilities] = [await mapsOf('logit', query), await mapsOf('probability', query)];
    for (const cell of logits[0]!.keys()) {
      const wanted = softmax(
        Float32Array.from(logits, (map) => map[cell]!),
        temperature,
      );
      probabilities.forEach((map, index) => expect(map[cell]).toBeCloseTo(wanted[index]!, 4));
    }
  }
}

it('refuses few images, no images, and a model of the cache', async () => {
  const few = await calibrate(join(root, 'few'), '--model', 'tiny-vgg');
  expect(few).toMatchObject({ code: 1, stdout: '' });
  expect(few.stderr).toMatch(/12 images of classes of tiny-vgg; at least 100/);
  const none = await calibrate(join(root, 'others'));
  expect(none.stderr).toMatch(/no image of a class/);
  const cached = await runFullconv(
    { FULLCONV_MODELS: models, FULLCONV_CACHE: join(root, 'cache'), FULLCONV_UNTRAINED: 'resnet20_cifar' },
    ...['calibrate', images(), '--model', 'resnet20_cifar-untrained', '--write'],
  );
  expect(cached).toMatchObject({ code: 1, stdout: '' });
  expect(cached.stderr).toContain('is served from the cache');
});
