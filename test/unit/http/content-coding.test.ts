/** Compressed bodies: inflated whole or refused for what is wrong with them. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { codingOf, createInflater, type Coding } from '../../../src/http/content-coding.js';

const BYTES = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at * 31) % 251));

const FORMS: readonly (readonly [string, Coding, Buffer])[] = [
  ['gzip', 'gzip', gzipSync(BYTES)],
  ['zlib', 'deflate', deflateSync(BYTES)],
  ['bare deflate', 'deflate', deflateRawSync(BYTES)],
  ['Brotli', 'br', brotliCompressSync(BYTES)],
];

/** Inflate a body that comes in these pieces. */
async function inflate(coding: Coding, pieces: readonly Buffer[]): Promise<Buffer> {
  const taken: Buffer[] = [];
  const inflater = createInflater(coding, {
    take: (piece) => void taken.push(Buffer.from(piece)),
    onMemory: () => undefined,
  });
  try {
    for (const piece of pieces) await inflater.write(piece);
    await inflater.end();
  } finally {
    inflater.close();
  }
  return Buffer.concat(taken);
}

const cut = (bytes: Buffer, length: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / length) }, (_, at) => bytes.subarray(at * length, (at + 1) * length));

describe.each(FORMS)('%s', (_, coding, bytes) => {
  it.each([1, 1000, 1_000_000])('comes in pieces of %i bytes', async (length) => {
    const pieces = cut(bytes, length).slice(0, length === 1 ? 3000 : undefined);
    const rest = bytes.subarray(pieces.reduce((sum, piece) => sum + piece.length, 0));
    expect(BYTES.equals(await inflate(coding, [...pieces, rest]))).toBe(true);
  });

  it('that ends early is refused', async () => {
    for (const length of [1, 2, 20, bytes.length / 2, bytes.length - 1]) {
      await expect(inflate(coding, [bytes.subarray(0, length)])).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringMatching(/^The body ends in the middle of its /) as string,
      });
    }
  });

  it.each([['in the same piece'], ['in the next']])('with something behind it is refused: %s', async (where) => {
    const behind = Buffer.from('behind');
    const pieces = where === 'in the next' ? [bytes, behind] : [Buffer.concat([bytes, behind])];
    await expect(inflate(coding, pieces)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringMatching(/^The body goes on behind the end of its /) as string,
    });
    await expect(inflate(coding, [bytes, Buffer.alloc(5), Buffer.alloc(5)])).rejects.toThrow('goes on behind');
  });

  it('that is something else is refused', async () => {
    for (const other of ['\xff\xffnonsense, and some more of it', '\x89PNG\r\n\x1a\n, and some more']) {
      await expect(inflate(coding, [Buffer.from(other, 'latin1')])).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringMatching(/as its Content-Encoding says\.$|in the middle/) as string,
      });
    }
  });

  it('ends with what its taker throws', async () => {
    const inflater = createInflater(coding, {
      take() {
        throw new Error('too much');
      },
      onMemory: () => undefined,
    });
    await expect(inflater.write(bytes).then(() => inflater.end())).rejects.toThrow('too much');
    await expect(inflater.write(bytes)).rejects.toThrow('too much');
    await expect(inflater.end()).rejects.toThrow('too much');
    inflater.close();
  });
});

it('gzip may have several members', async () => {
  const [first, second] = [gzipSync(BYTES.subarray(0, 1000)), gzipSync(BYTES.subarray(1000))];
  expect(BYTES.equals(await inflate('gzip', [first, second]))).toBe(true);
  expect(BYTES.equals(await inflate('gzip', [Buffer.concat([first, second])]))).toBe(true);
});

it('the event loop goes on while a bomb is inflated', async () => {
  const bomb = gzipSync(Buffer.alloc(200_000_000));
  let inflated = 0;
  let [before, most] = [0, 0];
  const turn = (): void => {
    most = Math.max(most, inflated - before);
    before = inflated;
    if (inflated < 200_000_000) setImmediate(turn);
  };
  setImmediate(turn);
  const inflater = createInflater('gzip', { take: ({ length }) => (inflated += length), onMemory: () => undefined });
  await inflater.write(bomb);
  await inflater.end();
  expect(inflated).toBe(200_000_000);
  // Bytes between two turns of the loop.
  expect(most).toBeLessThan(4 * 2 ** 20);
});

it('the memory of the inflater is told, and grows with what Brotli may look back at', async () => {
  const told: number[] = [];
  const inflater = createInflater('br', { take: () => undefined, onMemory: (bytes) => told.push(bytes) });
  await inflater.write(brotliCompressSync(Buffer.alloc(30_000_000)));
  await inflater.end();
  expect(told[0]).toBe(2 ** 22);
  expect(told.at(-1)).toBe(2 ** 22 + 2 ** 24);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
});

describe('the coding', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['Identity, identity', undefined],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
    [' br ,identity', 'br'],
    ['deflate', 'deflate'],
  ])('of %s', (header, coding) => expect(codingOf(header)).toBe(coding));

  it.each(['zstd', 'gzip, br', 'gzip,gzip', 'compress', 'base64', 'x'.repeat(5000), '*'])('%s is refused', (header) => {
    expect(() => codingOf(header)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_ENCODING',
        errors: [{ parameter: 'Content-Encoding', detail: 'must be one of gzip, deflate, br, or identity' }],
      }),
    );
  });
});
