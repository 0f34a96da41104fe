/** The OpenVINO engine by itself; test/conformance holds what it computes against ONNX Runtime. Skipped where it is not installed. */
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OperatorError } from '../../../src/errors.js';
import { int, ints } from '../../../src/graph/attributes.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import type { Work, WorkOutput } from '../../../src/inference/work.js';
import { compileModel } from '../../../src/models/compile.js';
import { readModelFolder } from '../../../src/models/manifest.js';
import { createPool } from '../../../src/processes/pool.js';
import { digestFile } from '../../../src/regular-files.js';
import { createOpenvinoEngine } from '../../../src/runtime/openvino/engine.js';
import { loadLibrary } from '../../../src/runtime/openvino/library.js';
import type { Engine, Session, SessionSpec } from '../../../src/runtime/session.js';
import { FilesChanged } from '../../../src/runtime/session-files.js';
import { expectTensor, type Tensor, type TensorMap } from '../../../src/tensor.js';
import { BIAS, tinyModel } from '../../fixtures/tiny-onnx.js';
import { OPENVINO, startOpenvino } from '../../support/engines.js';
import { randomTensor } from '../../support/ort.js';
import { graphOf } from '../../support/tiny-graphs.js';

const MODEL = fileURLToPath(new URL('../../../models/imagenet-efficientnet-lite0', import.meta.url));
/** 80 sizes take 94 MB of kernels and free memory between them; 226 with OpenVINO's own limit. */
const GROWTH_MB = 150;

function feeds(value: number): TensorMap {
  return {
    image: { type: 'uint8', dims: [2, 4, 5, 3], data: new Uint8Array(120).fill(value) },
    classes: { type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, 99n) },
  };
}

describe.skipIf(OPENVINO === undefined)('the OpenVINO engine', () => {
  let engine: Engine;
  let folder: string;
  beforeAll(async () => {
    engine = startOpenvino();
    folder = await mkdtemp(join(tmpdir(), 'fullconv-ov-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const MEAN = [11, 12, 13, 11, 12, 13];
  const meanOf = async (session: Session) => [...expectTensor(await session.run(feeds(10)), 'mean', 'float32').data];

  it('runs a model and gives outputs that later runs leave alone', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    expect(session.provider).toBe('cpu');
    const { mean, echo } = await session.run(feeds(10));
    await session.run(feeds(20));
    expect(mean).toEqual({ type: 'float32', dims: [2, 3], data: Float32Array.from(MEAN) });
    expect(echo).toEqual({ type: 'int64', dims: [2, 1], data: BigInt64Array.of(7n, 99n) });
    await session.release();
  });

  it('says which input is missing, and goes on', async () => {
    const session = await engine.open({ id: 'tiny', model: tinyModel() });
    const { image } = feeds(10);
    await expect(session.run({ image: image! })).rejects.toThrow('the input classes is missing');
    const wrong: Tensor = { type: 'float32', dims: [1, 3], data: new Float32Array(3) };
    await expect(session.run({ ...feeds(10), image: wrong })).rejects.toThrow(/input tensor/);
    expect(await meanOf(session)).toEqual(MEAN);
    await session.release();
  });

  it('says what it cannot compile', async () => {
    const graph = graphOf([1, 3, 8, 8], (b, x) => b.node('Unheard', [x]));
    await expect(engine.open({ id: 'odd', model: writeOnnx(graph) })).rejects.toThrow(/Unheard/);
  });

  describe('over files', () => {
    const file = () => join(folder, 'weights.bin');
    const bytesOf = (...bias: number[]) =>
      Buffer.concat([Buffer.alloc(4), Buffer.from(Float32Array.of(...bias).buffer)]);
    const replace = async (...bias: number[]) => {
      await writeFile(`${file()}.new`, bytesOf(...bias));
      await rename(`${file()}.new`, file());
    };
    const spec = async (options = {}) => {
      await rm(file(), { force: true });
      await writeFile(file(), bytesOf(...BIAS));
      const weightsFiles = [{ name: 'weights.bin', stamp: await digestFile(file(), Infinity) }];
      const model = tinyModel({ file: 'weights.bin', offset: 4 });
      return { id: 'over-files', model, weightsFolder: folder, weightsFiles, ...options };
    };

    it('computes with the weights that lie in them', async () => {
      const session = await engine.open(await spec());
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
    });

    it('opens only the bytes that were digested', async () => {
      const changed = await spec();
      await replace(4, 5, 6);
      await expect(engine.open(changed)).rejects.toThrow(FilesChanged);
    });

    it('says so where a file ends before its weights', async () => {
      await writeFile(file(), Buffer.alloc(8));
      const model = tinyModel({ file: 'weights.bin', offset: 4 });
      const opening = engine.open({ id: 'short', model, weightsFolder: folder });
      await expect(opening).rejects.toThrow(/weights\.bin ends before the weights of/);
    });

    it.each<[string, () => Promise<void>]>([
      ['is written to', () => writeFile(file(), bytesOf(4, 5, 6))],
      ['is cut off', () => truncate(file(), 4)],
    ])('runs nothing any more when its file %s', async (_, change) => {
      const session = await engine.open(await spec());
      await change();
      await expect(session.run(feeds(10))).rejects.toThrow(FilesChanged);
      await session.release();
    });

    it('stays with what it has open when another file takes its place, also after a large run', async () => {
      const session = await engine.open(await spec({ largeFeed: 1 }));
      await replace(4, 5, 6);
      expect(await meanOf(session)).toEqual(MEAN);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
    });
  });

  describe('keeps compiled models', () => {
    let kept: { folder: string; maxBytes: number };
    beforeEach(async () => {
      kept = { folder: await mkdtemp(join(folder, 'kept-')), maxBytes: 2 ** 24 };
    });
    const keeping = () => startOpenvino({ kept });
    const spec = { id: 'tiny', model: tinyModel(), digest: 'of the model' };
    const foldersOf = async () => (await readdir(kept.folder)).map((name) => join(kept.folder, name));
    /** Another model: its weights are in a file, and are doubled. */
    async function doubled(): Promise<SessionSpec> {
      const weights = await mkdtemp(join(folder, 'doubled-'));
      await writeFile(join(weights, 'weights.bin'), Buffer.from(BIAS.map((value) => 2 * value).buffer));
      const model = tinyModel({ file: 'weights.bin', offset: 0 });
      return { id: 'doubled', model, weightsFolder: weights, digest: 'of the other model' };
    }

    it('and opens a session from the one that it has', async () => {
      const engine = keeping();
      const open = async (each: SessionSpec) => {
        const session = await engine.open(each);
        const mean = await meanOf(session);
        await session.shrink!();
        expect(await meanOf(session)).toEqual(mean);
        await session.release();
        return mean;
      };
      const other = await doubled();
      expect(await open(spec)).toEqual(MEAN);
      const [own] = await foldersOf();
      expect(await open(other)).toEqual([12, 14, 16, 12, 14, 16]);
      const [others] = (await foldersOf()).filter((each) => each !== own);
      // In the other's place, so that it shows which one is opened.
      for (const file of await readdir(own!)) await copyFile(join(own!, file), join(others!, file));
      expect(await open(other)).toEqual(MEAN);
      expect(await open(spec)).toEqual(MEAN);
    });

    it('but not beyond another build, setting, or damage: then it compiles again', async () => {
      const engine = keeping();
      await (await engine.open(spec)).release();
      await (await startOpenvino({ kept, lanes: 2 }).open(spec)).release();
      const [first, second] = await foldersOf();
      expect(second).toBeDefined();
      // What OpenVINO does not take, with the digest of just that.
      const junk = Buffer.alloc(1000, 'x');
      const digest = createHash('sha256').update(junk).digest('hex');
      for (const each of [first!, second!]) {
        await writeFile(join(each, 'model.blob'), junk);
        await writeFile(join(each, 'digests.json'), JSON.stringify({ 'model.blob': digest }));
      }
      const session = await engine.open(spec);
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
      expect(await foldersOf()).toHaveLength(1);
    });

    it('and answers rightly when one is written to while it is in use', async () => {
      const lanes = 2;
      const session = await startOpenvino({ kept, lanes }).open(spec);
      const [only] = await foldersOf();
      const bytes = await readFile(join(only!, 'model.blob'));
      await writeFile(join(only!, 'model.blob'), bytes.fill(7, bytes.length - 24));
      // Both find it damaged, and it is replaced and freed once.
      expect(await Promise.all([meanOf(session), meanOf(session)])).toEqual([MEAN, MEAN]);
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
    });

    it('and needs no place to keep them', async () => {
      await writeFile(join(folder, 'a file'), '');
      const engine = startOpenvino({ kept: { folder: join(folder, 'a file', 'kept'), maxBytes: 2 ** 24 } });
      const session = await engine.open(spec);
      expect(await meanOf(session)).toEqual(MEAN);
      await session.release();
    });
  });

  const wide = graphOf([1, 8, 'H', 'W'], (b, x) => {
    const attributes = { kernel_shape: ints(3, 3), pads: ints(1, 1, 1, 1), group: int(1) };
    const deep = b.node('Conv', [x, b.parameter('a', [64, 8, 3, 3])], { attributes });
    return b.node('Conv', [b.node('Relu', [deep]), b.parameter('b', [8, 64, 3, 3])], { attributes });
  });

  it('computes in bfloat16 where it is told to and the processor has it, and in single precision otherwise', async () => {
    const x = randomTensor([1, 8, 16, 16]);
    const run = async (autocast?: 'bf16'): Promise<Float32Array> => {
      const session = await engine.open({ id: 'cast', model: writeOnnx(wide), autocast });
      const [output] = Object.values(await session.run({ x: { type: 'float32', ...x } }));
      await session.release();
      return output!.data as Float32Array;
    };
    const [single, again, brain] = [await run(), await run(), await run('bf16')];
    const largest = Math.max(...single.map(Math.abs));
    const difference = Math.max(...single.map((value, index) => Math.abs(value - brain[index]!))) / largest;
    expect(again).toEqual(single);
    if (engine.autocast === undefined) return;
    // 8 bits of mantissa: it is rounded, and no more than that.
    expect(difference).toBeGreaterThan(1e-4);
    expect(difference).toBeLessThan(2e-2);
  });

  it('runs as many at the same time as it has lanes, in one process with the weights once', async () => {
    const pool = await createPool<Work, WorkOutput>({
      devices: [{ kind: 'cpu', index: 0 }],
      workers: 2,
      lanes: 2,
      engine: 'openvino',
      engineOptions: { threads: 1, libraryFolder: process.env['FULLCONV_OPENVINO'] },
      decoders: 1,
      workerFile: fileURLToPath(new URL('../../../dist/engine-process/main.js', import.meta.url)),
    });
    try {
      expect(pool.pids).toHaveLength(1);
      await pool.open({ id: 'wide', model: writeOnnx(wide), largeFeed: 2 ** 24 });
      const order: number[] = [];
      const run = async (side: number) => {
        const { outcomes } = await pool.run('wide', [{ batch: image(side) }], { bytes: side * side });
        order.push(side);
        return Object.values((outcomes[0] as { output: WorkOutput }).output.outputs)[0]!.data;
      };
      const [large, small] = await Promise.all([run(1200), run(32)]);
      // In one lane the small run would wait for the large one, which takes more than a hundred times as long.
      expect(order).toEqual([32, 1200]);
      // To give memory back waits for no run, nor a run for that.
      order.length = 0;
      const runs = [run(1200), run(32)];
      pool.shrink();
      await runs[1];
      await new Promise<void>((resolve) => {
        const look = () => pool.idle > 0 && resolve();
        pool.onIdle(look);
        look();
      });
      await Promise.all([run(32), ...runs]);
      expect(order).toEqual([32, 32, 1200]);
      // Millions of values: toEqual would take minutes.
      const isSame = (a: ArrayBufferView, b: ArrayBufferView) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));
      expect(isSame(await run(1200), large)).toBe(true);
      expect(isSame(await run(32), small)).toBe(true);
    } finally {
      await pool.drain();
    }
  });

  const residentMb = (): number =>
    Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
  const image = (side: number): TensorMap => ({
    x: { type: 'float32', dims: [1, 8, side, side], data: new Float32Array(8 * side * side) },
  });

  it.runIf(process.platform === 'linux')('gives back what a large run has left', async () => {
    // 64 channels of 1,200² take 370 MB.
    const session = await engine.open({ id: 'large', model: writeOnnx(wide), largeFeed: 2 ** 24 });
    await session.run(image(32));
    expect(session.hasGrown).toBe(false);
    const before = residentMb();
    await session.run(image(1200));
    expect(session.hasGrown).toBe(true);
    expect(residentMb() - before).toBeGreaterThan(300);
    await session.shrink!();
    expect(session.hasGrown).toBe(false);
    expect(residentMb() - before).toBeLessThan(100);
    await session.run(image(32));
    await session.release();
  });

  it.runIf(process.platform === 'linux')('keeps the kernels of the last sizes alone', async () => {
    const content = await readModelFolder(MODEL);
    const { classifier } = await compileModel(content, { load: 1, cache: folder });
    const session = await engine.open({ ...classifier.session, largeFeed: Infinity });
    const run = (height: number, width: number) =>
      session.run({ image: { type: 'uint8', dims: [1, height, width, 3], data: new Uint8Array(height * width * 3) } });
    // The largest comes first, so that what follows is not for its activations.
    await run(320, 320);
    const before = residentMb();
    for (let index = 0; index < 80; index += 1) await run(160 + ((37 * index) % 160), 160 + ((53 * index) % 160));
    expect(residentMb() - before).toBeLessThan(GROWTH_MB);
    await session.release();
  });

  it('refuses a library that is none', async () => {
    const path = join(folder, 'libopenvino_c.so');
    await writeFile(path, 'no library');
    expect(() =>
      createOpenvinoEngine({ threads: 1, device: { kind: 'cpu', index: 0 }, libraryFolder: folder }),
    ).toThrow(OperatorError);
    expect(() => loadLibrary({ path, source: 'system' })).toThrow(/^OpenVINO \(system, .*\) cannot be loaded: /);
  });
});
