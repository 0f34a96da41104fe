import { describe, expect, it } from 'vitest';
import { generatedUniform, generatedValues } from '../../../../src/models/networks/generated-weights.js';

/** The definition in test/fixtures/golden/README.md, in arbitrary-precision integers. */
function uniform(crc: bigint, i: number): number {
  const mask = 0xffffffffn;
  let x = (BigInt(i) * 0x9e3779b9n + crc) & mask;
  x ^= x >> 16n;
  x = (x * 0x85ebca6bn) & mask;
  x ^= x >> 13n;
  x = (x * 0xc2b2ae35n) & mask;
  x ^= x >> 16n;
  return Number(x) / 2 ** 31 - 1;
}

describe('generated weights', () => {
  it('follow the definition: the counter, CRC-32 of the name, the finalizer', () => {
    // CRC-32 of "123456789", the check value of the catalogue of CRCs.
    const expected = Array.from({ length: 1000 }, (_, i) => uniform(0xcbf43926n, i));
    expect(Array.from(generatedUniform('123456789', 1000))).toEqual(expected);
  });

  it('are scaled by what the parameter is', () => {
    const u = generatedUniform('bn.running_var', 1)[0]!;
    expect(generatedValues('bn.running_var', [1])[0]).toBe(Math.fround(1 + 0.1 * u));
    const scale = generatedUniform('bn.weight', 1)[0]!;
    expect(generatedValues('bn.weight', [1])[0]).toBe(Math.fround(1 + 0.1 * scale));
    const bias = generatedUniform('bn.bias', 1)[0]!;
    expect(generatedValues('bn.bias', [1])[0]).toBe(Math.fround(0.1 * bias));
    const conv = generatedUniform('conv.weight', 1)[0]!;
    expect(generatedValues('conv.weight', [1, 4, 3, 3])[0]).toBe(Math.fround(conv * Math.sqrt(3) * Math.sqrt(2 / 36)));
  });
});
