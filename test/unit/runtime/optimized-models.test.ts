import { mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findOptimized } from '../../../src/runtime/optimized-models.js';

/** What the file system is to say next. */
const failures = vi.hoisted((): { utimes: Error | undefined } => ({ utimes: undefined }));
vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:fs/promises')>();
  const failing: typeof utimes = (...args) =>
    failures.utimes === undefined ? original.utimes(...args) : Promise.reject(failures.utimes);
  return { ...original, utimes: failing };
});

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-optimized-'));
});
afterEach(async () => {
  failures.utimes = undefined;
  await rm(root, { recursive: true, force: true });
});

const options = (changes = {}) => ({ folder: join(root, 'kept'), maxBytes: 2500, optimizer: 'test 1', ...changes });
const write =
  (bytes = 1000) =>
  (folder: string): Promise<void> =>
    writeFile(join(folder, 'weights.bin'), Buffer.alloc(bytes));

describe('findOptimized', () => {
  it('makes a model once, and finds it by digest and optimizer', async () => {
    const optimize = vi.fn(write());
    const first = await findOptimized(options(), 'a', optimize);
    expect(await readdir(first!.folder)).toEqual(['digests.json', 'weights.bin']);
    expect(await findOptimized(options(), 'a', optimize)).toEqual(first);
    expect(optimize).toHaveBeenCalledTimes(1);
    expect(await findOptimized(options(), 'b', optimize)).not.toEqual(first);
    expect(await findOptimized(options({ optimizer: 'test 2' }), 'a', optimize)).not.toEqual(first);
    expect(optimize).toHaveBeenCalledTimes(3);
  });

  it('gives all who ask at once the same folder, and leaves no other', async () => {
    const found = await Promise.all(Array.from({ length: 4 }, () => findOptimized(options(), 'a', write(500))));
    expect(new Set(found.map((each) => each?.folder)).size).toBe(1);
    expect(await readdir(options().folder)).toHaveLength(1);
  });

  it.each<[string, (folder: string) => Promise<void>]>([
    ['a byte has changed', (folder) => writeFile(join(folder, 'weights.bin'), Buffer.alloc(1000).fill(1, 500, 501))],
    ['a file was cut off', (folder) => truncate(join(folder, 'weights.bin'), 500)],
    ['a file is gone', (folder) => rm(join(folder, 'weights.bin'))],
    ['the digests are gone', (folder) => rm(join(folder, 'digests.json'))],
    ['the digests are no JSON', (folder) => writeFile(join(folder, 'digests.json'), '{')],
    [
      'a file has become a folder',
      async (folder) => {
        await rm(join(folder, 'weights.bin'));
        await mkdir(join(folder, 'weights.bin'));
      },
    ],
  ])('makes a model again of which %s', async (_, damage) => {
    const optimize = vi.fn(write());
    const first = await findOptimized(options(), 'a', optimize);
    await damage(first!.folder);
    const again = await findOptimized(options(), 'a', optimize);
    expect(optimize).toHaveBeenCalledTimes(2);
    expect(again!.folder).toBe(first!.folder);
    expect(await readFile(join(again!.folder, 'weights.bin'))).toEqual(Buffer.alloc(1000));
    expect(again!.files.map(({ name }) => name)).toEqual(['weights.bin']);
    expect(await findOptimized(options(), 'a', optimize)).toEqual(again);
    expect(optimize).toHaveBeenCalledTimes(2);
  });

  it('does without a damaged model that cannot be made again', async () => {
    const first = await findOptimized(options(), 'a', write());
    await writeFile(join(first!.folder, 'weights.bin'), 'damaged');
    const failing = (): Promise<void> => Promise.reject(new Error('no space left'));
    expect(await findOptimized(options(), 'a', failing)).toBeUndefined();
  });

  it('removes those used longest ago when there are too many bytes', async () => {
    const age = (folder: string, seconds: number) => utimes(folder, 1e9 - seconds, 1e9 - seconds);
    const [a, b] = [await findOptimized(options(), 'a', write()), await findOptimized(options(), 'b', write())];
    await age(a!.folder, 20);
    await age(b!.folder, 10);
    await findOptimized(options(), 'a', write());
    const c = await findOptimized(options(), 'c', write());
    const kept = (await readdir(options().folder)).map((name) => join(options().folder, name));
    expect(kept.sort()).toEqual([a!.folder, c!.folder].sort());
  });

  it('keeps one that is larger than the limit by itself: it is in use', async () => {
    const large = await findOptimized(options(), 'large', write(5000));
    expect(await readdir(large!.folder)).toContain('weights.bin');
  });

  it.each(['EROFS', 'EACCES', 'EPERM'])('finds a model where its use cannot be noted: %s', async (code) => {
    const optimize = vi.fn(write());
    const first = await findOptimized(options(), 'a', optimize);
    failures.utimes = Object.assign(new Error(code), { code });
    expect(await findOptimized(options(), 'a', optimize)).toEqual(first);
    expect(optimize).toHaveBeenCalledTimes(1);
  });

  it('removes what a process that died left behind a day ago, and not what another is writing', async () => {
    const [old, young] = ['x.1.tmp', 'x.2.tmp'].map((name) => join(options().folder, name));
    for (const folder of [old!, young!]) {
      await mkdir(folder, { recursive: true });
      await write(5000)(folder);
    }
    const yesterday = Date.now() / 1000 - 25 * 3600;
    await utimes(old!, yesterday, yesterday);
    const kept = await findOptimized(options(), 'a', write());
    expect((await readdir(options().folder)).sort()).toEqual([basename(kept!.folder), 'x.2.tmp'].sort());
  });

  it('does without, and leaves nothing, when optimizing fails', async () => {
    const failing = async (folder: string): Promise<void> => {
      await write()(folder);
      throw new Error('no space left');
    };
    expect(await findOptimized(options(), 'a', failing)).toBeUndefined();
    expect(await readdir(options().folder)).toEqual([]);
  });

  it('does without where it cannot write, and where it may keep nothing', async () => {
    await writeFile(join(root, 'file'), '');
    expect(await findOptimized(options({ folder: join(root, 'file', 'kept') }), 'a', write())).toBeUndefined();
    expect(await findOptimized(options({ maxBytes: 0 }), 'a', write())).toBeUndefined();
    await mkdir(options().folder, { recursive: true });
    expect(await readdir(options().folder)).toEqual([]);
  });
});
