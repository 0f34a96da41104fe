import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileModel } from '../../../../src/models/compile.js';
import { readSafetensors } from '../../../../src/models/files/safetensors.js';
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

  it('has grey images where its architecture has, and a transformer that does nothing yet', async () => {
    const folder = await prepareUntrained(cache, 'stn_mnist');
    const { manifest } = await readModelFolder(folder);
    expect(manifest.input).toMatchObject({ size: 28, channels: 'GRAY', mean: [0.1307], std: [0.3081] });
    const { tensors } = await readSafetensors(join(folder, manifest.weights.file));
    const { offset, length } = tensors.get('fc_loc.2.bias')!;
    const bytes = (await readFile(join(folder, manifest.weights.file))).subarray(offset, offset + length);
    expect(Array.from({ length: 6 }, (_, index) => bytes.readFloatLE(4 * index))).toEqual([1, 0, 0, 0, 1, 0]);
  });

  it('names the setting where it cannot be written', async () => {
    await expect(prepareUntrained('/dev/null/cache', 'resnet20_cifar')).rejects.toThrow(
      /^FULLCONV_CACHE=\/dev\/null\/cache: the generated weights cannot be written: ENOTDIR/,
    );
  });

  it.each([
    'resnet20_cifar',
    'resnet1202_cifar',
    'preresnet1001_cifar',
    'multi_resnet200_k5_cifar',
    'spatial_transformer',
  ])('answers with finite numbers, however deep: %s', async (architecture) => {
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
  });
});
