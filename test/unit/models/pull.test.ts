import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import type { CatalogEntry } from '../../../src/models/pull/catalog.js';
import { writeGeneratedWeights } from '../../../src/models/networks/generated-weights.js';
import { readModelFolder } from '../../../src/models/manifest.js';
import { pullModel, type PulledModel, type PullOptions } from '../../../src/models/pull/pull-model.js';
import { weightsSource } from '../../../src/models/pull/weights-source.js';
import { COMMIT, digestOf, startHub, type Hub } from '../../support/hub.js';
import { INPUT } from '../../support/tiny-models.js';

const LABELS = Array.from({ length: 10 }, (_, index) => ({ id: `id-${index}`, label: `thing ${index}` }));

const ENTRY: CatalogEntry = {
  name: 'tiny.test',
  description: 'A tiny net',
  architecture: 'resnet18',
  options: { width: 8, stem: 'compact' },
  repository: 'owner/tiny',
  revision: 'main',
  file: 'model.safetensors',
  license: 'MIT',
  input: INPUT,
};

let weights: Buffer;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-pull-'));
  const file = join(root, 'weights.safetensors');
  await writeGeneratedWeights(file, buildArchitecture('resnet18', { ...ENTRY.options, classes: LABELS.length }));
  weights = await readFile(file);
});
afterAll(() => rm(root, { recursive: true }));

let hub: Hub;
let models: string;
beforeEach(async () => {
  hub = await startHub({ '/owner/tiny/resolve/main/model.safetensors': weights });
  models = await mkdtemp(join(root, 'models-'));
});
afterEach(() => hub.close());

const pull = (options: Partial<PullOptions> = {}, entry: CatalogEntry = ENTRY): Promise<PulledModel> =>
  pullModel(
    entry,
    { labels: LABELS },
    {
      source: weightsSource({ from: hub.url }),
      models,
      cache: root,
      name: entry.name,
      force: false,
      backoffMs: 1,
      attempts: 1,
      ...options,
    },
  );
/** Everything below the folder of models. */
const found = async (): Promise<string[]> => (await readdir(models, { recursive: true })).sort();

const MODEL_FILES = ['tiny.test', 'tiny.test/labels.json', 'tiny.test/model.json', 'tiny.test/model.safetensors'];

describe('a pull', () => {
  it('makes a model folder that says where it comes from and what it must be', async () => {
    const { folder, model } = await pull();
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
    expect(model).toMatchObject({ nativeSize: { width: 64, height: 64 }, dense: { outputStrides: [16, 8, 4] } });
    const { manifest, labels } = await readModelFolder(folder);
    expect(labels).toEqual(LABELS);
    expect(manifest).toEqual({
      name: 'tiny.test',
      version: '1',
      description: 'A tiny net',
      license: 'MIT',
      source: `https://huggingface.co/owner/tiny/tree/${COMMIT}`,
      architecture: 'resnet18',
      options: ENTRY.options,
      weights: { file: 'model.safetensors', sha256: digestOf(weights) },
      labels: 'labels.json',
      input: ENTRY.input,
    });
  });

  it('takes another name', async () => {
    await pull({ name: 'mine' });
    expect((await readModelFolder(join(models, 'mine'))).manifest.name).toBe('mine');
  });

  it.each(['../evil', '.hidden', 'a/b', ''])('refuses the name "%s" before it does anything', async (name) => {
    await expect(pull({ name })).rejects.toThrow(`"${name}" is not a valid model name`);
    expect(await found()).toEqual([]);
    expect(hub.requests).toEqual([]);
  });

  it('goes on where an interrupted one was cut off', async () => {
    let there = 0;
    hub.faults.cuts = [100_000];
    hub.faults.arrived = async (bytes) => {
      while (there < bytes) await new Promise(setImmediate);
    };
    const onProgress = (done: number): void => {
      there = done;
    };
    await expect(pull({ onProgress })).rejects.toThrow(/tried 1 times/);
    expect(await found()).toContain('.pulling/tiny.test/model.safetensors.part');
    await pull();
    expect(hub.sent).toBe(weights.length);
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
  });

  it('leaves no trace of a file that is not what it must be', async () => {
    await expect(pull({}, { ...ENTRY, sha256: 'c'.repeat(64) })).rejects.toThrow(/must be c{64}/);
    expect(await found()).toEqual(['.pulling']);
  });

  it('leaves no trace of weights that do not fit, and says why', async () => {
    const wide = { ...ENTRY, options: { ...ENTRY.options, width: 16 } };
    await expect(pull({}, wide)).rejects.toThrow(
      /^Refused: model\.safetensors: tensor "\S+" must be \[.*\], is \[.*\]$/,
    );
    expect(await found()).toEqual(['.pulling']);
  });

  it('says which setting names a folder that cannot be written', async () => {
    const blocked = join(models, 'file');
    await writeFile(blocked, '');
    await expect(pull({ models: blocked })).rejects.toThrow(
      `FULLCONV_MODELS=${blocked}: models cannot be written there`,
    );
  });
});

describe('a model that is there already', () => {
  beforeEach(() => pull());

  it('is not replaced, and nothing is fetched', async () => {
    hub.requests.length = 0;
    await expect(pull()).rejects.toThrow(`${join(models, 'tiny.test')} already exists; --force replaces it`);
    expect(hub.requests).toEqual([]);
  });

  it('is replaced by force, as a whole', async () => {
    await writeFile(join(models, 'tiny.test', 'note'), 'of the old one');
    await pull({ force: true }, { ...ENTRY, description: 'Another' });
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
    expect((await readModelFolder(join(models, 'tiny.test'))).manifest.description).toBe('Another');
  });

  it('stays where the new one cannot be had or does not fit', async () => {
    hub.faults.statuses = [404];
    await expect(pull({ force: true })).rejects.toThrow(/404/);
    await expect(pull({ force: true }, { ...ENTRY, architecture: 'resnet34' })).rejects.toThrow(/^Refused/);
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
    expect((await readModelFolder(join(models, 'tiny.test'))).manifest.architecture).toBe('resnet18');
  });
});

describe('two pulls of one name', () => {
  it('do not disturb each other: one of them is refused', async () => {
    const results = await Promise.allSettled([pull(), pull()]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: {
        message: expect.stringMatching(/^Process \d+ on .* holds the lock; if that process is gone, remove /) as string,
      },
    });
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
  });

  const lock = async (holder: unknown): Promise<void> => {
    await mkdir(join(models, '.pulling'));
    await writeFile(join(models, '.pulling', 'tiny.test.lock'), JSON.stringify(holder));
  };

  it.each([
    ['is gone', { pid: 2 ** 22 + 1, host: hostname() }],
    ['had the number of this one', { pid: process.pid, host: hostname() }],
  ])('need not wait for a process that %s', async (_, holder) => {
    await lock(holder);
    await pull();
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
  });

  it.each([
    ['is at work', { pid: process.ppid, host: hostname() }],
    ['may be at work on another machine', { pid: process.pid, host: 'elsewhere' }],
  ])('are refused to the second while a process %s', async (_, holder) => {
    await lock(holder);
    await expect(pull()).rejects.toThrow(/holds the lock/);
  });

  it('leaves a lock alone whose removal another process is at', async () => {
    await lock({ pid: 2 ** 22 + 1, host: hostname() });
    const turn = join(models, '.pulling', 'tiny.test.lock.stale');
    await writeFile(turn, JSON.stringify({ pid: process.ppid, host: hostname() }));
    await expect(pull()).rejects.toThrow(`Process ${process.ppid} on ${hostname()} holds the lock`);
    await rm(turn);
    await pull();
  });
});

describe('the source', () => {
  const local = async (...path: string[]): Promise<string> => {
    const folder = await mkdtemp(join(root, 'local-'));
    const file = join(folder, ...path);
    await mkdir(dirname(file), { recursive: true });
    await copyFile(join(root, 'weights.safetensors'), file);
    return folder;
  };

  it.each([
    ['by repository', ['owner', 'tiny', 'model.safetensors']],
    ['by name', ['tiny.test', 'model.safetensors']],
    ['as the hub caches it', ['models--owner--tiny', 'snapshots', 'main', 'model.safetensors']],
    ['itself', ['model.safetensors']],
  ])('may be a folder that has the file %s', async (_, path) => {
    await pull({ source: weightsSource({ from: await local(...path) }) }, { ...ENTRY, sha256: digestOf(weights) });
    expect(await found()).toEqual(['.pulling', ...MODEL_FILES]);
  });

  it('may be a file, which is checked too', async () => {
    const source = weightsSource({ from: join(root, 'weights.safetensors') });
    await expect(pull({ source }, { ...ENTRY, size: 5 })).rejects.toThrow(/must have 5$/);
    await expect(pull({ source }, { ...ENTRY, sha256: 'd'.repeat(64) })).rejects.toThrow(/must be d{64}$/);
    expect(await found()).toEqual(['.pulling']);
    expect((await pull({ source })).weights).toMatchObject({ verified: false, sha256: digestOf(weights) });
  });

  it('that has no such file is told with the places that were looked at', async () => {
    const source = weightsSource({ from: models });
    await expect(pull({ source })).rejects.toThrow(
      `tiny.test: none of these files exists: ${join(models, 'owner/tiny/model.safetensors')}, `,
    );
  });

  it('may be a mirror below a path, with credentials of its own', async () => {
    hub.files.set('/mirror/owner/tiny/resolve/main/model.safetensors', weights);
    const from = hub.url.replace('//', '//me:p%40ss@') + '/mirror/';
    await pull({ source: weightsSource({ from, token: 'unused' }) });
    expect(hub.requests[0]).toMatchObject({
      url: '/mirror/owner/tiny/resolve/main/model.safetensors',
      headers: { authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}` },
    });
  });

  it('is the hub, or what HF_ENDPOINT names, with HF_TOKEN', () => {
    expect(weightsSource({})).toMatchObject({ base: 'https://huggingface.co' });
    expect(weightsSource({ endpoint: 'https://mirror.example/', token: 'abc' })).toEqual({
      kind: 'hub',
      base: 'https://mirror.example',
      authorization: 'Bearer abc',
    });
  });

  it('is not taken from other addresses', () => {
    expect(() => weightsSource({ from: 'ftp://example.org' })).toThrow(
      /must be an http or https address, a folder or a file$/,
    );
  });
});
