/** A classifier from elsewhere, served from its LayersModel as it is: channels last, `same` padding, weights in shards. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { accuracyOnPhotos, peaksOnObjects } from '../support/imagenet.js';
import { hasShared, shared } from '../support/shared.js';
import { writeTinyDarknet } from '../support/tiny-darknet.js';

interface Maps {
  results: { classes: { values: number[][] }[] }[];
}

describe.skipIf(!hasShared)('Tiny Darknet from TensorFlow.js', () => {
  let app: TestApp;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-tiny-darknet-'));
    await writeTinyDarknet(join(folder, 'models'));
    app = await startTestApp({ FULLCONV_CACHE: join(folder, 'cache') }, join(folder, 'models'));
  });
  afterAll(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });

  it('is ready, with a class map of stride 16', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: object[] }>();
    expect(models).toMatchObject([
      { state: 'ready', classes: 1000, parameters: 1_042_104, outputStrides: [16, 8, 4], architecture: 'tfjs-layers' },
    ]);
  });

  it('is right about more than half of the photos, and has four fifths among its five best', async () => {
    const { photos, top1, top5 } = await accuracyOnPhotos(app);
    process.stderr.write(`Tiny Darknet: top-1 ${top1}, top-5 ${top5} of ${photos}\n`);
    expect(photos).toBe(51);
    expect(top1).toBeGreaterThan(photos / 2);
    expect(top5).toBeGreaterThan((photos * 4) / 5);
  });

  it('measured that its class map computes what its layers compute', async () => {
    const { deviation } = (await app.http.inject('/v1/models/tiny-darknet')).json<{ deviation: number }>();
    process.stderr.write(`Tiny Darknet: parity ${deviation.toExponential(2)} of the largest logit\n`);
    expect(deviation).toBeLessThan(1e-5);
  });

  it('gives the same maps in tiles, where the padding depends on the input’s size', async () => {
    const [cache, models] = [join(folder, 'cache'), join(folder, 'models')];
    const small = await startTestApp({ FULLCONV_CACHE: cache, FULLCONV_MAX_INPUT_PIXELS: '160000' }, models);
    try {
      const payload = await readFile(shared('coco/000000000247.jpg'));
      for (const scale of [0.98, 1, 1.013]) {
        const url = `/v1/heatmap?fit=native&class=n02690373&scores=logit&tiles&scale=${scale}`;
        const headers = { accept: 'application/json' };
        const [tiled, whole] = await Promise.all(
          [small, app].map(async ({ http }) =>
            (await http.inject({ method: 'POST', url, headers, payload })).json<Maps>(),
          ),
        );
        const [parts, one] = [tiled, whole].map((answer) => answer!.results[0]!.classes[0]!.values.flat());
        expect(parts).toHaveLength(one!.length);
        parts!.forEach((value, cell) => expect(Math.abs(value - one![cell]!)).toBeLessThan(1e-2));
      }
    } finally {
      await small.close();
    }
  });

  it('sees what is in a photo where it is', async () => {
    const { photos, onObject } = await peaksOnObjects(app);
    process.stderr.write(`Tiny Darknet: ${onObject} of ${photos} peaks on the object\n`);
    expect(onObject).toBeGreaterThanOrEqual(photos - 1);
  });
});
