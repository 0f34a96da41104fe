/**
 * Classifiers from elsewhere, served from their files as they are: SqueezeNet 1.1 in half precision, operator set 7, a
 * fixed size, BGR; Tiny Darknet with channels last, `same` padding, weights in shards.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { accuracyOnPhotos, peaksOnObjects } from '../support/imagenet.js';
import { hasShared } from '../support/shared.js';
import { writeSqueezeNet } from '../support/squeezenet.js';
import { writeTinyDarknet } from '../support/tiny-darknet.js';

describe.skipIf(!hasShared).each([
  { name: 'squeezenet1_1', architecture: 'onnx', parameters: 1_235_496, parity: 1e-2, write: writeSqueezeNet },
  { name: 'tiny-darknet', architecture: 'tfjs-layers', parameters: 1_042_104, parity: 1e-5, write: writeTinyDarknet },
])('$name as $architecture', ({ name, architecture, parameters, parity, write }) => {
  let app: TestApp;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-imported-'));
    await write(join(folder, 'models'));
    app = await startTestApp({ FULLCONV_CACHE: join(folder, 'cache') }, join(folder, 'models'));
  });
  afterAll(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });

  it('is ready, with a class map of stride 16', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: object[] }>();
    expect(models).toMatchObject([
      { state: 'ready', classes: 1000, parameters, outputStrides: [16, 8, 4], architecture },
    ]);
  });

  it('is right about more than half of the photos, and has four fifths among its five best', async () => {
    const { photos, top1, top5 } = await accuracyOnPhotos(app);
    process.stderr.write(`${name}: top-1 ${top1}, top-5 ${top5} of ${photos}\n`);
    expect(photos).toBe(51);
    expect(top1).toBeGreaterThan(photos / 2);
    expect(top5).toBeGreaterThan((photos * 4) / 5);
  });

  it('measured that its class map computes what the file computes, within the precision of the file', async () => {
    const { deviation } = (await app.http.inject(`/v1/models/${name}`)).json<{ deviation: number }>();
    process.stderr.write(`${name}: parity ${deviation.toExponential(2)} of the largest logit\n`);
    expect(deviation).toBeLessThan(parity);
  });

  it('sees what is in a photo where it is', async () => {
    const { photos, onObject } = await peaksOnObjects(app);
    process.stderr.write(`${name}: ${onObject} of ${photos} peaks on the object\n`);
    expect(onObject).toBeGreaterThanOrEqual(photos - 1);
  });
});
