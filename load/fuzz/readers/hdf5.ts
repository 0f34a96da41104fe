/** Keras' HDF5 files. The library may loop forever in a broken one: the server reads them on a thread that is ended then. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openKerasWeights } from '../../../src/models/keras-applications/weights.js';
import { writeKerasFile } from '../../../test/support/keras.js';
import type { Target } from '../target.js';
import { refusingModel } from './refusing.js';

const SOURCES = [
  { name: 'fc.weight', dims: [4, 8], layer: 'predictions', index: 0, kernel: [1, 1, 8, 4] },
  { name: 'fc.bias', dims: [4], layer: 'predictions', index: 1 },
] as const;

export const hdf5: Target = {
  async open(root) {
    const [fixed, free, file] = ['fixed.h5', 'free.h5', 'fuzzed.h5'].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    const shapes = { 'predictions/kernel': [8, 4], 'predictions/bias': [4] };
    await writeKerasFile(fixed, shapes, { fixedLength: true });
    await writeKerasFile(free, shapes, { root: 'model_weights' });
    return {
      seeds: [await readFile(fixed), await readFile(free)],
      words: ['\x89HDF\r\n\x1a\n', 'OHDR', 'TREE', 'HEAP', 'SNOD', 'GCOL', 'FRHP', 'weight_names', 'predictions'],
      async run(bytes) {
        await writeFile(file, bytes);
        await refusingModel(async () => {
          const weights = await openKerasWeights(file, SOURCES);
          try {
            for (const source of SOURCES) weights.values(source);
          } finally {
            weights.close();
          }
        });
      },
    };
  },
};
