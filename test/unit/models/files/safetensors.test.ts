import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { readSafetensors, writeSafetensors } from '../../../../src/models/files/safetensors.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-safetensors-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file of this header and this much data. */
async function file(header: unknown, dataBytes: number, length?: bigint): Promise<string> {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  const path = join(folder, 'hand-made.safetensors');
  await writeFile(path, Buffer.concat([prefix, text, Buffer.alloc(dataBytes)]));
  return path;
}

const tensor = (dtype: unknown, shape: unknown, ...offsets: unknown[]) => ({ dtype, shape, data_offsets: offsets });
const bytesOf = (...values: number[]) => Float32Array.from(values);

describe('writeSafetensors and readSafetensors', () => {
  const tensors = [
    { name: 'a.weight', dims: [2, 2], values: () => bytesOf(1, 2, 3, 4) },
    { name: 'b', dims: [], values: () => bytesOf(5) },
    { name: 'empty', dims: [0, 3], values: () => bytesOf() },
  ];

  it('give back names, shapes, metadata, and offsets at which the values are', async () => {
    const path = join(folder, 'written.safetensors');
    await writeSafetensors(path, tensors, { format: 'test' });
    const { tensors: found, metadata } = await readSafetensors(path);
    expect(metadata).toEqual({ format: 'test' });
    expect([...found.keys()]).toEqual(['a.weight', 'b', 'empty']);
    const bytes = await readFile(path);
    for (const { name, dims, values } of tensors) {
      const { offset, length, ...rest } = found.get(name)!;
      expect(rest).toEqual({ dataType: 'float32', dims });
      expect(bytes.subarray(offset, offset + length)).toEqual(Buffer.from(values().buffer));
    }
    expect(found.get('a.weight')!.offset % 64).toBe(0);
  });

  it('leave nothing behind when a tensor cannot be had', async () => {
    const path = join(folder, 'failed.safetensors');
    const failing = [...tensors, { name: 'c', dims: [3], values: () => bytesOf(1) }];
    await expect(writeSafetensors(path, failing)).rejects.toThrow(/tensor "c": 4 bytes do not make \[3\]/);
    expect((await readdir(folder)).filter((name) => name.startsWith('failed'))).toEqual([]);
  });
});

describe('readSafetensors', () => {
  it('reads every data type that graphs have', async () => {
    const path = await file(
      {
        a: tensor('F64', [1], 0, 8),
        b: tensor('F16', [2], 8, 12),
        c: tensor('I64', [], 12, 20),
        d: tensor('U8', [3], 20, 23),
        e: tensor('BOOL', [1], 23, 24),
      },
      24,
    );
    const { tensors, metadata } = await readSafetensors(path);
    expect([...tensors.values()].map(({ dataType }) => dataType)).toEqual([
      'float64',
      'float16',
      'int64',
      'uint8',
      'bool',
    ]);
    expect(metadata).toEqual({});
  });

  it.each<[string, unknown, number, RegExp, bigint?]>([
    [
      'a header longer than the file',
      {},
      0,
      /file: is a safetensors file that is cut off after 10 bytes; copy or download it again/,
      99n,
    ],
    [
      'a header length beyond 2^53',
      {},
      0,
      /file: is in no format that is known here, and not a safetensors file/,
      2n ** 64n - 1n,
    ],
    ['a header that is not JSON', '{"a": ', 0, /header: is not JSON/],
    ['a header that is not an object', [], 0, /header: is not an object/],
    ['a tensor that is not an object', { a: 3 }, 0, /: a: is not an object/],
    ['an unsupported type', { a: tensor('BF16', [1], 0, 2) }, 2, /a\.dtype: "BF16" is not supported/],
    ['a type that is a property name', { a: tensor('constructor', [1], 0, 2) }, 2, /a\.dtype/],
    ['a negative size', { a: tensor('F32', [-1], 0, 4) }, 4, /a\.shape: is not a list of sizes/],
    ['a fractional offset', { a: tensor('F32', [1], 0, 4.5) }, 4, /a\.data_offsets: is not a pair/],
    ['three offsets', { a: tensor('F32', [1], 0, 4, 8) }, 8, /a\.data_offsets: is not a pair/],
    ['offsets outside of the file', { a: tensor('F32', [2], 0, 8) }, 4, /a\.data_offsets: \[0, 8\] lies outside the 4/],
    ['offsets in reverse', { a: tensor('F32', [1], 4, 0) }, 4, /a\.data_offsets: \[4, 0\] lies outside/],
    [
      'a length that the shape does not take',
      { a: tensor('F32', [2], 0, 4) },
      4,
      /span 4 bytes, but \[2\] F32 takes 8/,
    ],
    ['a shape beyond any memory', { a: tensor('F32', [2 ** 40, 2 ** 40], 0, 4) }, 4, /span 4 bytes/],
    [
      'overlapping tensors',
      { a: tensor('F32', [2], 0, 8), b: tensor('F32', [1], 4, 8) },
      8,
      /b\.data_offsets: overlaps/,
    ],
    ['a hole', { a: tensor('F32', [1], 0, 4), b: tensor('F32', [1], 8, 12) }, 12, /b\.data_offsets: leaves 4 bytes/],
    ['data that belongs to nothing', { a: tensor('F32', [1], 0, 4) }, 9, /file: 5 bytes follow the last tensor/],
    ['metadata that is not strings', { __metadata__: { a: 1 } }, 0, /__metadata__: is not an object of strings/],
    [
      'a tensor given twice',
      '{"a\\u0062": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "ab" : {}}',
      0,
      /: ab: is given twice/,
    ],
    [
      'a field given twice',
      '{"a": {"dtype": "U8", "shape": [0], "shape": [0], "data_offsets": [0, 0]}}',
      0,
      /: a\.shape: is given twice/,
    ],
  ])('rejects %s', async (_, header, dataBytes, message, length) => {
    const path = await file(header, dataBytes, length);
    const error: unknown = await readSafetensors(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ModelFileError);
    expect((error as ModelFileError).message).toMatch(message);
    expect((error as ModelFileError).file).toBe(path);
  });

  it('rejects a header of more than 8 MiB without reading it', async () => {
    const path = await file('{}', 0);
    const { open } = await import('node:fs/promises');
    const handle = await open(path, 'r+');
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(200_000_000n);
    await handle.write(prefix, 0, 8, 0);
    await handle.truncate(300_000_000);
    await handle.close();
    await expect(readSafetensors(path)).rejects.toThrow(/header length: 200000000 bytes, at most 8388608/);
  });

  it('rejects a file of a few bytes, and one that is not there', async () => {
    const path = join(folder, 'short.safetensors');
    await writeFile(path, 'abc');
    await expect(readSafetensors(path)).rejects.toThrow(/file: is a text, and not a safetensors file/);
    await expect(readSafetensors(join(folder, 'absent'))).rejects.toThrow(/absent: file: cannot be read/);
  });

  it('does not take repeated text in values for repeated keys', async () => {
    const path = await file({ __metadata__: { a: '"b": {"b":', b: 'a' }, a: tensor('U8', [1], 0, 1) }, 1);
    await expect(readSafetensors(path)).resolves.toMatchObject({ metadata: { b: 'a' } });
  });
});
