import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import type { CompiledModel } from '../../../src/models/compile.js';
import { createModelLoader } from '../../../src/models/load-model.js';
import type { OutputKind } from '../../../src/models/networks/network.js';
import type { ParityCheck } from '../../../src/models/parity-check.js';
import { doubtOf, measureParity, trusted, type Parity, type SessionRunner } from '../../../src/models/parity.js';
import { generatedUniform } from '../../../src/models/networks/generated-weights.js';
import { ENGINES } from '../../../src/runtime/engines.js';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import type { SessionSpec } from '../../../src/runtime/session.js';
import type { Tensor } from '../../../src/tensor.js';
import { HEADS, HIDDEN_BEHIND_POOLING, TINY, tinyClassifier } from '../../support/tiny-classifiers.js';
import { writeOnnxModel } from '../../support/tiny-models.js';

it('is measured anew where something else computes', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'fullconv-parity-'));
  let runs = 0;
  const on = (platform?: string): SessionRunner => ({
    ...(platform !== undefined && { platform }),
    open: () => Promise.resolve(),
    close: () => Promise.resolve(),
    run: () => {
      runs += 1;
      return Promise.resolve({ logits: { type: 'float32', dims: [1], data: Float32Array.of(1) } });
    },
  });
  const specOf = (id: string): SessionSpec => ({ id, model: new Uint8Array() });
  const check = {
    original: specOf('a'),
    converted: specOf('b'),
    nativeSize: { width: 8, height: 8 },
    tolerance: 1e-3,
    digest: 'x',
  };
  const measure = (platform?: string) => measureParity({ ...check, asWritten: true }, on(platform), cache);
  try {
    const counts: number[] = [];
    for (const platform of [undefined, 'onnxruntime-cpu', 'onnxruntime-cuda', 'onnxruntime-cuda', 'tensorflow-cpu']) {
      await measure(platform);
      counts.push(runs);
    }
    expect(counts).toEqual([4, 4, 8, 8, 12]);
  } finally {
    await rm(cache, { recursive: true });
  }
});

it('draws its images in turns of the event loop, the same whatever their size', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'fullconv-parity-'));
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const images: Tensor<'uint8'>[] = [];
  const sessions: SessionRunner = {
    open: () => Promise.resolve(),
    close: () => Promise.resolve(),
    run: (_, { image }) => {
      images.push(image as Tensor<'uint8'>);
      return Promise.resolve({ logits: { type: 'float32', dims: [1], data: Float32Array.of(1) } });
    },
  };
  const specOf = (id: string): SessionSpec => ({ id, model: new Uint8Array() });
  const check = { original: specOf('a'), converted: specOf('b'), nativeSize: { width: 1500, height: 1500 } };
  await measureParity({ ...check, tolerance: 1e-3, digest: 'x', asWritten: true }, sessions, cache);
  isOver = true;
  await rm(cache, { recursive: true });
  expect(turns).toBeGreaterThan(5);
  const expected = generatedUniform('parity-0', 1500 * 1500 * 3).map((u) => Math.floor(128 + 127 * u));
  expect(Buffer.compare(images[0]!.data, Uint8Array.from(expected))).toBe(0);
});

it('runs the original as it is written, and has nothing kept of either', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'fullconv-parity-'));
  const opened: SessionSpec[] = [];
  const sessions: SessionRunner = {
    open: (spec) => Promise.resolve(void opened.push(spec)),
    close: () => Promise.resolve(),
    run: () => Promise.resolve({ logits: { type: 'float32', dims: [1], data: Float32Array.of(1) } }),
  };
  const specOf = (id: string): SessionSpec => ({ id, model: new Uint8Array(), digest: 'of a large net' });
  const check = {
    original: specOf('a'),
    converted: specOf('b'),
    nativeSize: { width: 8, height: 8 },
    tolerance: 1e-3,
    digest: 'x',
  };
  try {
    expect(await measureParity({ ...check, asWritten: true }, sessions, cache)).toEqual({
      difference: 0,
      largest: 1,
      lowest: 1,
    });
    expect(opened.map(({ id, asWritten, digest }) => [id, asWritten, digest])).toEqual([
      ['a', true, undefined],
      ['b', undefined, undefined],
    ]);
  } finally {
    await rm(cache, { recursive: true });
  }
});

it.each([
  [0.0025, false, false],
  [0.0025, true, true],
  [0.02, true, false],
])(
  'a difference of %d on a device that rounds factors (%s) is rounding: %s',
  (difference, roundsFactors, isRounding) => {
    const model = { classifier: { session: {} } } as unknown as CompiledModel;
    const check = { tolerance: 1e-3 } as ParityCheck;
    const trustedModel = trusted(model, check, { difference, largest: 1 }, { roundsFactors });
    expect(trustedModel.deviation).toBe(isRounding ? difference : undefined);
  },
);

it('is judged by what the device that loads a model rounds', async () => {
  const root = await mkdtemp(join(tmpdir(), 'fullconv-parity-'));
  try {
    const folder = await writeOnnxModel(root, 'tiny', writeOnnx(tinyClassifier(HEADS[0]!)), TINY);
    const sessions = (roundsFactors: boolean): SessionRunner => ({
      roundsFactors,
      open: () => Promise.resolve(),
      close: () => Promise.resolve(),
      run: (id) =>
        Promise.resolve({
          logits: { type: 'float32', dims: [1], data: Float32Array.of(id.includes('parity') ? 1.005 : 1) },
        }),
    });
    const loaded = async (roundsFactors: boolean): Promise<object> => {
      const cache = join(root, `cache-${roundsFactors}`);
      return (await createModelLoader({ cache }, sessions(roundsFactors))('tiny', folder)).model.dense;
    };
    expect(await loaded(true)).not.toHaveProperty('unavailable');
    expect(await loaded(false)).toHaveProperty('unavailable');
  } finally {
    await rm(root, { recursive: true });
  }
});

it('CUDA rounds factors by itself, and no CPU does', () => {
  for (const engine of ENGINES) expect(engine.roundsFactors?.('cpu') ?? false).toBe(false);
  expect(onnxruntime.roundsFactors?.('cuda')).toBe(true);
  expect(onnxruntime.roundsFactors?.('webgpu')).toBe(false);
});

describe('numbers that are taken for logits', () => {
  const model = (output: OutputKind, stated?: OutputKind) =>
    ({ output, manifest: { output: stated } }) as unknown as CompiledModel;
  const parity = (lowest: number, largest: number): Parity => ({ difference: 0, largest, lowest });

  it('are doubted where all lie between 0 and 1, with the figures', () => {
    expect(doubtOf(model('logits'), parity(0.0123, 0.87))).toMatch(
      /between 0\.0123 and 0\.870.*"output" in model\.json/,
    );
  });

  it('are not where some do not, or somebody says what they are', () => {
    expect(doubtOf(model('logits'), parity(-0.1, 0.87))).toBeUndefined();
    expect(doubtOf(model('logits'), parity(0.1, 1.2))).toBeUndefined();
    expect(doubtOf(model('logits', 'logits'), parity(0.1, 0.9))).toBeUndefined();
    expect(doubtOf(model('probabilities'), parity(0.1, 0.9))).toBeUndefined();
    expect(doubtOf(model('logits'), { largest: 0.5 })).toBeUndefined();
  });

  it('are measured of an imported net without a class map, too', async () => {
    const root = await mkdtemp(join(tmpdir(), 'fullconv-parity-'));
    const graph = tinyClassifier(HIDDEN_BEHIND_POOLING);
    const answers = [0.2, 0.9, 0.4, 0.5, 0.6];
    const sessions: SessionRunner = {
      open: () => Promise.resolve(),
      close: () => Promise.resolve(),
      run: () => Promise.resolve({ logits: { type: 'float32', dims: [5], data: Float32Array.from(answers) } }),
    };
    try {
      const folder = await writeOnnxModel(root, 'odd', writeOnnx(graph), TINY);
      const load = createModelLoader({ cache: join(root, 'cache') }, sessions);
      expect((await load('odd', folder)).model).toMatchObject({
        dense: { unavailable: expect.any(String) as string },
        doubt: expect.stringMatching(/all lie between 0\.200 and 0\.900/) as string,
      });
      answers[0] = -3;
      expect((await load('odd', folder)).model.doubt).toBeUndefined();
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
