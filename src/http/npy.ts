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

/** A file in pieces. */
export interface NpyFile {
  /** Of the whole file, in bytes. */
  readonly length: number;
  pieces(): Generator<Uint8Array, void, void>;
}

/** Bytes of a piece. */
const PIECE = 2 ** 18;

/**
 * A row-major array of shape `dims`, whose values are those of the parts, one behind the other. The parts are not copied.
 * Throws RangeError if they do not fill the shape.
 */
export function npyFile<T extends NpyType>(type: T, dims: readonly number[], parts: readonly NpyArrays[T][]): NpyFile {
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  if (dims.reduce((product, dim) => product * dim, 1) !== count) {
    throw new RangeError(`${count} values do not fill the shape [${dims.join(', ')}]`);
  }
  const shape = dims.length === 1 ? `${dims[0]!},` : dims.join(', ');
  const literal = `{'descr': '${BYTE_ORDER}${CODES[type]}', 'fortran_order': False, 'shape': (${shape}), }`;
  const unpadded = MAGIC.length + 2 + literal.length + 1;
  const header = literal.padEnd(literal.length + ((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT)) + '\n';
  const headerLength = Buffer.alloc(2);
  headerLength.writeUInt16LE(header.length);
  const start = Buffer.concat([MAGIC, headerLength, Buffer.from(header, 'latin1')]);
  return {
    length: parts.reduce((sum, part) => sum + part.byteLength, start.length),
    *pieces() {
      let piece: Uint8Array = start;
      for (const { buffer, byteOffset, byteLength } of parts) {
        for (let from = 0; from < byteLength; from += PIECE) {
          const bytes = new Uint8Array(buffer, byteOffset + from, Math.min(PIECE, byteLength - from));
          // Small parts leave together.
          if (piece.length + bytes.length <= PIECE) piece = Buffer.concat([piece, bytes]);
          else {
            yield piece;
            piece = bytes;
          }
        }
      }
      yield piece;
    },
  };
}
