import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import type { Lab } from '../../../src/experiments/lab.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { LOGITS } from '../../../src/graph/passes/name-logits.js';
import { tapValues } from '../../../src/graph/passes/tap-values.js';
import { classify } from '../../../src/inference/classify.js';
import { localContext } from '../../../src/inference/request-context.js';
import { expectTensor } from '../../../src/tensor.js';
import { testLab } from '../../support/lab.js';
import { writeTinyModel } from '../../support/tiny-models.js';

const RESNET = 'tinyimagenet-resnet18-w48';
const photo = fileURLToPath(new URL('../../fixtures/photos/coffee.png', import.meta.url));

let root: string;
let elsewhere: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-lab-'));
  elsewhere = join(root, 'elsewhere');
  await writeTinyModel(root, 'tiny-resnet', 'elsewhere');
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') }, [elsewhere, RESNET]);
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

describe('a subject', () => {
  it("opens graphs over the model's weights, and answers as the model does beside what is tapped", async () => {
    const image = { name: 'coffee', bytes: await readFile(photo) };
    await lab.use(RESNET, async ({ service, model, network, open }) => {
      const pooled = network.classifier.nodes.find(({ op }) => op === 'GlobalAveragePool')!.outputs[0]!;
      const probe = await open(applyPasses(network.classifier, [tapValues([pooled], model.nativeSize)]));
      const outputs = await probe.photo(image);
      const options = { scales: [1], flip: false, topK: 1, scores: 'logit' } as const;
      const [answer] = (await classify(service.inference, model, [image], options, localContext)).results;
      const [best] = answer !== undefined && 'predictions' in answer ? answer.predictions : [];
      const logits = expectTensor(outputs, LOGITS, 'float32').data;
      expect(Math.max(...logits)).toBeCloseTo(best!.score, 4);
      expect(logits.indexOf(Math.max(...logits))).toBe(best!.index);
      expect(expectTensor(outputs, pooled, 'float32').dims).toEqual([384, 1, 1]);
    });
  });

  it('takes pixels, and gives its sessions back when the work is over', async () => {
    const opened = await lab.use(RESNET, async ({ network, open }) => {
      const probe = await open(network.classifier);
      const image = { type: 'uint8', dims: [96, 96, 3], data: new Uint8Array(96 * 96 * 3).fill(128) } as const;
      expect((await probe.pixels(image))[LOGITS]!.dims).toEqual([200]);
      return probe;
    });
    const image = { type: 'uint8', dims: [96, 96, 3], data: new Uint8Array(96 * 96 * 3) } as const;
    await expect(opened.pixels(image)).rejects.toThrow();
  });
});

it('a net that a rewrite does not fit is named', async () => {
  const tapping = lab.use(RESNET, ({ network }) =>
    Promise.resolve(applyPasses(network.classifier, [tapValues(['nothing'], 64)])),
  );
  await expect(tapping).rejects.toThrow(`${RESNET}: the value "nothing" cannot be tapped: no node makes it`);
  await expect(tapping).rejects.toBeInstanceOf(OperatorError);
});

it('builds an architecture over generated weights', async () => {
  const answer = await lab.build('squeezenet1_1', async ({ network, open }) => {
    const probe = await open(network.classifier);
    const image = { type: 'uint8', dims: [224, 224, 3], data: new Uint8Array(224 * 224 * 3).fill(99) } as const;
    const batch = { ...image, dims: [1, 224, 224, 3], data: image.data.slice() };
    return [(await probe.pixels(image))[LOGITS]!.dims, await probe.batch(batch)] as const;
  });
  expect(answer).toEqual([[1000], expect.any(Number)]);
  expect((await lab.ground()).models.at(-1)).toMatchObject({ name: 'squeezenet1_1-untrained', precision: 'fp32' });
});

it('finds models by their paths, and says which were used', async () => {
  expect(await lab.use(elsewhere, ({ model }) => Promise.resolve(model.manifest.name))).toBe('elsewhere');
  const { models, engine, device } = await lab.ground();
  expect(models.find(({ name }) => name === 'elsewhere')).toMatchObject({
    precision: 'fp32',
    digest: expect.any(String) as string,
  });
  expect([engine, device]).toEqual(['onnxruntime', 'cpu']);
});

it('says what is wrong with a model that is not there', async () => {
  await expect(lab.use('nothing', () => Promise.resolve())).rejects.toThrow('There is no model "nothing".');
});
