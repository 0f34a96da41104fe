import { describe, expect, it } from 'vitest';
import { decodeHeader, encodeMessage, MAX_HEADER_BYTES } from '../../../src/processes/message-codec.js';

/** Through the codec, as the channel does it: the values of the parts are copied into place. */
function roundTrip(message: unknown): unknown {
  const { header, parts, partBytes } = encodeMessage(message);
  const decoded = decodeHeader(header, partBytes);
  expect(decoded.parts.map(({ length }) => length)).toEqual(parts.map(({ length }) => length));
  decoded.parts.forEach((part, index) => part.set(parts[index]!));
  return decoded.message;
}

const KINDS = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

/** `[0, 1, …]` as a view that begins inside of a larger buffer. */
function insideOfMore(View: (typeof KINDS)[number], length: number): (typeof KINDS)[number]['prototype'] {
  const bytes = View.BYTES_PER_ELEMENT;
  const view = new View(new ArrayBuffer((length + 5) * bytes), 3 * bytes, length);
  for (let i = 0; i < length; i++)
    view[i] = view instanceof BigInt64Array || view instanceof BigUint64Array ? BigInt(i % 100) : i % 100;
  return view;
}

describe('a message', () => {
  it.each(KINDS.flatMap((View) => [0, 1, 7, 32, 5000].map((length) => ({ View, length, kind: View.name }))))(
    'carries $length values of $kind, and nothing else of their buffer',
    ({ View, length }) => {
      const view = insideOfMore(View, length);
      const [arrived] = roundTrip([view]) as [typeof view];
      expect(arrived).toStrictEqual(view);
      expect(arrived.buffer.byteLength).toBe(view.byteLength);
    },
  );

  it('carries plain data with arrays anywhere in it', () => {
    const message = {
      number: 7,
      question: { kind: 'run', works: [{ feeds: { image: new Float32Array(1000).fill(0.5) } }, { none: undefined }] },
      map: new Map<unknown, unknown>([
        ['a', new Uint8Array(3)],
        [2n, new BigInt64Array(400).fill(-1n)],
      ]),
      odd: [NaN, -0, Infinity, null, 'ä€😀', new Date(5), new Set([1])],
    };
    expect(roundTrip(message)).toStrictEqual(message);
  });

  it('carries a Buffer as Uint8Array, a DataView, and a view of shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(1000)).fill(3);
    const data = new DataView(new ArrayBuffer(1000), 8);
    data.setFloat64(16, Math.PI);
    const message = roundTrip([Buffer.from('x'.repeat(1000)), data, shared]) as [Uint8Array, DataView, Uint8Array];
    expect(Buffer.from(message[0]).toString()).toBe('x'.repeat(1000));
    expect([message[1].byteLength, message[1].getFloat64(16)]).toEqual([992, Math.PI]);
    expect(message[2]).toStrictEqual(new Uint8Array(1000).fill(3));
  });

  it('has an object once that is in it twice', () => {
    const bytes = new Uint8Array(10_000).fill(1);
    const photo = { bytes };
    const message = [{ photo }, { photo, other: bytes.subarray(5) }];
    expect(encodeMessage(message).partBytes).toBe(10_000 + 9995);
    const [first, second] = roundTrip(message) as [(typeof message)[0], Required<(typeof message)[0]>];
    expect(second.photo).toBe(first.photo);
    expect(second).toStrictEqual(message[1]);
  });

  it('leaves large values where they are', () => {
    const values = new Float32Array(10_000);
    const { header, parts } = encodeMessage({ values: values.subarray(100, 5000) });
    expect(header.length).toBeLessThan(100);
    expect(parts.map(({ buffer, byteOffset, length }) => [buffer === values.buffer, byteOffset, length])).toEqual([
      [true, 400, 4900 * 4],
    ]);
  });

  it('is refused when it holds what is no data, or too much beside its arrays', () => {
    expect(() => encodeMessage({ call: () => undefined })).toThrow(/could not be cloned/);
    expect(() => encodeMessage({ promise: Promise.resolve() })).toThrow(/could not be cloned/);
    expect(() => encodeMessage('x'.repeat(MAX_HEADER_BYTES))).toThrow(/the limit is 4194304/);
  });
});

describe('bytes that are no message', () => {
  const { header, partBytes } = encodeMessage({ a: new Float32Array(1000), b: new Uint8Array(500) });

  it('are refused where arrays have other lengths than what follows', () => {
    expect(() => decodeHeader(header, partBytes - 1)).toThrow('an array has 500 bytes, but 499 follow');
    expect(() => decodeHeader(header, 0)).toThrow('an array has 4000 bytes, but 0 follow');
    expect(() => decodeHeader(header, partBytes + 1)).toThrow('1 bytes belong to no array');
  });

  it('are refused where they name no kind of array, or half a value', () => {
    const at = header.indexOf('\\'.charCodeAt(0));
    const changed = (position: number, value: number): Uint8Array =>
      Uint8Array.from(header).fill(value, position, position + 1);
    expect(header[at + 1]).toBe(2);
    expect(() => decodeHeader(changed(at + 1, 12), partBytes)).toThrow('an array is of no known kind');
    expect(() => decodeHeader(changed(at + 2, header[at + 2]! + 1), partBytes + 1)).toThrow(
      'a Float32Array has 4001 bytes',
    );
  });

  it('are refused or decoded, whatever they are, without more memory than what follows', () => {
    let seed = 1;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let i = 0; i < 5000; i++) {
      const hurt = Uint8Array.from(header.subarray(0, 1 + random(header.length)));
      for (let change = random(4); change > 0; change--) hurt[random(hurt.length)] = random(256);
      try {
        const { parts } = decodeHeader(hurt, partBytes);
        expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(partBytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect((error as Error).name).not.toBe('AssertionError');
      }
    }
  });
});
