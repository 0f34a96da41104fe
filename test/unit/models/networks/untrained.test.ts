import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileModel } from '../../../../src/models/compile.js';
import { readModelFolder } from '../../../../src/models/manifest.js';
import { prepareUntrained } from '../../../../src/models/networks/untrained.js';
import { createOnnxruntimeEngine } from '../../../../src/runtime/onnxruntime/engine.js';
import { expectTensor } from '../../../../src/tensor.js';

describe('an untrained model', () => {
  let cache: string;

  beforeAll(async () => {
    cache = await mkdtemp(join(tmpdir(), 'fullconv-untrained-'));
  });
  afterAll(() => rm(cache, { recursive: true }));

  it('has the input size and the classes of its architecture', async () => {
    const [cifar, squeezenet] = [
      await readModelFolder(await prepareUntrained(cache, 'resnet20_cifar')),
      await readModelFolder(await prepareUntrained(cache, 'squeezenet1_1')),
    ];
    expect(cifar.manifest.input).toMatchObject({ size: 32, resize: 37 });
    expect(cifar.labels).toHaveLength(10);
    expect(squeezenet.manifest.input).toMatchObject({ size: 224, resize: 256 });
    expect(squeezenet.labels).toHaveLength(1000);
  });

  it('names the setting where it cannot be written', async () => {
    await expect(prepareUntrained('/dev/null/cache', 'resnet20_cifar')).rejects.toThrow(
      /^FULLCONV_CACHE=\/dev\/null\/cache: the generated weights cannot be written: ENOTDIR/,
    );
  });

  it.each(['resnet20_cifar', 'resnet1202_cifar', 'preresnet1001_cifar'])(
    'answers with finite numbers, however deep: %s',
    async (architecture) => {
      const { classifier } = await compileModel(await readModelFolder(await prepareUntrained(cache, architecture)), {
        load: 0,
        cache,
      });
      const session = await createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 } }).open(
        classifier.session,
      );
      const data = Uint8Array.from({ length: 2 * 32 * 32 * 3 }, (_, index) => (index * 37) % 251);
      const outputs = await session.run({ image: { type: 'uint8', dims: [2, 32, 32, 3], data } });
      await session.release();
      const { data: logits, dims } = expectTensor(outputs, 'logits', 'float32');
      expect(dims).toEqual([2, 10]);
      expect(logits.every(Number.isFinite)).toBe(true);
      expect(new Set(logits).size).toBeGreaterThan(10);
    },
  );
});
