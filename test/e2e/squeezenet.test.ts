/** A classifier from elsewhere, served from its ONNX file as it is: half precision, operator set 7, a fixed size, BGR. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { hasShared, shared } from '../support/shared.js';
import { writeSqueezeNet } from '../support/squeezenet.js';

/** Categories of the photographs with polygons that are one class of ImageNet. */
const CLASSES: Readonly<Record<string, string>> = {
  zebra: 'n02391049',
  airplane: 'n02690373',
  banana: 'n07753592',
  elephant: 'n02504458',
};

interface Photo {
  readonly file: string;
  readonly objects: readonly { readonly category: string; readonly bbox_xywh: [number, number, number, number] }[];
}

interface Heatmaps {
  readonly classes: readonly { readonly peak: { x: number; y: number; value: number }; readonly values: number[][] }[];
}

describe.skipIf(!hasShared)('SqueezeNet 1.1 from ONNX', () => {
  let app: TestApp;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-squeezenet-'));
    await writeSqueezeNet(join(folder, 'models'));
    app = await startTestApp({ FULLCONV_CACHE: join(folder, 'cache') }, join(folder, 'models'));
  });
  afterAll(async () => {
    await app.close();
    await rm(folder, { recursive: true });
  });

  const post = async (url: string, photo: string) =>
    app.http.inject({
      method: 'POST',
      url,
      headers: { accept: 'application/json' },
      payload: await readFile(shared('photos', photo)),
    });

  it('is ready, with a class map of stride 16', async () => {
    const { models } = (await app.http.inject('/v1/models')).json<{ models: object[] }>();
    expect(models).toMatchObject([
      { state: 'ready', classes: 1000, parameters: 1_235_496, outputStrides: [16, 8, 4], architecture: 'onnx' },
    ]);
  });

  it('is right about more than half of the photos, and has four fifths among its five best', async () => {
    const photos = await readdir(shared('photos'));
    const ranks = await Promise.all(
      photos.map(async (photo) => {
        const { results } = (await post('/v1/classify?topK=5', photo)).json<{
          results: { predictions: { id: string }[] }[];
        }>();
        return results[0]!.predictions.findIndex(({ id }) => id === photo.split('_')[0]);
      }),
    );
    const within = (k: number): number => ranks.filter((rank) => rank >= 0 && rank < k).length;
    process.stderr.write(`SqueezeNet 1.1: top-1 ${within(1)}, top-5 ${within(5)} of ${photos.length}\n`);
    expect(photos).toHaveLength(51);
    expect(within(1)).toBeGreaterThan(photos.length / 2);
    expect(within(5)).toBeGreaterThan((photos.length * 4) / 5);
  });

  it('measured that its class map computes what the file computes, within half precision', async () => {
    const { deviation } = (await app.http.inject('/v1/models/squeezenet1_1')).json<{ deviation: number }>();
    process.stderr.write(`SqueezeNet 1.1: parity ${deviation.toExponential(2)} of the largest logit\n`);
    expect(deviation).toBeLessThan(1e-2);
  });

  it('sees what is in a photo where it is', async () => {
    const photos = JSON.parse(await readFile(shared('coco/objects.json'), 'utf8')) as Photo[];
    const known = photos.filter(({ objects }) => objects.some(({ category }) => category in CLASSES));
    const inside = await Promise.all(
      known.map(async ({ file, objects }) => {
        const { category } = objects.find((object) => object.category in CLASSES)!;
        const response = await post(`/v1/heatmap?class=${CLASSES[category]!}`, '../coco/' + file);
        expect(response.statusCode, response.body).toBe(200);
        const [result] = response.json<{ results: Heatmaps[] }>().results;
        const { peak, values } = result!.classes[0]!;
        expect(peak.value).toBeCloseTo(Math.max(...values.flat()), 5);
        return objects.some(({ bbox_xywh: [x, y, w, h] }) => {
          return peak.x >= x && peak.x < x + w && peak.y >= y && peak.y < y + h;
        });
      }),
    );
    process.stderr.write(`SqueezeNet 1.1: ${inside.filter(Boolean).length} of ${inside.length} peaks on the object\n`);
    expect(inside.filter(Boolean).length).toBeGreaterThanOrEqual(inside.length - 1);
  });
});
