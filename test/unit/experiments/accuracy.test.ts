import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accuracy } from '../../../src/experiments/accuracy.js';
import type { Lab } from '../../../src/experiments/lab.js';
import type { Figure } from '../../../src/experiments/report.js';
import { EMBEDDED, testLab } from '../../support/lab.js';
import { hasShared, shared } from '../../support/shared.js';
import { writeTinyModel } from '../../support/tiny-models.js';

const photo = (name: string): string => fileURLToPath(new URL(`../../fixtures/photos/${name}`, import.meta.url));

let root: string;
let lab: Lab;
let images: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-accuracy-'));
  images = join(root, 'images');
  for (const [id, file] of [
    ['n07920052', 'coffee.png'],
    // Said to be a goldfish.
    ['n01443537', 'chelsea.png'],
  ] as const) {
    await mkdir(join(images, id), { recursive: true });
    await copyFile(photo(file), join(images, id, file));
  }
  await writeTinyModel(root, 'tiny-resnet', 'others');
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') }, [join(root, 'others')]);
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

describe('accuracy', () => {
  it('evaluates every model that is there, and leaves out those of other classes', async () => {
    const { data, sections } = await accuracy(lab, { images });
    expect(data.models.map(({ model }) => model)).toEqual([
      'imagenet-efficientnet-lite0',
      'tinyimagenet-resnet18-w48',
      'tinyimagenet-vgg11bn-w32',
    ]);
    expect(data.leftOut).toEqual(['others']);
    expect(data.plotted).toHaveLength(3);
    const [lite] = data.models;
    expect(lite).toMatchObject({ classes: 1000, images: 2, failed: 0, top1: 0.5, precision: 'fp32' });
    expect(lite!.multiplyAdds / 1e9).toBeCloseTo(0.39, 1);
    expect(lite!.parameters / 1e6).toBeCloseTo(4.65, 1);
    const figure = sections.find((section): section is Figure => 'figure' in section);
    expect(await figure!.draw()).toMatch(/2 labelled images of [^]*tinyimagenet-vgg11bn-w32/);
  });

  it('draws only those that saw the same images', async () => {
    // Coral fungus: none of Tiny ImageNet's classes.
    await mkdir(join(images, 'n12985857'), { recursive: true });
    await copyFile(photo('grace_hopper.jpg'), join(images, 'n12985857', 'grace_hopper.jpg'));
    const { data, sections } = await accuracy(lab, { images });
    expect(data.models.map((model) => model.images)).toEqual([3, 2, 2]);
    expect(data.plotted).toEqual(['imagenet-efficientnet-lite0']);
    const figure = sections.find((section): section is Figure => 'figure' in section);
    expect(await figure!.draw()).not.toContain('tinyimagenet');
  });

  it('names the images that have no answer', async () => {
    const bad = join(images, 'n07920052', 'bad.png');
    await writeFile(bad, 'nothing');
    const { data, failures = [] } = await accuracy(lab, { images, model: ['imagenet-efficientnet-lite0'] });
    await rm(bad);
    expect(data.models[0]).toMatchObject({ failed: 1 });
    expect(failures).toMatchObject([{ name: 'bad.png', problem: { code: 'UNSUPPORTED_MEDIA_TYPE' } }]);
  });

  it('refuses images that no model knows', async () => {
    await expect(accuracy(lab, { images: EMBEDDED })).rejects.toThrow(/has no image of a class of .*others/);
    await expect(accuracy(lab, {})).rejects.toThrow('needs a folder of labelled images');
  });

  it.skipIf(!hasShared)('finds what evaluate finds for the default model: 84.3 and 100 %', async () => {
    const { data } = await accuracy(lab, { images: shared('photos'), model: ['imagenet-efficientnet-lite0'] });
    expect(data.models[0]!.images).toBe(51);
    expect(data.models[0]!.top1).toBeCloseTo(0.843, 2);
    expect(data.models[0]!.top5).toBe(1);
  });
});
