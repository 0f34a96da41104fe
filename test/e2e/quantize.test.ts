/** `fullconv quantize`, and what it has written behind HTTP: an ordinary model that answers as the one before. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { int } from '../../src/graph/attributes.js';
import type { Graph } from '../../src/graph/graph.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import { startTestApp } from '../support/app.js';
import { runFullconv, type Ended } from '../support/command-line.js';
import { graphOf } from '../support/tiny-graphs.js';
import { writeOnnxModel, writeTinyModels } from '../support/tiny-models.js';

const PHOTOS = ['chelsea.png', 'coffee.png', 'grace_hopper.jpg'].map((name) =>
  fileURLToPath(new URL(`../fixtures/photos/${name}`, import.meta.url)),
);

let root: string;
let models: string;
beforeAll(async () => {
  models = await writeTinyModels();
  root = await mkdtemp(join(tmpdir(), 'fullconv-quantize-'));
  await mkdir(join(root, 'images/few'), { recursive: true });
  for (const [index, photo] of PHOTOS.entries()) {
    for (let part = 0; part < 6; part += 1) {
      const region = { left: 20 * part, top: 10 * part, width: 200, height: 200 };
      const folder = part === 0 ? 'images/few' : 'images';
      await sharp(photo)
        .extract(region)
        .png()
        .toFile(join(root, folder, `${index}-${part}.png`));
    }
  }
});
afterAll(() => Promise.all([models, root].map((path) => rm(path, { recursive: true }))));

const quantize = (...args: string[]): Promise<Ended> =>
  runFullconv({ FULLCONV_MODELS: models, FULLCONV_CACHE: join(root, 'cache') }, 'quantize', ...args);

describe('fullconv quantize', () => {
  it('writes models that classify and map as those before did, at every output stride', async () => {
    for (const name of ['tiny-resnet', 'tiny-vgg']) {
      const { code, stdout, stderr } = await quantize(name, '--images', join(root, 'images'), '--force', '--json');
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ name: `${name}-int8`, images: 18 });
    }
    const app = await startTestApp({ FULLCONV_CACHE: join(root, 'cache') }, models);
    try {
      const body = await readFile(PHOTOS[0]!);
      const ask = async <T>(path: string): Promise<T> => {
        const headers = { accept: 'application/json' };
        const response = await app.http.inject({ method: 'POST', url: `/v1/${path}`, headers, payload: body });
        expect(response.statusCode, response.body).toBe(200);
        return response.json<{ results: T[] }>().results[0]!;
      };
      const valuesOf = async (query: string): Promise<number[]> => {
        const { classes } = await ask<{ classes: { values: number[][] }[] }>(`heatmap?scores=logit&class=3&${query}`);
        return classes[0]!.values.flat();
      };
      for (const name of ['tiny-resnet', 'tiny-vgg']) {
        const { models: listed } = (await app.http.inject('/v1/models')).json<{ models: { name: string }[] }>();
        const entry = listed.find((each) => each.name === `${name}-int8`);
        expect(entry).toMatchObject({ precision: 'int8', outputStrides: [16, 8, 4], quantization: { images: 18 } });
        for (const query of ['size=96', 'size=96&outputStride=8', 'size=96&outputStride=8&edge=same']) {
          const [before, after] = await Promise.all(
            [name, `${name}-int8`].map((model) => valuesOf(`${query}&model=${model}`)),
          );
          expect(after).toHaveLength(before!.length);
          const spread = Math.max(...before!) - Math.min(...before!);
          const meanError =
            after!.reduce((sum, value, cell) => sum + Math.abs(value - before![cell]!), 0) / after!.length;
          expect(meanError).toBeLessThan(0.15 * spread);
        }
      }
    } finally {
      await app.close();
    }
  });

  it('calibrates a net that slides by its native size, where its own is larger', async () => {
    const folder = join(models, 'larger');
    await cp(join(models, 'tiny-vgg'), folder, { recursive: true });
    const manifest = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8')) as { input: object };
    const input = { ...manifest.input, size: 96, resize: 96 };
    await writeFile(join(folder, 'model.json'), JSON.stringify({ ...manifest, name: 'larger', input }));
    const { code, stderr } = await quantize('larger', '--images', join(root, 'images'), '--force');
    expect(code, stderr).toBe(0);
  });

  it('says of a net that takes pixels as whole numbers that the quantized one takes them from 0 to 255', async () => {
    const net = graphOf(['N', 3, 16, 16], (b, x) => {
      const pixels = b.node('Cast', [x], { attributes: { to: int(1) } });
      const maps = b.node('Relu', [b.node('Conv', [pixels, b.parameter('c.weight', [8, 3, 3, 3])])]);
      const more = b.node('Relu', [b.node('Conv', [maps, b.parameter('d.weight', [8, 8, 3, 3])])]);
      const head = [b.parameter('h.weight', [5, 8]), b.parameter('h.bias', [5])];
      const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [more])]);
      const name = b.node('Gemm', [pooled, ...head], { attributes: { transB: int(1) } });
      return [{ name, dataType: 'float32', dims: ['N', 5] }];
    });
    const whole: Graph = { ...net, inputs: [{ ...net.inputs[0]!, dataType: 'uint8' }] };
    const folder = await writeOnnxModel(models, 'whole', writeOnnx(whole), { size: 16, classes: 5 });
    const read = async (file: string) =>
      JSON.parse(await readFile(join(file, 'model.json'), 'utf8')) as { input: object };
    const manifest = await read(folder);
    // Not looked at: the file's own input says what it takes.
    const input = { ...manifest.input, range: 255, mean: [0, 0, 0], std: [1, 1, 1] };
    await writeFile(join(folder, 'model.json'), JSON.stringify({ ...manifest, input }));
    const { code, stderr } = await quantize('whole', '--images', join(root, 'images'), '--force');
    expect(code, stderr).toBe(0);
    expect((await read(join(models, 'whole-int8'))).input).toEqual({ ...input, range: 1 });
  });

  it('refuses too few images, a name that is taken, and a model that is not there', async () => {
    const few = await quantize('tiny-resnet', '--images', join(root, 'images/few'), '--as', 'other');
    expect(few.code).toBe(1);
    expect(few.stderr).toMatch(/3 images are too few to calibrate with; at least 16 are needed/);
    const taken = await quantize('tiny-resnet', '--images', join(root, 'images'), '--as', 'tiny-vgg');
    expect(taken.stderr).toMatch(/There is a model "tiny-vgg" already/);
    expect((await quantize('none', '--images', join(root, 'images'))).stderr).toMatch(/There is no model "none"/);
  });

  it('is not what a manifest can claim of a net in single precision', async () => {
    const file = join(models, 'tiny-resnet', 'model.json');
    const manifest = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...manifest, precision: 'int8' }));
    const app = await startTestApp({ FULLCONV_CACHE: join(root, 'cache') }, models);
    try {
      const entry = (await app.http.inject('/v1/models/tiny-resnet')).json<object>();
      expect(entry).toMatchObject({
        state: 'failed',
        reason: expect.stringMatching(/precision: is int8, but/) as string,
      });
    } finally {
      await app.close();
      await writeFile(file, JSON.stringify(manifest));
    }
  });
});
