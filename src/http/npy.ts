/**
 * Arrays as .npy files, NumPy format 1.0: magic, version, the header's length (uint16 LE), a Python literal padded with
 * spaces to a multiple of 64 bytes and ended by a newline, then the values in C order.
 * Source: numpy.lib.format, "Format Version 1.0".
 */
import { endianness } from 'node:os';

interface NpyArrays {
  float32: Float32Array;
  uint16: Uint16Array;
}

export type NpyType = keyof NpyArrays;

const CODES = { float32: 'f4', uint16: 'u2' } as const;
const BYTE_ORDER = endianness() === 'LE' ? '<' : '>';
const MAGIC = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
const ALIGNMENT = 64;

/** Encode a row-major array of shape `dims`. Throws RangeError if `dims` and `data` disagree. */
export function encodeNpy<T extends NpyType>(type: T, dims: readonly number[], data: NpyArrays[T]): Buffer {
  if (dims.reduce((product, dim) => product * dim, 1) !== data.length) {
    throw new RangeError(`${data.length} values do not fill the shape [${dims.join(', ')}]`);
  }
  const shape = dims.length === 1 ? `${dims[0]!},` : dims.join(', ');
  const literal = `{'descr': '${BYTE_ORDER}${CODES[type]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const unpadded = MAGIC.length + 2 + literal.length + 1;
  const header = literal.padEnd(literal.length + ((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT)) + '\n';
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  const values = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([MAGIC, length, Buffer.from(header, 'latin1'), values]);
}
