import { mkdtemp, readdir, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { createOnnxruntimeEngine, listProviders } from '../../../src/runtime/onnxruntime/engine.js';
import { digestFile } from '../../../src/regular-files.js';
import type { Session } from '../../../src/runtime/session.js';
import { FilesChanged } from '../../../src/runtime/session-files.js';
import { expectTensor, type Tensor, type TensorMap } from '../../../src/tensor.js';
import { BIAS, tinyModel } from '../../fixtures/tiny-onnx.js';
import { randomTensor } from '../../support/ort.js';
import { graphOf } from '../../support/tiny-graphs.js';

const engine = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 } });

function feeds(value: number): TensorMap {
  return {
    image: { type: 'uint8', dims: [2, 4, 5, 3], data: new Uint8Array(120).fill(value) },
    classes: { type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, 2n ** 40n) },
  };
}

describe('the ONNX Runtime engine', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-ort-'));
    await writeFile(join(folder, 'weights.bin'), Buffer.concat([Buffer.alloc(8), Buffer.from(BIAS.buffer)]));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('runs a model and gives outputs of every type it can', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    expect(session.provider).toBe('cpu');
    const { mean, echo } = await session.run(feeds(10));
    expect(mean).toEqual({ type: 'float32', dims: [2, 3], data: Float32Array.of(11, 12, 13, 11, 12, 13) });
    expect(echo).toEqual({ type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, 2n ** 40n) });
    await session.release();
  });

  it('gives outputs that can be transferred and that later runs leave alone', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    const { data } = expectTensor(await session.run(feeds(10)), 'mean', 'float32');
    await session.run(feeds(20));
    const transferred = structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
    expect(transferred).toEqual(Float32Array.of(11, 12, 13, 11, 12, 13));
    expect(data.byteLength).toBe(0);
    await session.release();
  });

  it('finds external weights of a model given as bytes', async () => {
    const model = tinyModel({ file: 'weights.bin', offset: 8 });
    const session = await engine.open({ id: 'tiny', model, weightsFolder: folder });
    const mean = expectTensor(await session.run(feeds(0)), 'mean', 'float32');
    expect([...mean.data]).toEqual([1, 2, 3, 1, 2, 3]);
    await session.release();
  });

  it('runs a model as it is written where that is asked for', async () => {
    // onnxruntime 1.30 makes one pooling of the two, whose padding is −∞ in place of 0.
    const graph = graphOf(['N', 1, 'H', 'W'], (b, x) => {
      const padded = b.node('Pad', [x, b.constant('pads', 'int64', [8], [0, 0, 1, 1, 0, 0, 1, 1])]);
      const attributes = { kernel_shape: { type: 'ints', value: [3, 3] } } as const;
      return b.node('MaxPool', [padded], { name: 'map', attributes });
    });
    const x = { type: 'float32', dims: [1, 1, 2, 2], data: Float32Array.of(-1, -2, -3, -4) } as const;
    const maximum = async (asWritten: boolean): Promise<number> => {
      const session = await engine.open({ id: 'padded', model: writeOnnx(graph), asWritten });
      const { map } = await session.run({ x });
      await session.release();
      return Number(map!.data[0]);
    };
    expect(await maximum(true)).toBe(0);
    expect(await maximum(false)).toBe(-1);
  });

  describe('with a folder to keep models in', () => {
    const keeping = () =>
      createOnnxruntimeEngine({
        threads: 1,
        device: { kind: 'cpu', index: 0 },
        kept: { folder: join(folder, 'kept'), maxBytes: 2 ** 20 },
      });
    const spec = () => ({
      id: 'tiny',
      model: tinyModel({ file: 'weights.bin', offset: 8 }),
      weightsFolder: folder,
      digest: 'of graph and weights',
    });
    const meanOf = async () => {
      const session = await keeping().open(spec());
      const { data } = expectTensor(await session.run(feeds(10)), 'mean', 'float32');
      await session.release();
      return [...data];
    };

    it('keeps what it made of a model, and opens that the next time', async () => {
      const expected = [11, 12, 13, 11, 12, 13];
      expect(await meanOf()).toEqual(expected);
      const [kept] = await readdir(join(folder, 'kept'));
      expect(await readdir(join(folder, 'kept', kept!))).toContain('model.onnx');
      expect(await meanOf()).toEqual(expected);
    });

    it('makes again what it finds broken', async () => {
      const [kept] = await readdir(join(folder, 'kept'));
      await writeFile(join(folder, 'kept', kept!, 'model.onnx'), 'not a model');
      expect(await meanOf()).toEqual([11, 12, 13, 11, 12, 13]);
      expect(await readdir(join(folder, 'kept', kept!))).toContain('digests.json');
      expect(await meanOf()).toEqual([11, 12, 13, 11, 12, 13]);
    });
  });

  describe('with a session for each planned shape', () => {
    const [height, width] = [4, 5];
    const image = (count: number): TensorMap => ({
      image: {
        ...{ type: 'uint8', dims: [count, height, width, 3] },
        data: Uint8Array.from({ length: count * height * width * 3 }, (_, index) => (index * 37) % 251),
      },
      classes: { type: 'int64', dims: [count, 1], data: new BigInt64Array(count).fill(BigInt(count)) },
    });
    const warmUp = [1, 2, 4].map((count) => ({ image: { type: 'uint8', dims: [count, height, width, 3] } }) as const);
    const forgetful = createOnnxruntimeEngine(
      { threads: 1, device: { kind: 'cpu', index: 0 } },
      { remembersOneShape: true },
    );

    it('gives the outputs of one session, whatever comes after what', async () => {
      const create = vi.spyOn(InferenceSession, 'create');
      try {
        const spec = { id: 'tiny', model: tinyModel(), warmUp };
        const [session, one] = [await forgetful.open(spec), await engine.open(spec)];
        for (const count of [1, 4, 2, 3, 4, 1, 3, 2]) {
          expect(await session.run(image(count))).toEqual(await one.run(image(count)));
        }
        expect(create).toHaveBeenCalledTimes(1 + 1 + warmUp.length);
        const opened = (await Promise.all(
          create.mock.results.map(({ value }) => value as unknown),
        )) as InferenceSession[];
        const releases = opened.map((each) => vi.spyOn(each, 'release'));
        await session.release();
        await one.release();
        for (const release of releases) expect(release).toHaveBeenCalledTimes(1);
      } finally {
        vi.restoreAllMocks();
      }
    });

    it('has one session where no copies are allowed', async () => {
      const create = vi.spyOn(InferenceSession, 'create');
      try {
        const alone = createOnnxruntimeEngine(
          { threads: 1, device: { kind: 'cpu', index: 0 }, maxCopiedBytes: 0 },
          { remembersOneShape: true },
        );
        const session = await alone.open({ id: 'tiny', model: tinyModel(), warmUp });
        for (let run = 0; run < 40; run += 1) await session.run(image(1 + (run % 4)));
        expect(create).toHaveBeenCalledTimes(1);
        await session.release();
      } finally {
        vi.restoreAllMocks();
      }
    });

    it('opens no other file for a shape: the first session has the right one', async () => {
      const file = join(folder, 'forgetful.bin');
      await writeFile(file, Buffer.from(BIAS.buffer));
      const weightsFiles = [{ name: 'forgetful.bin', stamp: await digestFile(file, Infinity) }];
      const model = tinyModel({ file: 'forgetful.bin', offset: 0 });
      const spec = { id: 'changing', model, weightsFolder: folder, weightsFiles, warmUp };
      const [session, one] = [await forgetful.open(spec), await engine.open(spec)];
      const expected = await one.run(image(2));
      await one.release();
      await writeFile(`${file}.new`, Buffer.alloc(12));
      await rename(`${file}.new`, file);
      expect(await session.run(image(2))).toEqual(expected);
      await session.release();
    });
  });

  describe('over files that change', () => {
    const MEAN = [11, 12, 13, 11, 12, 13];
    const file = () => join(folder, 'changing.bin');
    const bytesOf = (...bias: number[]) => Buffer.from(Float32Array.of(...bias).buffer);
    const replace = async (...bias: number[]) => {
      await writeFile(`${file()}.new`, bytesOf(...bias));
      await rename(`${file()}.new`, file());
    };
    const spec = async (options = {}) => {
      await rm(file(), { force: true });
      await writeFile(file(), bytesOf(...BIAS));
      const weightsFiles = [{ name: 'changing.bin', stamp: await digestFile(file(), Infinity) }];
      const model = tinyModel({ file: 'changing.bin', offset: 0 });
      return { id: 'changing', model, weightsFolder: folder, weightsFiles, ...options };
    };
    const meanOf = async (session: Session) => [...expectTensor(await session.run(feeds(10)), 'mean', 'float32').data];

    it('opens only the bytes that were digested', async () => {
      const changed = await spec();
      await replace(4, 5, 6);
      await expect(engine.open(changed)).rejects.toThrow(FilesChanged);
      await replace(...BIAS);
      const session = await engine.open(changed);
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
      await rm(file());
      await expect(engine.open(changed)).rejects.toThrow(FilesChanged);
    });

    it('goes on with what it has open when another file takes its place', async () => {
      const session = await engine.open(await spec());
      await replace(4, 5, 6);
      expect(await meanOf(session)).toEqual(MEAN);
      await rm(file());
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
    });

    it.each<[string, () => Promise<void>]>([
      ['is written to', () => writeFile(file(), bytesOf(4, 5, 6))],
      ['is cut off', () => truncate(file(), 4)],
    ])('runs nothing any more when its file %s', async (_, change) => {
      const session = await engine.open(await spec());
      await change();
      await expect(session.run(feeds(10))).rejects.toThrow(FilesChanged);
      await expect(session.run(feeds(10))).rejects.toThrow(FilesChanged);
      await session.release();
    });

    it('opens no other file for a large input', async () => {
      const session = await engine.open(await spec({ largeFeed: 1 }));
      expect(await meanOf(session)).toEqual(MEAN);
      await replace(4, 5, 6);
      await expect(session.run(feeds(10))).rejects.toThrow(FilesChanged);
      await session.release();
    });

    it('makes nothing to keep out of another file', async () => {
      const kept = { folder: join(folder, 'kept-changing'), maxBytes: 2 ** 20 };
      const keeping = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 }, kept });
      const changed = await spec({ digest: 'of the old bytes' });
      await replace(4, 5, 6);
      await expect(keeping.open(changed)).rejects.toThrow(FilesChanged);
      expect(await readdir(kept.folder)).toEqual([]);
    });

    it('makes again what it kept when that is damaged while it is in use', async () => {
      const kept = { folder: join(folder, 'kept-in-use'), maxBytes: 2 ** 24 };
      const keeping = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 }, kept });
      const graph = graphOf([1, 3, 8, 8], (b, x) => b.node('Conv', [x, b.parameter('weight', [64, 3, 3, 3])]));
      const session = await keeping.open({ id: 'net', model: writeOnnx(graph), digest: 'of the net' });
      const x = { ...randomTensor([1, 3, 8, 8]), type: 'float32' } as Tensor<'float32'>;
      const before = await session.run({ x });
      const [name] = await readdir(kept.folder);
      const weights = join(kept.folder, name!, 'weights.bin');
      const { size } = await stat(weights);
      await writeFile(weights, Buffer.alloc(size, 0x3f));
      expect(await session.run({ x })).toEqual(before);
      await truncate(weights, 0);
      expect(await session.run({ x })).toEqual(before);
      expect(await readdir(join(kept.folder, name!))).toContain('digests.json');
      await session.release();
    });
  });

  it('runs a large input although what it kept of the model is gone', async () => {
    const kept = { folder: join(folder, 'gone'), maxBytes: 2 ** 30 };
    const keeping = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 }, kept });
    const graph = graphOf([1, 3, 8, 8], (b, x) => b.node('Conv', [x, b.parameter('weight', [64, 3, 3, 3])]));
    const spec = { id: 'net', model: writeOnnx(graph), digest: 'of the net', largeFeed: 1 };
    const session = await keeping.open(spec);
    const x = randomTensor([1, 3, 8, 8]) as Tensor<'float32'>;
    const run = () => session.run({ x: { ...x, type: 'float32' } });
    const before = await run();
    await rm(kept.folder, { recursive: true });
    expect(await run()).toEqual(before);
    await session.release();
  });

  it('gives a large input the outputs that a small one of the same pixels has', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel(), largeFeed: 1e6 });
    const [height, width] = [700, 600];
    const image = {
      type: 'uint8',
      dims: [1, height, width, 3],
      data: new Uint8Array(height * width * 3).fill(10),
    } as const;
    const classes = { type: 'int64', dims: [1, 1], data: BigInt64Array.of(7n) } as const;
    for (let run = 0; run < 2; run += 1) {
      const { mean, echo } = await session.run({ image, classes });
      expect(mean).toMatchObject({ dims: [1, 3] });
      [11, 12, 13].forEach((value, channel) => expect(mean!.data[channel]).toBeCloseTo(value, 3));
      expect(echo).toEqual(classes);
    }
    expect((await session.run(feeds(10)))['mean']).toMatchObject({ dims: [2, 3] });
    await session.release();
  });

  it.each([
    ['gives back what a large input has left', 1200, {}, 1],
    ['keeps a session open that would be optimized again: a large net that is not kept', 1200, { digest: 'large' }, 0],
    ['keeps a session open that has run small inputs alone', 1201, {}, 0],
  ])('%s', async (_, largeFeed, more, times) => {
    const create = vi.spyOn(InferenceSession, 'create');
    try {
      const session = await engine.open({ id: 'tiny', model: tinyModel(), largeFeed, ...more });
      const release = vi.spyOn((await create.mock.results[0]!.value) as InferenceSession, 'release');
      expect(session.hasGrown).toBe(false);
      const before = await session.run(feeds(10));
      expect(session.hasGrown).toBe(times > 0);
      if (session.hasGrown === true) {
        // The session that runs in the meantime is not released before that is over.
        const [meanwhile] = await Promise.all([session.run(feeds(10)), session.shrink!()]);
        expect(meanwhile).toEqual(before);
      }
      expect(session.hasGrown).toBe(false);
      expect(create).toHaveBeenCalledTimes(1 + times);
      expect(release).toHaveBeenCalledTimes(times);
      expect(await session.run(feeds(10))).toEqual(before);
      await session.release();
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('refuses weights outside the folder, through a symbolic link too', async () => {
    const inside = await mkdtemp(join(folder, 'model-'));
    await symlink(join(folder, 'weights.bin'), join(inside, 'link.bin'));
    for (const file of ['../weights.bin', 'link.bin']) {
      const opening = engine.open({ id: 'tiny', model: tinyModel({ file, offset: 8 }), weightsFolder: inside });
      await expect(opening).rejects.toThrow('escapes model directory');
    }
  });

  it("rejects a broken model with the engine's message", async () => {
    await expect(engine.open({ id: 'broken', model: Uint8Array.of(1, 2, 3) })).rejects.toThrow(
      'protobuf parsing failed',
    );
  });

  it('does not fall back to another device', async () => {
    const elsewhere = createOnnxruntimeEngine({ threads: 1, device: { kind: 'dml', index: 0 } });
    const opening = elsewhere.open({ id: 'tiny', model: tinyModel() });
    await expect(opening).rejects.toThrow(process.platform === 'win32' ? /./ : 'backend not found');
  });

  it('lists the providers in its library', () => {
    expect(listProviders()).toContain('cpu');
  });
});
