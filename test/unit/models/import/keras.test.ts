/** Keras' own files: what they hold is what Keras computed; what cannot be read is told by name. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { File, ready } from 'h5wasm/node';
import { describe, expect, it, vi } from 'vitest';
import { OperatorError } from '../../../../src/errors.js';
import { convertKerasFile } from '../../../../src/models/import/keras-file.js';
import { importOnThread } from '../../../../src/models/import/draft-thread.js';
import {
  activated,
  convert,
  DRAFT_WORKER_FILE,
  expectedOutputs,
  fixture,
  importAndRun,
  inFolder,
  picture,
} from '../../../support/import.js';
import { relativeError } from '../../../support/ort.js';

// The library tells the console what it thinks of a file.
vi.hoisted(() => vi.spyOn(console, 'error').mockImplementation(() => undefined));

const TOLERANCE = 1e-4;

/** The conversion without its thread, which takes a second to start. */
const here = (file: string) => inFolder((folder) => convertKerasFile(file, folder, {}));

const outputs = {
  ...(await expectedOutputs('keras/outputs-keras2.json')),
  ...(await expectedOutputs('keras/outputs-keras3.json')),
};

describe.each(Object.entries(outputs))('%s', (name, { size, output }) => {
  it('computes what Keras computes', async () => {
    const { network, conversion, logits } = await importAndRun('keras', fixture(`keras/${name}`), picture(size));
    const numbers = network.output === 'logits' ? logits : activated(logits, network.activation);
    expect(relativeError(numbers, output)).toBeLessThan(TOLERANCE);
    expect(conversion).toMatchObject({ classes: output.length, input: { size } });
    expect(conversion.model.architecture).toBe('tfjs-layers');
  });
});

describe('the input', () => {
  it.each(['sequential-keras2.h5', 'sequential-keras3.keras', 'transfer-keras2.h5', 'transfer-keras3.keras'])(
    'of %s is taken as pixels, because the first layers scale them',
    async (name) => {
      const { input, notes } = await convert('keras', fixture(`keras/${name}`));
      expect(input).toMatchObject({ range: 1, mean: [0, 0, 0], std: [1, 1, 1] });
      expect(notes.join(' ')).toContain('0 to 255');
    },
  );

  it('is left open if nothing scales it', async () => {
    const { input } = await convert('keras', fixture('keras/teachable-keras2.h5'));
    expect(input).toEqual({ size: 32 });
  });
});

describe('what is refused', () => {
  it.each(['weights-keras2.weights.h5', 'weights-keras3.weights.h5'])('weights alone: %s', async (name) => {
    await expect(convert('keras', fixture(`keras/${name}`))).rejects.toThrow(
      /holds the weights of a Keras model without the model itself; .*model\.save\('model\.keras'\)/,
    );
  });

  it('Python code in a Lambda layer, by its name', async () => {
    await expect(convert('keras', fixture('keras/lambda-keras2.h5'))).rejects.toThrow(
      /layer "twice" \(Lambda\): holds Python code, which is not executed; export the model to ONNX/,
    );
  });

  it('gigabytes of weights in a file of kilobytes', async () => {
    await expect(convert('keras', fixture('keras/huge-keras2.h5'))).rejects.toThrow(
      /its weights would have 429\d+ bytes, but the file has only \d{4,5}$/,
    );
  });

  it('models inside of models, without an end', async () => {
    const nested = Array.from({ length: 30 }).reduce<object>(
      (inner, _, level) => ({
        class_name: 'Sequential',
        config: { name: `level${30 - level}`, layers: [inner] },
      }),
      { class_name: 'Sequential', config: { name: 'innermost', layers: [] } },
    );
    await inFolder(async (folder) => {
      const file = join(folder, 'nested.h5');
      await ready;
      const hdf5 = new File(file, 'w');
      hdf5.create_attribute('model_config', JSON.stringify(nested));
      hdf5.close();
      await expect(convert('keras', file)).rejects.toThrow('models are nested deeper than 16');
    });
  });

  it.each([
    ['nothing', ''],
    ['a text', 'once upon a time, there was a net'],
    ['HTML', '<!DOCTYPE html><html></html>'],
  ])('%s', async (_, text) => {
    await inFolder(async (folder) => {
      const file = join(folder, 'model.h5');
      await writeFile(file, text);
      await expect(convert('keras', file)).rejects.toThrow(/is neither HDF5 \(\.h5\) nor a \.keras archive/);
    });
  });

  it('a thread that takes too long', async () => {
    const file = fixture('keras/sequential-keras2.h5');
    const draft = (folder: string) =>
      importOnThread(file, folder, { name: 'net', input: {} }, { workerFile: DRAFT_WORKER_FILE, limitMs: 1 });
    await expect(inFolder(draft)).rejects.toThrow('was not read in 0.001 s');
  });
});

/** Every file that is damaged is told from a fault of the program, and takes no time. */
describe.each(['teachable-keras2.h5', 'transfer-keras3.keras'])('%s, damaged', (name) => {
  it.each(['cut off', 'changed'] as const)('%s: nothing but errors for operators', async (kind) => {
    const bytes = await readFile(fixture(`keras/${name}`));
    await inFolder(async (folder) => {
      const file = join(folder, name);
      for (let round = 0; round < 15; round += 1) {
        const at = Math.floor((bytes.length * (round + 0.5)) / 15);
        const damaged = kind === 'cut off' ? bytes.subarray(0, at) : Buffer.from(bytes);
        if (kind === 'changed')
          for (let i = 0; i < 8; i += 1) damaged[(at + i * 37) % bytes.length]! ^= 1 << (round % 8);
        await writeFile(file, damaged);
        const began = performance.now();
        await here(file).catch((error: unknown) => expect(error).toBeInstanceOf(OperatorError));
        expect(performance.now() - began).toBeLessThan(20_000);
      }
    });
  });
});
