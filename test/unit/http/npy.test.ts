import { describe, expect, it } from 'vitest';
import { npyFile } from '../../../src/http/npy.js';

/** The whole file. */
const bytesOf = (...file: Parameters<typeof npyFile>): Buffer => Buffer.concat([...npyFile(...file).pieces()]);

describe('npyFile', () => {
  it('writes a float32 array byte for byte as numpy.save does', () => {
    const bytes = bytesOf('float32', [1, 2, 3], [Float32Array.of(0, 1, -2, 0.5, 1e9, NaN)]);
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]));
    expect(bytes.readUInt16LE(8)).toBe(118);
    const literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }";
    expect(bytes.subarray(10, 128).toString('latin1')).toBe(literal.padEnd(117) + '\n');
    expect(bytes.length).toBe(128 + 24);
    expect([0, 1, 2, 3].map((i) => bytes.readFloatLE(128 + 4 * i))).toEqual([0, 1, -2, 0.5]);
  });

  it('writes a uint16 vector with the comma of a one-element tuple', () => {
    const bytes = bytesOf('uint16', [2], [Uint16Array.of(1, 65535)]);
    expect(bytes.toString('latin1', 10, 128).trimEnd()).toBe(
      "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }",
    );
    expect([...bytes.subarray(128)]).toEqual([1, 0, 255, 255]);
  });

  it('starts the values on a multiple of 64 bytes whatever the shape', () => {
    for (let rank = 1; rank < 30; rank++) {
      const bytes = bytesOf('float32', Array<number>(rank).fill(1), [Float32Array.of(7)]);
      expect((10 + bytes.readUInt16LE(8)) % 64).toBe(0);
      expect(bytes.readFloatLE(bytes.length - 4)).toBe(7);
    }
  });

  it('writes only the part of a buffer that the array is a view of', () => {
    const all = Float32Array.of(1, 2, 3, 4);
    expect(bytesOf('float32', [2], [all.subarray(1, 3)]).subarray(128)).toEqual(
      Buffer.from(Float32Array.of(2, 3).buffer),
    );
  });

  it('refuses values that do not fill the shape', () => {
    expect(() => npyFile('float32', [2, 2], [new Float32Array(3)])).toThrow(RangeError);
  });

  it('has the length it says, in pieces that hold no copies of large parts', () => {
    const parts = [new Float32Array(200_000).fill(1), Float32Array.of(2), new Float32Array(100_000).fill(3)];
    const file = npyFile('float32', [300_001], parts);
    const pieces = [...file.pieces()];
    expect(pieces.length).toBeGreaterThan(3);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(2 ** 18);
    expect(pieces.filter(({ buffer }) => parts.some((part) => part.buffer === buffer)).length).toBeGreaterThan(2);
    const whole = Buffer.concat(pieces);
    expect(whole.length).toBe(file.length);
    expect([0, 199_999, 200_000, 200_001, 300_000].map((i) => whole.readFloatLE(128 + 4 * i))).toEqual([1, 1, 2, 3, 3]);
  });
});
