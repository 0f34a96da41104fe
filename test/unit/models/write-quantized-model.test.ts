/** A quantized model takes the place of another in one step: when anything goes wrong, the other is still there. */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readModelFolder, type ModelFolder } from '../../../src/models/manifest.js';
import { writeQuantizedModel } from '../../../src/models/quantize/write-model.js';
import { INPUT } from '../../support/tiny-models.js';

/** What the disk refuses: to write to or move from paths that end so. */
const refused = vi.hoisted((): { ending: string | undefined } => ({ ending: undefined }));
vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:fs/promises')>();
  const isRefused = (path: unknown): boolean =>
    refused.ending !== undefined && typeof path === 'string' && path.endsWith(refused.ending);
  const full = (): Promise<never> => Promise.reject(new Error('the disk is full'));
  return {
    ...original,
    rename: (from: string, to: string) => (isRefused(from) ? full() : original.rename(from, to)),
    writeFile: (...args: Parameters<typeof original.writeFile>) =>
      isRefused(args[0]) ? full() : original.writeFile(...args),
  };
});

const CONTENT: Pick<ModelFolder, 'manifest' | 'labels'> = {
  manifest: {
    name: 'net',
    version: '1',
    architecture: 'resnet18',
    weights: { file: 'model.safetensors' },
    labels: 'labels.json',
    input: INPUT,
    maps: { size: 300 },
  },
  labels: [{ id: 'a', label: 'a' }],
};

let models: string;
beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'fullconv-write-'));
});
afterEach(async () => {
  refused.ending = undefined;
  await rm(models, { recursive: true });
});

/** Write a model that is told by the number of images that it was calibrated on. */
const write = (images: number): Promise<string> =>
  writeQuantizedModel(models, 'net-int8', CONTENT, {
    bytes: Uint8Array.of(images),
    input: CONTENT.manifest.input,
    activation: 'sigmoid',
    figures: { images, agreement: 1, logitError: 0 },
  });
const imagesOf = async (): Promise<number | undefined> =>
  (await readModelFolder(join(models, 'net-int8'))).manifest.quantization?.images;
/** What lies in the folder of models, and where models are made. */
const found = async (): Promise<string[]> => (await readdir(models, { recursive: true })).sort();
const WHOLE = ['', '/labels.json', '/model.json', '/model.onnx'].map((file) => `net-int8${file}`);

describe('a quantized model', () => {
  it('says what its numbers are, and keeps the defaults of its maps', async () => {
    const { manifest } = await readModelFolder(await write(20));
    expect(manifest).toMatchObject({ output: 'sigmoid', maps: { size: 300 } });
  });

  it('takes a free place, and that of another', async () => {
    for (const images of [20, 30]) {
      await write(images);
      expect(await imagesOf()).toBe(images);
      expect(await found()).toEqual(['.quantizing', ...WHOLE]);
    }
  });

  it.each([
    ['cannot be moved to its place', '.quantizing/net-int8'],
    ['cannot be written', 'labels.json'],
    ['is not allowed to move the other', '/net-int8'],
  ])('leaves the other where it %s', async (_, ending) => {
    await write(20);
    refused.ending = ending;
    await expect(write(30)).rejects.toThrow('the disk is full');
    expect(await imagesOf()).toBe(20);
    expect(await found()).toEqual(['.quantizing', ...WHOLE]);
  });

  it('is written after a crash, whatever that has left', async () => {
    await write(20);
    await rename(join(models, 'net-int8'), join(models, '.quantizing/net-int8.old'));
    await mkdir(join(models, '.quantizing/net-int8'));
    await writeFile(join(models, '.quantizing/net-int8/model.onnx'), 'half');
    refused.ending = 'labels.json';
    await expect(write(30)).rejects.toThrow('the disk is full');
    expect(await imagesOf()).toBe(20);
    refused.ending = undefined;
    await write(30);
    expect(await imagesOf()).toBe(30);
    expect(await found()).toEqual(['.quantizing', ...WHOLE]);
  });

  it('is not written by two at once', async () => {
    const results = await Promise.allSettled([write(20), write(30)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await found()).toEqual(['.quantizing', ...WHOLE]);
  });
});
