import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  const options = { cache: join(root, 'cache'), models: join(root, 'models') };
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
