/**
 * The tensors of a PyTorch checkpoint as float32 values. A tensor is a view of a storage: an offset, and a stride for
 * each axis. All numbers come from a stranger's file, so every view is checked against its storage before it is read.
 */
import { readSync } from 'node:fs';
import { halfValue } from '../../graph/constants.js';
import { elementCount } from '../../tensor.js';
import { ModelFileError } from '../files/model-file-error.js';
import type { Checkpoint, StorageRange } from './checkpoint.js';
import type { PickledTensor } from './pickle.js';

type Floats = 'float16' | 'bfloat16' | 'float32' | 'float64';

const FLOATS: ReadonlyMap<string, Floats> = new Map<string, Floats>([
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['FloatStorage', 'float32'],
  ['DoubleStorage', 'float64'],
  // Names of types, where a storage has none.
  ['float16', 'float16'],
  ['half', 'float16'],
  ['bfloat16', 'bfloat16'],
  ['float32', 'float32'],
  ['float64', 'float64'],
]);

const WIDTHS: Readonly<Record<Floats, number>> = { float16: 2, bfloat16: 2, float32: 4, float64: 8 };

/** A tensor that lies inside its storage. */
export interface StoredFloats {
  readonly type: Floats;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
  /** Where its first element and all up to its last one are in the file, in bytes. */
  readonly range: StorageRange;
}

/** Check a tensor against its storage. Throws ModelFileError naming it. */
export function locateTensor(
  file: string,
  name: string,
  tensor: PickledTensor,
  { storages }: Checkpoint,
): StoredFloats {
  const { storage, offset, dims, strides, dtype } = tensor;
  const fail = (detail: string): ModelFileError => new ModelFileError(file, `tensor "${name.slice(0, 200)}"`, detail);
  const type = FLOATS.get(dtype ?? storage.type);
  if (type === undefined) {
    throw fail(
      `holds ${(dtype ?? storage.type)
        .replace(/Storage$/, '')
        .slice(0, 40)
        .toLowerCase()} numbers, not floating-point ones`,
    );
  }
  const range = storages.get(storage.key);
  if (range === undefined) throw fail('its values are missing in the file');
  const width = WIDTHS[type];
  const available = range.length / width;
  const count = elementCount(dims);
  const last = dims.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 0);
  const extent = count === 0 ? 0 : last + 1;
  // Expanded tensors have more elements than their storage; no weight is one.
  if (!(offset + extent <= available) || !(count <= available)) {
    throw fail(`[${dims.join(', ')}] does not lie inside its storage of ${Math.floor(available)} elements`);
  }
  return { type, dims, strides, range: { begin: range.begin + offset * width, length: extent * width } };
}

/** The values, row-major, in a new array. Throws ModelFileError if the file ends before them. */
export function readTensor(file: string, descriptor: number, tensor: StoredFloats): Float32Array<ArrayBuffer> {
  const { type, dims, strides, range } = tensor;
  const bytes = new Uint8Array(range.length);
  for (let done = 0; done < bytes.length;) {
    const read = readSync(descriptor, bytes, done, Math.min(bytes.length - done, 2 ** 30), range.begin + done);
    if (read === 0) throw new ModelFileError(file, 'file', 'ended while it was read');
    done += read;
  }
  const values = VALUES[type](bytes.buffer);
  return isContiguous(dims, strides) ? values : gathered(values, dims, strides);
}

const VALUES: Readonly<Record<Floats, (bytes: ArrayBuffer) => Float32Array<ArrayBuffer>>> = {
  float16: (bytes) => converted(new Uint16Array(bytes), halfValue),
  // The upper half of float32.
  bfloat16(bytes) {
    const stored = new Uint16Array(bytes);
    const bits = new Uint32Array(stored.length);
    for (let i = 0; i < stored.length; i += 1) bits[i] = stored[i]! << 16;
    return new Float32Array(bits.buffer);
  },
  float32: (bytes) => new Float32Array(bytes),
  float64: (bytes) => converted(new Float64Array(bytes), (value) => value),
};

function converted(stored: Uint16Array | Float64Array, valueOf: (stored: number) => number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(stored.length);
  for (let i = 0; i < stored.length; i += 1) values[i] = valueOf(stored[i]!);
  return values;
}

function isContiguous(dims: readonly number[], strides: readonly number[]): boolean {
  return dims.every((size, axis) => size === 1 || strides[axis] === elementCount(dims.slice(axis + 1)));
}

function gathered(
  values: Float32Array<ArrayBuffer>,
  dims: readonly number[],
  strides: readonly number[],
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(elementCount(dims));
  const position = dims.map(() => 0);
  let from = 0;
  for (let to = 0; to < result.length; to += 1) {
    result[to] = values[from]!;
    // The next place, counted as an odometer does: last axis first.
    for (let axis = dims.length - 1; axis >= 0; axis -= 1) {
      position[axis]! += 1;
      from += strides[axis]!;
      if (position[axis]! < dims[axis]!) break;
      from -= strides[axis]! * dims[axis]!;
      position[axis] = 0;
    }
  }
  return result;
}
