import { describe, expect, it } from 'vitest';
import { encodeNpy } from '../../../src/http/npy.js';

describe('encodeNpy', () => {
  it('writes a float32 array byte for byte as numpy.save does', () => {
    const bytes = encodeNpy('float32', [1, 2, 3], Float32Array.of(0, 1, -2, 0.5, 1e9, NaN));
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]));
    expect(bytes.readUInt16LE(8)).toBe(118);
    const literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }";
    expect(bytes.subarray(10, 128).toString('latin1')).toBe(literal.padEnd(117) + '\n');
    expect(bytes.length).toBe(128 + 24);
    expect([0, 1, 2, 3].map((i) => bytes.readFloatLE(128 + 4 * i))).toEqual([0, 1, -2, 0.5]);
  });

  it('writes a uint16 vector with the comma of a one-element tuple', () => {
    const bytes = encodeNpy('uint16', [2], Uint16Array.of(1, 65535));
    expect(bytes.toString('latin1', 10, 128).trimEnd()).toBe(
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }",
    );
    expect([...bytes.subarray(128)]).toEqual([1, 0, 255, 255]);
  });

  it('starts the values on a multiple of 64 bytes whatever the shape', () => {
    for (let rank = 1; rank < 30; rank++) {
      const bytes = encodeNpy('float32', Array<number>(rank).fill(1), Float32Array.of(7));
      expect((10 + bytes.readUInt16LE(8)) % 64).toBe(0);
      expect(bytes.readFloatLE(bytes.length - 4)).toBe(7);
    }
  });

  it('writes only the part of a buffer that the array is a view of', () => {
    const all = Float32Array.of(1, 2, 3, 4);
    expect(encodeNpy('float32', [2], all.subarray(1, 3)).subarray(128)).toEqual(
      Buffer.from(Float32Array.of(2, 3).buffer),
    );
  });

  it('refuses values that do not fill the shape', () => {
    expect(() => encodeNpy('float32', [2, 2], new Float32Array(3))).toThrow(RangeError);
  });
});
