import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { convolutionalizeGlobalPool } from '../../../src/graph/passes/convolutionalize-global-pool.js';
import { selectClasses } from '../../../src/graph/passes/select-classes.js';
import type { Engine } from '../../../src/runtime/session.js';
import { expectTensor, type TensorMap } from '../../../src/tensor.js';
import { BIAS, tinyModel } from '../../fixtures/tiny-onnx.js';
import { asFeeds, TENSORFLOW_ENGINES } from '../../support/engines.js';
import { randomTensor } from '../../support/ort.js';
import { tf } from '../../support/tfjs.js';
import { graphOf, tinyResNet } from '../../support/tiny-graphs.js';

function feeds(value: number): TensorMap {
  return {
    image: { type: 'uint8', dims: [2, 4, 5, 3], data: new Uint8Array(120).fill(value) },
    classes: { type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, -1n) },
  };
}

describe.each(TENSORFLOW_ENGINES)('the engine $name', ({ start }) => {
  let engine: Engine;
  let folder: string;

  beforeAll(async () => {
    engine = await start();
    folder = await mkdtemp(join(tmpdir(), 'fullconv-tensorflow-'));
    await writeFile(join(folder, 'weights.bin'), Buffer.concat([Buffer.alloc(8), Buffer.from(BIAS.buffer)]));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('takes bytes and 64-bit integers, and gives them', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    const { mean, echo } = await session.run(feeds(10));
    expect(mean).toEqual({ type: 'float32', dims: [2, 3], data: Float32Array.of(11, 12, 13, 11, 12, 13) });
    expect(echo).toEqual({ type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, -1n) });
    await session.release();
  });

  it('gives outputs that can be transferred and that later runs leave alone', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    const { data } = expectTensor(await session.run(feeds(10)), 'mean', 'float32');
    await session.run(feeds(20));
    const transferred = structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
    expect(transferred).toEqual(Float32Array.of(11, 12, 13, 11, 12, 13));
    expect(await session.run(feeds(10))).toMatchObject({ mean: { data: transferred } });
    await session.release();
  });

  it('gives an input that is an output too as a copy', async () => {
    const graph = graphOf([1, 2], (b, x) => b.node('Identity', [x]));
    const session = await engine.open({ id: 'echo', model: writeOnnx(graph) });
    const given = Float32Array.of(1, 2);
    const outputs = await session.run({ x: { type: 'float32', dims: [1, 2], data: given } });
    const [{ data } = { data: given }] = Object.values(outputs);
    expect(data).toEqual(given);
    expect(data.buffer).not.toBe(given.buffer);
    await session.release();
  });

  it('finds external weights', async () => {
    const model = tinyModel({ file: 'weights.bin', offset: 8 });
    const session = await engine.open({ id: 'tiny', model, weightsFolder: folder });
    const mean = expectTensor(await session.run(feeds(0)), 'mean', 'float32');
    expect([...mean.data]).toEqual([1, 2, 3, 1, 2, 3]);
    await session.release();
  });

  it('refuses weights outside the folder, through a symbolic link too, and a file that is too short', async () => {
    const inside = await mkdtemp(join(folder, 'model-'));
    await symlink(join(folder, 'weights.bin'), join(inside, 'link.bin'));
    await writeFile(join(inside, 'short.bin'), Buffer.alloc(12));
    const opening = (file: string): Promise<unknown> =>
      engine.open({ id: 'tiny', model: tinyModel({ file, offset: 8 }), weightsFolder: inside });
    await expect(opening('../weights.bin')).rejects.toThrow('not a file below');
    await expect(opening('link.bin')).rejects.toThrow('tensor "bias": link.bin escapes the model\'s folder');
    await expect(opening('short.bin')).rejects.toThrow('tensor "bias": short.bin ends before its last byte');
  });

  it('rejects a broken model, feeds that do not fit, and numbers that it cannot hold', async () => {
    await expect(engine.open({ id: 'broken', model: Uint8Array.of(1, 2, 3) })).rejects.toThrow('not an ONNX model');
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    const { image, classes } = feeds(1) as { image: TensorMap[string]; classes: TensorMap[string] };
    await expect(session.run({ image })).rejects.toThrow('the input classes is missing');
    await expect(session.run({ image: classes, classes })).rejects.toThrow(
      'the input image is int64, but must be uint8',
    );
    await expect(session.run({ image: { ...image, dims: [2, 60, 1, 1] }, classes })).rejects.toThrow(
      'input "image": [2, 60, 1, 1] does not fit',
    );
    const large = { type: 'int64', dims: [1, 1], data: BigInt64Array.of(2n ** 40n) } as const;
    await expect(session.run({ image, classes: large })).rejects.toThrow('beyond 32 bits');
    expect(await session.run(feeds(10))).toHaveProperty('mean');
    await session.release();
  });

  it('keeps the memory it took: no tensor more after a thousand runs of any size, none after its end', async () => {
    const before = tf.memory();
    const dense = applyPasses(tinyResNet(), [convolutionalizeGlobalPool(), selectClasses()]);
    const session = await engine.open({ id: 'net', model: writeOnnx(dense) });
    const run = (side: number) =>
      session.run(
        asFeeds({
          input: randomTensor([1, 3, side, side + 3]),
          classes: { dims: [1, 2], data: BigInt64Array.of(1n, 7n) },
        }),
      );
    await run(16);
    const open = tf.memory();
    for (let index = 0; index < 1000; index += 1) await run(16 + (index % 20));
    expect(tf.memory().numTensors).toBe(open.numTensors);
    expect(tf.memory().numBytes).toBe(open.numBytes);
    expect(tf.memory().numDataBuffers).toBe(open.numDataBuffers);
    await expect(session.run({})).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(open.numTensors);
    await session.release();
    expect(tf.memory().numTensors).toBe(before.numTensors);
    expect(tf.memory().numBytes).toBe(before.numBytes);
  });

  it('frees what a run had made when it fails halfway', async () => {
    const graph = graphOf(['N', 4, 'H', 'W'], (b, x) => {
      const small = b.node('Relu', [b.node('Conv', [x, b.parameter('weight', [4, 4, 1, 1])])]);
      const rows = b.node('Slice', [
        small,
        ...[[0], [2], [2]].map((values, index) => b.constant(`s${index}`, 'int64', [1], values)),
      ]);
      const picked = b.constant('picked', 'int64', [1], [3]);
      return b.node('Gather', [b.node('Neg', [rows]), picked], { attributes: { axis: { type: 'int', value: 2 } } });
    });
    const session = await engine.open({ id: 'net', model: writeOnnx(graph) });
    const run = () => session.run(asFeeds({ x: randomTensor([1, 4, 8, 8]) }));
    await expect(run()).rejects.toThrow(/^node ".*" \(Gather\): /);
    const after = tf.memory().numTensors;
    await expect(run()).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(after);
    await session.release();
  });
});
