/**
 * Deterministic weights that any language can generate, so that goldens need no weight files and load tests no
 * training: a counter run through murmur3's finalizer, seeded by the parameter's name, scaled like the initialization
 * of He 2015.
 *
 * Element i of the parameter `name` is u(i) in [−1, 1), in double precision: x = i·0x9E3779B9 + crc32(name) mod 2³²,
 * finalized; u = x / 2³¹ − 1. The scale depends on name and rank, see `scaleOf`.
 */
import { parametersOf } from '../../architectures/index.js';
import type { Graph } from '../../graph/graph.js';
import { elementCount } from '../../tensor.js';
import { writeSafetensors } from '../files/safetensors.js';

/** The numbers u(from), u(from + 1), … of a name, in [−1, 1). */
export function generatedUniform(name: string, count: number, from = 0): Float64Array {
  const values = new Float64Array(count);
  fill(values, crc32(name) + Math.imul(from, STEP), { offset: 0, factor: 1, deviation: 1 });
  return values;
}

/** The weights of a parameter by its state-dict name, row-major, rounded to float32. About 4 ns an element. */
export function generatedValues(name: string, dims: readonly number[]): Float32Array {
  const values = new Float32Array(elementCount(dims));
  fill(values, crc32(name), scaleOf(name, dims));
  return values;
}

export interface GeneratedOptions {
  /** Multiplies the weights of convolutions and matrix products. */
  readonly gain?: number;
  /** The values of some parameters, which are then not generated. */
  readonly initial?: Readonly<Record<string, readonly number[]>>;
}

/** Write generated weights for all parameters of an unbound graph as safetensors; one tensor in memory at a time. */
export async function writeGeneratedWeights(
  file: string,
  graph: Graph,
  { gain = 1, initial = {} }: GeneratedOptions = {},
): Promise<void> {
  const tensors = parametersOf(graph).map(({ name, dims }) => ({
    name,
    dims,
    values: () => {
      const known = initial[name];
      if (known !== undefined) return Float32Array.from(known);
      const values = generatedValues(name, dims);
      return gain === 1 || dims.length < 2 ? values : values.map((value) => value * gain);
    },
  }));
  await writeSafetensors(file, tensors, { weights: 'generated' });
}

/** A value is offset + u · factor · deviation, multiplied in this order. */
interface Scale {
  readonly offset: number;
  readonly factor: number;
  readonly deviation: number;
}

function scaleOf(name: string, dims: readonly number[]): Scale {
  if (name.endsWith('running_var')) return { offset: 1, factor: 0.1, deviation: 1 };
  // Variance 2 / fan-in; a uniform distribution on [−1, 1) has variance 1/3.
  if (dims.length >= 2)
    return { offset: 0, factor: Math.sqrt(3), deviation: Math.sqrt(2 / elementCount(dims.slice(1))) };
  return { offset: name.endsWith('weight') ? 1 : 0, factor: 0.1, deviation: 1 };
}

/** 2³² divided by the golden ratio. */
const STEP = 0x9e3779b9;

function fill(target: Float32Array | Float64Array, seed: number, { offset, factor, deviation }: Scale): void {
  let counter = seed | 0;
  for (let i = 0; i < target.length; i += 1) {
    let x = counter;
    x ^= x >>> 16;
    x = Math.imul(x, 0x85ebca6b);
    x ^= x >>> 13;
    x = Math.imul(x, 0xc2b2ae35);
    x ^= x >>> 16;
    target[i] = offset + ((x >>> 0) / 0x80000000 - 1) * factor * deviation;
    counter = (counter + STEP) | 0;
  }
}

/** CRC-32 (IEEE 802.3) of a text in UTF-8, as a signed 32-bit integer. Some releases of Node 20 lack zlib.crc32. */
function crc32(text: string): number {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}
