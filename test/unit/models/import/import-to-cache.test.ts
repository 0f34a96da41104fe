import { cp, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFolderFinder } from '../../../../src/models/import/import-to-cache.js';
import { DRAFT_WORKER_FILE } from '../../../support/import.js';

const ONNX = fileURLToPath(new URL('../../../fixtures/import/described/described.onnx', import.meta.url));

let root: string;
let file: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-to-cache-'));
  file = join(root, 'net.onnx');
  await cp(ONNX, file);
});
afterAll(() => rm(root, { recursive: true }));

it('the same file is imported once, and again when it has changed', async () => {
  const options = { cache: join(root, 'cache'), models: join(root, 'models'), maxBytes: Infinity };
  const find = createFolderFinder({ ...options, workerFile: DRAFT_WORKER_FILE });
  // Whoever asks this one to import anything has no thread to do it.
  const known = createFolderFinder({ ...options, workerFile: join(root, 'missing.js') });
  await expect(known('net', file)).rejects.toThrow();
  const folder = await find('net', file);
  expect(await known('net', file)).toBe(folder);
  await writeFile(file, await readFile(file));
  await expect(known('net', file)).rejects.toThrow();
  expect(await find('net', file)).not.toBe(folder);
});

it('imports that were used longest ago are removed beyond the limit, those being served are not', async () => {
  const cache = join(root, 'small-cache');
  /** A finder as a server of its own has it. */
  const server = (maxBytes: number) =>
    createFolderFinder({ cache, models: join(root, 'models'), maxBytes, workerFile: DRAFT_WORKER_FILE });
  const kept = async (): Promise<string[]> => (await readdir(join(cache, 'imports'))).sort();
  const names = (...folders: string[]): string[] => folders.map((folder) => basename(folder)).sort();
  const used = (folder: string, minutesAgo: number): Promise<void> => {
    const time = new Date(Date.now() - 60_000 * minutesAgo);
    return utimes(folder, time, time);
  };
  const a = await server(Infinity)('a', file);
  const sizes = (await readdir(a)).map(async (name) => (await stat(join(a, name))).size);
  const roomForTwo = 2.5 * (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  const b = await server(roomForTwo)('b', file);
  expect(await kept()).toEqual(names(a, b));
  await used(a, 2);
  await used(b, 1);
  // Being served anew counts as a use.
  expect(await server(roomForTwo)('a', file)).toBe(a);
  const third = server(roomForTwo);
  const c = await third('c', file);
  expect(await kept()).toEqual(names(a, c));
  const d = await third('d', file);
  expect(await kept()).toEqual(names(c, d));
  const e = await third('e', file);
  expect(await kept()).toEqual(names(c, d, e));
  const f = await server(0)('f', file);
  expect(await kept()).toEqual(names(f));
});

it('an import that makes room leaves alone what another one is about to serve', async () => {
  const cache = join(root, 'shared-cache');
  const server = (maxBytes: number) =>
    createFolderFinder({ cache, models: join(root, 'models'), maxBytes, workerFile: DRAFT_WORKER_FILE });
  const first = server(Infinity);
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await first(name, file);
  for (let round = 0; round < 5; round += 1) {
    const find = server(0);
    const found = await Promise.all(names.map((name) => find(name, file)));
    for (const folder of found) expect(await readdir(folder)).toContain('model.json');
  }
});
