/**
 * The values of initializers, read from where they are: the graph's own bytes, or a file below the weights' folder.
 * Types that TensorFlow.js does not have are converted: half and double precision become float32, all integers int32.
 */
import { closeSync, readSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { halfValue, safeInteger } from '../../graph/constants.js';
import type { Initializer } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import { openRegularSync } from '../../regular-files.js';

export interface Weights {
  readonly type: 'float32' | 'int32' | 'bool';
  readonly dims: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array;
}

/**
 * Read an initializer. Throws GraphError if it is not bound, or if its file is too short or lies outside of the folder,
 * also through a link.
 */
export function readWeights(initializer: Initializer, folder: string | undefined): Weights {
  const { name, dataType, dims, data } = initializer;
  const storedAs = (data.kind === 'external' ? data.storedAs : undefined) ?? dataType;
  const bytes = readBytes(initializer, folder);
  switch (storedAs) {
    case 'float32':
      return { type: 'float32', dims, data: new Float32Array(bytes.buffer) };
    case 'float16':
      return { type: 'float32', dims, data: Float32Array.from(new Uint16Array(bytes.buffer), halfValue) };
    case 'float64':
      return { type: 'float32', dims, data: Float32Array.from(new Float64Array(bytes.buffer)) };
    case 'int32':
      return { type: 'int32', dims, data: new Int32Array(bytes.buffer) };
    case 'int64':
      return { type: 'int32', dims, data: Int32Array.from(new BigInt64Array(bytes.buffer), saturated) };
    case 'int8':
      return { type: 'int32', dims, data: Int32Array.from(new Int8Array(bytes.buffer)) };
    case 'uint8':
      return { type: 'int32', dims, data: Int32Array.from(bytes) };
    case 'bool':
      return { type: 'bool', dims, data: bytes };
    default:
      throw new GraphError(`tensor "${name}": the data type ${String(storedAs)} is not supported`);
  }
}

/** Exporters use values beyond 32 bits only for "to the end". */
function saturated(value: bigint): number {
  return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, safeInteger(value)));
}

/** A copy of the bytes, in a buffer of its own. */
function readBytes({ name, data }: Initializer, folder: string | undefined): Uint8Array<ArrayBuffer> {
  const fail = (detail: string): GraphError => new GraphError(`tensor "${name}": ${detail}`);
  if (data.kind === 'inline') return Uint8Array.from(data.bytes);
  if (data.kind === 'unbound' || folder === undefined) throw fail('its weights are not bound');
  const path = realpathSync(join(folder, data.file));
  if (!path.startsWith(realpathSync(folder) + sep)) throw fail(`${data.file} escapes the model's folder`);
  const bytes = new Uint8Array(data.length);
  const file = openRegularSync(path);
  try {
    for (let done = 0; done < data.length;) {
      // Some systems read no more than 2 GB at a time.
      const count = readSync(file, bytes, done, Math.min(data.length - done, 2 ** 30), data.offset + done);
      if (count === 0) throw fail(`${data.file} ends before its last byte`);
      done += count;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}
