/** Weights that others trained bind to the networks built here, and mean what they should. */
import { dirname } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { bindClassifier, type BoundClassifier } from '../../support/bound.js';
import { randomImage, relativeError, runGraph, spatialMean } from '../../support/ort.js';
import { hasShared, shared } from '../../support/shared.js';

/** Largest error of the class map's mean to the logits, over images of several sizes. */
async function meanError({ classifier, dense }: BoundClassifier, folder: string, sizes: readonly number[]) {
  const errors = [];
  for (const size of sizes) {
    const image = randomImage([1, size, size + 13, 3]);
    const { logits } = await runGraph(classifier, { image }, { folder });
    const map = (await runGraph(dense, { image }, { folder }))[CLASS_MAP]!;
    errors.push(relativeError(spatialMean(map).data, logits!.data));
  }
  return Math.max(...errors);
}

describe.skipIf(!hasShared)('the trained resnet18-w32', () => {
  const file = shared('training', 'resnet18-w32', 'model.safetensors');
  const built = buildArchitecture('resnet18', { classes: 200, width: 32, stem: 'compact', inputSize: 64 });

  it('binds completely, and its class map averages to its logits at any size', async () => {
    const bound = await bindClassifier(built, file, 64);
    expect(await meanError(bound, dirname(file), [64, 97, 150])).toBeLessThan(1e-4);
  });
});

describe.skipIf(!hasShared)('the ResNet-20 trained on CIFAR-10', () => {
  const file = shared('models', 'resnet20-cifar10', 'resnet20_cifar10.safetensors');
  const built = buildArchitecture('resnet20_cifar');

  it('binds completely, and its class map averages to its logits at any size', async () => {
    const bound = await bindClassifier(built, file, 32);
    expect(await meanError(bound, dirname(file), [32, 47, 90])).toBeLessThan(1e-4);
  });

  const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
  const PHOTOS = [
    ['n02099601_golden_retriever', 'dog'],
    ['n02096437_Dandie_Dinmont', 'dog'],
    ['n02090721_Irish_wolfhound', 'dog'],
    ['n02102177_Welsh_springer_spaniel', 'dog'],
    ['n02108089_boxer', 'dog'],
    ['n02113712_miniature_poodle', 'dog'],
    ['n02123045_tabby', 'cat'],
    ['n01855032_red-breasted_merganser', 'bird'],
    ['n02058221_albatross', 'bird'],
    ['n03344393_fireboat', 'ship'],
    ['n04612504_yawl', 'ship'],
    ['n04146614_school_bus', 'truck'],
  ] as const;

  it('knows the photographs that show one of its classes', async () => {
    const { classifier } = await bindClassifier(built, file, 32);
    const small = PHOTOS.map(([name]) =>
      sharp(shared('photos', `${name}.JPEG`))
        .resize(32, 32)
        .removeAlpha(),
    );
    const pixels = await Promise.all(small.map((photo) => photo.raw().toBuffer()));
    const image = { dims: [PHOTOS.length, 32, 32, 3], data: new Uint8Array(Buffer.concat(pixels)) };
    const logits = Array.from(
      (await runGraph(classifier, { image }, { folder: dirname(file) }))['logits']!.data,
      Number,
    );
    const right = PHOTOS.filter(([, word], index) => {
      const scores = logits.slice(index * CLASSES.length, (index + 1) * CLASSES.length);
      return CLASSES[scores.indexOf(Math.max(...scores))] === word;
    });
    expect(right.length).toBeGreaterThanOrEqual(11);
  });
});
