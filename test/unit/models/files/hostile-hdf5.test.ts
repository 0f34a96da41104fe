/** HDF5 files that are broken, or made to be: whatever is in them, it is told by file and object. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { File, type Group } from 'h5wasm/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { generatedUniform } from '../../../../src/models/networks/generated-weights.js';
import { convertKerasWeights } from '../../../../src/models/keras-applications/thread.js';
import { openKerasWeights } from '../../../../src/models/keras-applications/weights.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { writeKerasFile } from '../../../support/keras.js';

// The library tells the console what it thinks of a file, thousands of times here.
vi.hoisted(() => vi.spyOn(console, 'error').mockImplementation(() => undefined));

const SHAPES = { 'predictions/kernel': [8, 4], 'predictions/bias': [4] };
const SOURCES = [
  { name: 'fc.weight', dims: [4, 8], layer: 'predictions', index: 0, kernel: [1, 1, 8, 4] },
  { name: 'fc.bias', dims: [4], layer: 'predictions', index: 1 },
] as const;

const WORKER_FILE = fileURLToPath(new URL('../../../../dist/models/keras-applications/worker.js', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-hdf5-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The values of all sources, in this thread. */
async function read(file: string): Promise<Float32Array[]> {
  const weights = await openKerasWeights(file, SOURCES);
  try {
    return SOURCES.map((source) => weights.values(source));
  } finally {
    weights.close();
  }
}

/** A file with the layer `predictions`, which `change` has changed. */
async function changed(name: string, change: (layer: Group) => void): Promise<string> {
  const file = join(folder, name);
  await writeKerasFile(file, {});
  const hdf5 = new File(file, 'a');
  const layer = hdf5.create_group('predictions');
  layer.create_attribute('weight_names', ['kernel:0', 'bias:0']);
  layer.create_dataset({ name: 'bias:0', data: new Float32Array(4) });
  change(layer);
  hdf5.close();
  return file;
}

const numbers = Float32Array.from({ length: 32 }, (_, index) => index);

describe('a Keras file', () => {
  it('may be compressed', async () => {
    const file = await changed('gzip.h5', (layer) => {
      layer.create_dataset({ name: 'kernel:0', data: numbers, shape: [8, 4], chunks: [3, 4], compression: 'gzip' });
    });
    const [kernel] = await read(file);
    expect(Array.from(kernel!.slice(0, 9))).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 1]);
  });

  it('may have numbers of other precision', async () => {
    const file = await changed('double.h5', (layer) => {
      layer.create_dataset({ name: 'kernel:0', data: Float64Array.from(numbers), shape: [8, 4] });
    });
    const [kernel] = await read(file);
    expect(Array.from(kernel!.slice(0, 9))).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 1]);
  });

  it.each<[string, (layer: Group) => void, string]>([
    ['no dataset', () => undefined, 'dataset "/predictions/kernel:0": is missing'],
    ['a group for a dataset', (layer) => layer.create_group('kernel:0'), 'dataset "/predictions/kernel:0": is missing'],
    [
      'a link that leads nowhere',
      (layer) => layer.create_soft_link('/nowhere', 'kernel:0'),
      'dataset "/predictions/kernel:0": is missing',
    ],
    [
      'a link into another file',
      (layer) => layer.create_external_link('good.h5', '/predictions/kernel', 'kernel:0'),
      'dataset "/predictions/kernel:0": lies in another file',
    ],
    [
      'other sizes',
      (layer) => layer.create_dataset({ name: 'kernel:0', data: numbers, shape: [4, 8] }),
      'dataset "/predictions/kernel:0": must be [8, 4], is [4, 8]',
    ],
    [
      'a number for a matrix',
      (layer) => layer.create_dataset({ name: 'kernel:0', data: numbers.slice(0, 1), shape: [] }),
      'dataset "/predictions/kernel:0": must be [8, 4], is []',
    ],
    [
      'other numbers',
      (layer) => layer.create_dataset({ name: 'kernel:0', data: new Int32Array(32), shape: [8, 4] }),
      'dataset "/predictions/kernel:0": does not hold floating-point numbers of 2, 4 or 8 bytes, little-endian',
    ],
    [
      'texts for numbers',
      (layer) => layer.create_dataset({ name: 'kernel:0', data: ['a', 'b'] }),
      'dataset "/predictions/kernel:0": does not hold floating-point numbers of 2, 4 or 8 bytes, little-endian',
    ],
    [
      'numbers for names',
      (layer) => {
        layer.delete_attribute('weight_names');
        layer.create_attribute('weight_names', [1, 2]);
      },
      'attribute "weight_names" of "/predictions": is not a list of strings',
    ],
    [
      'one text for a list',
      (layer) => {
        layer.delete_attribute('weight_names');
        layer.create_attribute('weight_names', 'kernel:0');
      },
      'attribute "weight_names" of "/predictions": is not a list of strings',
    ],
    [
      'fewer names',
      (layer) => {
        layer.delete_attribute('weight_names');
        layer.create_attribute('weight_names', ['kernel:0']);
        layer.create_dataset({ name: 'kernel:0', data: numbers, shape: [8, 4] });
      },
      'layer "predictions": has 1 weights, not 2',
    ],
    [
      'no names',
      (layer) => layer.delete_attribute('weight_names'),
      'layer "predictions": has no attribute "weight_names"',
    ],
  ])('with %s is refused', async (name, change, message) => {
    const file = await changed(`${name}.h5`, change);
    await writeKerasFile(join(folder, 'good.h5'), SHAPES);
    await expect(read(file)).rejects.toThrow(ModelFileError);
    await expect(read(file)).rejects.toThrow(`${file}: ${message}`);
  });

  it.each([
    ['virtual', 'dataset "/predictions/kernel:0": is virtual: it is made of other datasets'],
    ['external-storage', 'dataset "/predictions/kernel:0": cannot be read'],
    ['huge', 'dataset "/predictions/kernel:0": must be [8, 4], is [1073741824, 1048576]'],
    ['huge-chunk', 'dataset "/predictions/kernel:0": has chunks of [16384, 16384], larger than itself'],
  ])('that is not all there (%s) is refused', async (name, message) => {
    const file = fileURLToPath(new URL(`../../../fixtures/hdf5/${name}.h5`, import.meta.url));
    await expect(read(file)).rejects.toThrow(message);
  });

  it('with other layers is shown by its first ones', async () => {
    const file = join(folder, 'other.h5');
    await writeKerasFile(file, { 'dense/kernel': [8, 4], 'base/kernel': [1] }, { root: 'model_weights' });
    await expect(read(file)).rejects.toThrow('layer "predictions": is missing; the file has "base", "dense"');
  });

  it("of Keras 3's own layout is told from one that is merely broken", async () => {
    const file = join(folder, 'newer.weights.h5');
    await writeKerasFile(file, { 'layers/0': [1] }, { valuesOf: () => new Float32Array(1) });
    await expect(read(file)).rejects.toThrow("Keras 3's .weights.h5");
  });

  it.each([
    ['', 'is empty (0 bytes), and not an HDF5 file'],
    ['garbage', 'is a text, and not an HDF5 file'],
    ['PK\u0003\u0004', 'is a zip archive, and not an HDF5 file'],
    ['\u0089HDF', 'is in no format that is known here, and not an HDF5 file'],
  ])('that is no HDF5 (%j) is refused as what it is', async (text, detail) => {
    const file = join(folder, 'garbage.h5');
    await writeFile(file, text, 'latin1');
    await expect(read(file)).rejects.toThrow(`${file}: file: ${detail}`);
  });

  it('that is not there is refused', async () => {
    await expect(read(join(folder, 'nothing.h5'))).rejects.toThrow('nothing.h5: file: cannot be read');
  });

  it('of any bytes is read or refused, and nothing else', async () => {
    const whole = join(folder, 'whole.h5');
    await writeKerasFile(whole, SHAPES, { fixedLength: true });
    const bytes = await readFile(whole);
    const file = join(folder, 'mutated.h5');
    let refused = 0;
    for (let seed = 0; seed < 600; seed += 1) {
      const [cut = 0, ...random] = Array.from(generatedUniform(`mutation ${seed}`, 25), (u) => (u + 1) / 2);
      const mutated = Buffer.from(bytes);
      for (let i = 0; i < 1 + (seed % 12); i += 1) {
        mutated[Math.floor(random[2 * i]! * bytes.length)] = [0, 127, 255, Math.floor(random[2 * i + 1]! * 256)][
          i % 4
        ]!;
      }
      const end = seed % 10 === 9 ? Math.floor(cut * bytes.length) : bytes.length;
      await writeFile(file, mutated.subarray(0, end));
      try {
        await read(file);
      } catch (error) {
        expect(error).toBeInstanceOf(ModelFileError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(60);
  });
});

describe('convertKerasWeights', () => {
  const STAMP = { sha256: 'hostile', size: 0, inode: 0n, writtenNs: 0n, changedNs: 0n };
  const convert = (file: string, options = {}) =>
    convertKerasWeights(
      { file, sources: SOURCES, stamp: STAMP, cache: folder },
      { workerFile: WORKER_FILE, ...options },
    );

  it('passes on what is wrong with the file', async () => {
    const file = join(folder, 'garbage.h5');
    await writeFile(file, 'garbage');
    await expect(convert(file)).rejects.toThrow(ModelFileError);
    await expect(convert(file)).rejects.toThrow(`${file}: file: is a text, and not an HDF5 file`);
  });

  it.each([
    ['that never comes back', 'for (;;);'],
    ['that crashes', 'process.nextTick(() => { throw new WebAssembly.RuntimeError("unreachable"); });'],
    ['that ends', 'process.exit(1);'],
  ])('survives a thread %s', async (_, script) => {
    const workerFile = join(folder, 'worker.mjs');
    await writeFile(workerFile, script);
    await expect(convert('model.h5', { workerFile, patienceMs: 500 })).rejects.toThrow(
      'model.h5: file: cannot be read as HDF5',
    );
  });
});
