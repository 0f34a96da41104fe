/** Networks whose values are no numbers: none of the questions has an answer. */
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { classify } from '../../../src/inference/classify.js';
import { heatmap } from '../../../src/inference/heatmap.js';
import { segment } from '../../../src/inference/segment.js';
import { fakeInference, NOBODY_LEAVES } from '../../support/fake-dense-net.js';

const AS_IT_IS = { fit: 'native', scales: [1], flip: false } as const;
const MIRRORED = { ...AS_IT_IS, flip: true } as const;
const bytes = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#f00' } })
  .png()
  .toBuffer();
const images = [{ name: 'photo', bytes }];

/** Three classes; the middle one has this logit everywhere. */
const netWith = (logit: number) =>
  fakeInference({ classes: 3, stride: 8, logitAt: (index) => (index === 1 ? logit : index) });

it.each([
  [NaN, 'probability'],
  [NaN, 'logit'],
  [Infinity, 'probability'],
  [Infinity, 'logit'],
] as const)('a logit of %s has no %s', async (logit, scores) => {
  const { inference, model } = netWith(logit);
  for (const input of [AS_IT_IS, MIRRORED]) {
    await expect(classify(inference, model, images, { ...input, scores }, NOBODY_LEAVES)).rejects.toThrow(
      'values that are no numbers',
    );
    for (const threshold of [
      { value: 0.5, of: 'range' },
      { value: 0, of: 'value' },
    ] as const) {
      const options = { ...input, scores, classes: [1], threshold };
      await expect(heatmap(inference, model, images, options, NOBODY_LEAVES)).rejects.toThrow(
        'the map of class 1 has values that are no numbers',
      );
    }
    const options = { ...input, scores, minProbability: 0 };
    await expect(segment(inference, model, images, options, NOBODY_LEAVES)).rejects.toThrow(
      'values that are no numbers',
    );
  }
});

it.each([NaN, Infinity])('a map of %s is not normalized to zeros', async (logit) => {
  const { inference, model } = netWith(logit);
  const options = { ...AS_IT_IS, scores: 'normalized', classes: [1] } as const;
  await expect(heatmap(inference, model, images, options, NOBODY_LEAVES)).rejects.toThrow('values that are no numbers');
});

it('a class that never is one has a probability of zero', async () => {
  const { inference, model } = netWith(-Infinity);
  const options = { ...AS_IT_IS, scores: 'probability' } as const;
  const { results } = await classify(inference, model, images, options, NOBODY_LEAVES);
  const [answer] = results;
  expect('predictions' in answer! && answer.predictions.map(({ index }) => index)).toEqual([2, 0, 1]);
});
