/**
 * The weights in a Keras HDF5 file: a group for each layer with an attribute `weight_names`, in the file's root
 * (weights alone) or in its group `model_weights` (`model.save`). Nothing in it is trusted: before a value is read,
 * names, types and sizes are checked against those that the net needs.
 *
 * Source: keras/src/legacy/saving/legacy_h5_format.py.
 */
import { elementCount } from '../../tensor.js';
import { openHdf5, type Hdf5File } from '../files/hdf5.js';
import { BIAS_INDEX, type KerasSource } from './sources.js';
import { ModelFileError } from '../files/model-file-error.js';
import { firstOf } from '../networks/weight-names.js';

export interface KerasWeights {
  /** The values of a source's parameter, row-major, in a new array. Throws ModelFileError. */
  values(source: KerasSource): Float32Array<ArrayBuffer>;
  close(): void;
}

/** Open a file and check that it has all the sources. Throws ModelFileError naming the faulty layer or dataset. */
export async function openKerasWeights(file: string, sources: readonly KerasSource[]): Promise<KerasWeights> {
  const hdf5 = await openHdf5(file);
  try {
    const weights = weightsIn(hdf5, file);
    for (const source of sources) {
      checkDims(hdf5, file, weights.dataset(source.layer, source.index), source);
      if (source.minusBiasOf !== undefined) {
        checkDims(hdf5, file, weights.dataset(source.minusBiasOf, BIAS_INDEX), source);
      }
    }
    return {
      values(source) {
        const values = readTransposed(hdf5, weights.dataset(source.layer, source.index), source);
        const { minusBiasOf, plus = 0 } = source;
        if (minusBiasOf === undefined) return plus === 0 ? values : values.map((value) => value + plus);
        const bias = readTransposed(hdf5, weights.dataset(minusBiasOf, BIAS_INDEX), source);
        return values.map((value, index) => value - bias[index]!);
      },
      close: () => hdf5.close(),
    };
  } catch (error) {
    hdf5.close();
    throw error;
  }
}

const NEWER = ['layers', 'vars', '_layer_checkpoint_dependencies'];

function weightsIn(hdf5: Hdf5File, file: string) {
  const top = hdf5.names('/') ?? [];
  if (NEWER.some((name) => top.includes(name))) {
    const detail = "has the layout of Keras 3's .weights.h5; save the net with model.save('model.h5') instead";
    throw new ModelFileError(file, 'file', detail);
  }
  const root = top.includes('model_weights') ? '/model_weights' : '';
  const known = new Map<string, readonly string[]>();
  const namesIn = (layer: string): readonly string[] => {
    const group = `${root}/${layer}`;
    const field = `layer "${layer}"`;
    if (hdf5.names(group) === undefined) {
      const others = hdf5.names(root || '/') ?? [];
      throw new ModelFileError(file, field, `is missing; the file has ${firstOf(others)}`);
    }
    const names = hdf5.texts(group, 'weight_names');
    if (names === undefined) throw new ModelFileError(file, field, 'has no attribute "weight_names"');
    return names;
  };
  return {
    /** Path of a layer's weight. */
    dataset(layer: string, index: number): string {
      const names = known.get(layer) ?? namesIn(layer);
      known.set(layer, names);
      const name = names[index];
      if (name === undefined) {
        throw new ModelFileError(file, `layer "${layer}"`, `has ${names.length} weights, not ${index + 1}`);
      }
      return `${root}/${layer}/${name}`;
    },
  };
}

/** A kernel is a dataset of rank 4, or of rank 2 with all its inputs in one axis. */
function checkDims(hdf5: Hdf5File, file: string, dataset: string, { dims, kernel }: KerasSource): void {
  const found = hdf5.dims(dataset);
  const expected = kernel === undefined ? dims : dims.length === 4 && found.length === 4 ? kernel : flat(kernel);
  if (found.length === expected.length && found.every((size, axis) => size === expected[axis])) return;
  const detail = `must be [${expected.join(', ')}], is [${found.join(', ')}]`;
  throw new ModelFileError(file, `dataset "${dataset}"`, detail);
}

function flat([height, width, inputs, outputs]: readonly [number, number, number, number]): readonly number[] {
  return [height * width * inputs, outputs];
}

/** [h, w, in, out] → [out, in, h, w]; a vector stays as it is. */
function readTransposed(hdf5: Hdf5File, dataset: string, { dims, kernel }: KerasSource): Float32Array<ArrayBuffer> {
  const values = new Float32Array(elementCount(dims));
  if (kernel === undefined) {
    hdf5.read(dataset, (rows, begin) => values.set(rows, begin));
    return values;
  }
  const [height, width, inputs, outputs] = kernel;
  const cells = height * width;
  let row = 0;
  hdf5.read(dataset, (rows) => {
    for (let from = 0; from < rows.length; from += outputs) {
      const [cell, input] = [Math.floor(row / inputs), row % inputs];
      for (let output = 0, to = input * cells + cell; output < outputs; output += 1, to += inputs * cells) {
        values[to] = rows[from + output]!;
      }
      row += 1;
    }
  });
  return values;
}
