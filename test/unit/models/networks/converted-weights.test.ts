import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { WritableTensor } from '../../../../src/models/files/safetensors.js';
import { digestFile } from '../../../../src/regular-files.js';
import { convertWeights, type ConvertedSource } from '../../../../src/models/networks/converted-weights.js';

let cache: string;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'fullconv-converted-'));
});

afterAll(async () => {
  await rm(cache, { recursive: true });
});

describe('convertWeights', () => {
  const tensors = (...values: number[]) => [
    { name: 'weight', dims: [values.length], values: () => Promise.resolve(Float32Array.from(values)) },
  ];
  /** A source without files. */
  const from = (make: () => WritableTensor[]): ConvertedSource => ({ tensors: make, folder: cache, files: [] });

  it('writes the tensors once, and finds them by digest and conversion', async () => {
    const convert = vi.fn(() => tensors(1, 2, 3));
    const first = await convertWeights({ cache, name: 'a-1', digest: 'abc' }, from(convert));
    const second = await convertWeights({ cache, name: 'a-1', digest: 'abc' }, from(convert));
    expect(convert).toHaveBeenCalledOnce();
    expect(second).toEqual(first);
    const { offset, length, dims } = first.tensors.get('weight')!;
    expect(dims).toEqual([3]);
    const bytes = await readFile(join(first.folder, first.file));
    expect(bytes.subarray(offset, offset + length)).toEqual(Buffer.from(Float32Array.of(1, 2, 3).buffer));

    const other = await convertWeights(
      { cache, name: 'a-2', digest: 'abc' },
      from(() => tensors(4)),
    );
    expect(other.tensors.get('weight')!.dims).toEqual([1]);
  });

  it('converts again what turns out to be broken', async () => {
    const conversion = { cache, name: 'a-1', digest: 'broken' };
    const { folder, file } = await convertWeights(
      conversion,
      from(() => tensors(1)),
    );
    await writeFile(join(folder, file), 'broken');
    expect(
      (
        await convertWeights(
          conversion,
          from(() => tensors(1, 2)),
        )
      ).tensors.get('weight')!.dims,
    ).toEqual([2]);
  });

  it('converts again what has another byte than was written, or whose digest is gone', async () => {
    const conversion = { cache, name: 'a-1', digest: 'flipped' };
    const convert = vi.fn(() => tensors(1, 2, 3));
    const { folder, file, tensors: header } = await convertWeights(conversion, from(convert));
    const written = await readFile(join(folder, file));
    const { offset } = header.get('weight')!;
    await writeFile(join(folder, file), written.with(offset + 2, 0x55));
    expect((await convertWeights(conversion, from(convert))).tensors).toEqual(header);
    expect(await readFile(join(folder, file))).toEqual(written);
    await rm(join(folder, `${file}.sha256`));
    await convertWeights(conversion, from(convert));
    expect(convert).toHaveBeenCalledTimes(3);
    await convertWeights(conversion, from(convert));
    expect(convert).toHaveBeenCalledTimes(3);
  });

  it('uses nothing of a source that changes while it is converted', async () => {
    const source = join(cache, 'source.bin');
    await writeFile(source, 'old');
    const files = [{ name: 'source.bin', stamp: await digestFile(source, Infinity) }];
    const changing = () => [
      {
        name: 'weight',
        dims: [1],
        values: async () => {
          await writeFile(source, 'new');
          return Float32Array.of(1);
        },
      },
    ];
    const conversion = { cache, name: 'a-1', digest: 'changing' };
    const converting = convertWeights(conversion, { tensors: changing, folder: cache, files });
    await expect(converting).rejects.toThrow(`${source}: file: was rewritten on disk`);
    const convert = vi.fn(() => tensors(2));
    await convertWeights(conversion, from(convert));
    expect(convert).toHaveBeenCalledOnce();
  });

  it('removes what a process that died left behind a day ago', async () => {
    const [old, young] = ['old.tmp', 'young.tmp'].map((name) => join(cache, 'weights', name));
    await Promise.all([old!, young!].map((path) => writeFile(path, 'half of it')));
    const yesterday = Date.now() / 1000 - 25 * 3600;
    await utimes(old!, yesterday, yesterday);
    const { folder } = await convertWeights(
      { cache, name: 'a-1', digest: 'next' },
      from(() => tensors(1)),
    );
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual(['young.tmp']);
  });

  it('says that the cache cannot be written', async () => {
    const blocked = join(cache, 'a-file');
    await writeFile(blocked, '');
    const converting = convertWeights(
      { cache: blocked, name: 'a-1', digest: 'abc' },
      from(() => tensors(1)),
    );
    await expect(converting).rejects.toThrow(/FULLCONV_CACHE=.*cannot be written/);
  });

  it('leaves nothing behind when the source cannot be read', async () => {
    const failing = () => [{ name: 'weight', dims: [1], values: () => Promise.reject(new Error('no such dataset')) }];
    const conversion = { cache, name: 'a-1', digest: 'failed' };
    await expect(convertWeights(conversion, from(failing))).rejects.toThrow('no such dataset');
    const retried = await convertWeights(
      conversion,
      from(() => tensors(7)),
    );
    expect(retried.tensors.get('weight')!.dims).toEqual([1]);
  });
});
