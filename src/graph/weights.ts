/**
 * Weights in another order. Inline values are moved. Values in a file stay where they are, and the initializer records
 * how they lie there (graph.ts, Arrangement).
 */
import { elementCount } from '../tensor.js';
import { BYTES_PER_ELEMENT } from './constants.js';
import type { Initializer } from './graph.js';

/**
 * The initializer, viewed as a tensor of dimensions `view` and transposed by `perm`. Undefined for weights that are
 * unbound, rearranged already, quantized, or of another number of elements.
 */
export function transposeWeight(
  initializer: Initializer,
  view: readonly number[],
  perm: readonly number[],
): Initializer | undefined {
  const { dataType, data } = initializer;
  if (initializer.quantization !== undefined || elementCount(view) !== elementCount(initializer.dims)) return undefined;
  const dims = perm.map((axis) => view[axis]!);
  switch (data.kind) {
    case 'unbound':
      return undefined;
    case 'external':
      if (data.arrangement !== undefined) return undefined;
      return { ...initializer, dims, data: { ...data, arrangement: { dims: view, perm } } };
    case 'inline': {
      const bytes = transposeBytes(data.bytes, view, perm, BYTES_PER_ELEMENT[dataType]);
      return { ...initializer, dims, data: { kind: 'inline', bytes } };
    }
  }
}

/** The values of a row-major tensor of dimensions `dims`, transposed by `perm`; again row-major. */
export function transposeValues(
  values: Float32Array<ArrayBuffer>,
  dims: readonly number[],
  perm: readonly number[],
): Float32Array<ArrayBuffer> {
  const target = new Float32Array(values.length);
  transposeInto(target, values, dims, perm);
  return target;
}

function transposeBytes(
  source: Uint8Array,
  dims: readonly number[],
  perm: readonly number[],
  width: number,
): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(source.length);
  // An element's bytes are one more axis, which stays the last.
  transposeInto(target, source, [...dims, width], [...perm, dims.length]);
  return target;
}

function transposeInto<T extends Uint8Array | Float32Array>(
  target: T,
  source: T,
  dims: readonly number[],
  perm: readonly number[],
): void {
  const strides = dims.map((_, axis) => elementCount(dims.slice(axis + 1)));
  const sizes = perm.map((axis) => dims[axis]!);
  const steps = perm.map((axis) => strides[axis]!);
  const [run = 1, step = 0] = [sizes.pop(), steps.pop()];
  const position = sizes.map(() => 0);
  let from = 0;
  for (let to = 0; to < target.length; to += run) {
    for (let index = 0; index < run; index += 1) target[to + index] = source[from + index * step]!;
    // The next run, counted as an odometer does: last axis first.
    for (let axis = sizes.length - 1; axis >= 0; axis -= 1) {
      position[axis]! += 1;
      from += steps[axis]!;
      if (position[axis]! < sizes[axis]!) break;
      from -= steps[axis]! * sizes[axis]!;
      position[axis] = 0;
    }
  }
}
