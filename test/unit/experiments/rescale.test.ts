import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runExperiment } from '../../../src/experiments/index.js';
import type { Lab } from '../../../src/experiments/lab.js';
import { asMarkdown, type Figure } from '../../../src/experiments/report.js';
import { rescale, type RescaledModel } from '../../../src/experiments/rescale.js';
import { testLab } from '../../support/lab.js';
import { hasShared, shared } from '../../support/shared.js';
import { writeSqueezeNet } from '../../support/squeezenet.js';
import { writeTinyDarknet } from '../../support/tiny-darknet.js';

const coffee = fileURLToPath(new URL('../../fixtures/photos/coffee.png', import.meta.url));

let root: string;
beforeAll(async () => (root = await mkdtemp(join(tmpdir(), 'fullconv-rescale-'))));
afterAll(() => rm(root, { recursive: true }));

const firstScales = ({ scales }: RescaledModel): number[] =>
  scales.flatMap((result) => ('rank' in result && result.rank === 1 ? [result.scale] : []));
const probabilities = ({ scales }: RescaledModel): (number | undefined)[] =>
  scales.map((result) => ('probability' in result ? result.probability : undefined));
const sides = ({ scales }: RescaledModel): (number | undefined)[] =>
  scales.map((result) => ('width' in result ? result.width : undefined));

describe('with an embedded model', () => {
  let lab: Lab;
  beforeAll(() => (lab = testLab({ FULLCONV_CACHE: join(root, 'cache') })));
  afterAll(() => lab.close());

  it('follows a named class over the scales, and draws it', async () => {
    const report = await runExperiment('rescale', lab, {
      ...{ images: coffee, model: ['imagenet-efficientnet-lite0'], scale: [1, 1.5], class: 'espresso' },
    });
    const [model] = (report.data as { models: RescaledModel[] }).models;
    expect(model!.class.label).toBe('espresso');
    expect(sides(model!)).toEqual([224, 336]);
    expect(firstScales(model!)).toContain(1);
    expect(report.ground).toMatchObject({ images: { from: coffee, count: 1 }, engine: 'onnxruntime' });
    expect(asMarkdown(report)).toMatch(/\| 1 \| 224 \| 0\.\d{3}\* \| 0\.946 \|/);
    const figure = report.sections.find((section): section is Figure => 'figure' in section);
    expect(await figure!.draw()).toMatch(/^<svg[^]*imagenet-efficientnet-lite0: espresso[^]*Keras' ResNet-50/);
  });

  it('without a class follows the answer at the own size, and says what a net refuses', async () => {
    const { data } = await rescale(lab, { images: coffee, model: ['tinyimagenet-resnet18-w48'], scale: [1, 1000] });
    const [at1, at1000] = data.models[0]!.scales;
    expect(at1).toMatchObject({ rank: 1, width: 144 });
    expect(at1000).toMatchObject({ problem: expect.stringMatching(/pixels/) as string });
  });

  it('refuses what is no class, and no photograph', async () => {
    await expect(rescale(lab, { images: coffee, class: 'no such thing' })).rejects.toThrow(
      'has no class "no such thing"',
    );
    await expect(rescale(lab, {})).rejects.toThrow('needs a photograph');
    await expect(rescale(lab, { images: coffee, model: ['tinyimagenet-resnet18-w48'], scale: [1000] })).rejects.toThrow(
      /^tinyimagenet-resnet18-w48: .*pixels/,
    );
  });
});

it.skipIf(!hasShared)("tells the lecture's story with nets of its time: right to 2 and 3 times the size", async () => {
  const models = join(root, 'models');
  await writeSqueezeNet(models);
  await writeTinyDarknet(models);
  const lab = testLab({ FULLCONV_MODELS: models, FULLCONV_CACHE: join(root, 'cache') });
  try {
    const { data } = await rescale(lab, {
      images: shared('photos', 'n02504458_African_elephant.JPEG'),
      model: ['squeezenet1_1', 'tiny-darknet'],
    });
    const [squeezenet, darknet] = data.models;
    for (const model of data.models) {
      expect(model.class.label).toBe('African elephant');
      expect(sides(model)).toEqual([224, 246, 336, 448, 672, 1120, 2240]);
    }
    expect(firstScales(squeezenet!)).toEqual([1, 1.1, 1.5, 2]);
    expect(firstScales(darknet!)).toEqual([1, 1.1, 1.5, 2, 3]);
    const close = (values: number[]): number[] => values.map((value) => expect.closeTo(value, 2) as number);
    expect(probabilities(squeezenet!).slice(0, 5)).toEqual(close([0.519, 0.721, 0.753, 0.458, 0.067]));
    expect(probabilities(darknet!).slice(0, 5)).toEqual(close([0.206, 0.365, 0.555, 0.455, 0.19]));
  } finally {
    await lab.close();
  }
});
