import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { EMBEDDED_TOP1, withAccuracies } from '../../../load/accuracies.js';
import { EMBEDDED } from '../../../load/scenario.js';
import { reportOf, row, sampleAt } from '../../support/load-reports.js';

const top1Of = async (model: string, more: Parameters<typeof row>[2] = {}) =>
  (await withAccuracies(reportOf(row(model, [sampleAt(1)], more)))).rows[0]!.top1;

it('an architecture has the accuracy of the first weights in the catalog, weights of the catalog have their own', async () => {
  expect(await top1Of('resnet50-untrained')).toEqual({
    ...{ percent: 76.2, images: 'ImageNet', weights: 'resnet50.tv_in1k' },
  });
  expect(await top1Of('resnet50.a1_in1k')).toEqual({
    ...{ percent: 80.4, images: 'ImageNet', weights: 'resnet50.a1_in1k' },
  });
});

it('the embedded models have the accuracies of their cards', async () => {
  expect(Object.keys(EMBEDDED_TOP1)).toEqual(EMBEDDED);
  for (const name of EMBEDDED) {
    const { percent, images } = (await top1Of(name))!;
    const card = await readFile(`models/${name}/README.md`, 'utf8');
    expect(card).toMatch(new RegExp(`evaluation size\\) \\| \\**${percent} %|${percent} % top-1 on ${images}`));
  }
});

it('nothing is said of nets without weights, of 8-bit forms, of the models of others, and of several at once', async () => {
  expect(await top1Of('plain34-untrained')).toBeUndefined();
  expect(await top1Of('resnet50-untrained-int8', { precision: 'int8' })).toBeUndefined();
  expect(await top1Of('imagenet-efficientnet-lite0', { precision: 'int8' })).toBeUndefined();
  expect(await top1Of('mine')).toBeUndefined();
  expect(await top1Of('', { models: ['resnet18-untrained', 'resnet50-untrained'] })).toBeUndefined();
});
