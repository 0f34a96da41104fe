import { appendFile, cp, mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRegistry, type Registry } from '../../../src/models/registry.js';
import { createFolderWatch, lookAt } from '../../../src/models/watch-folder.js';
import { FakeSessions } from '../../support/fake-sessions.js';
import { writeSmallVgg } from '../../support/tiny-models.js';

let root: string;
/** The folder of models; others are written beside it. */
let folder: string;
let registry: Registry;
let look: () => Promise<void>;
let sessions: FakeSessions;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-watch-'));
  folder = join(root, 'models');
  await mkdir(folder);
  await writeSmallVgg(folder, 'old');
  sessions = new FakeSessions();
  const first = await lookAt(folder);
  registry = await createRegistry({ folder, cache: root, untrained: [], defaultModel: '' }, sessions);
  look = createFolderWatch(registry, { folder, first, onTrouble: () => undefined });
});
afterEach(() => rm(root, { recursive: true }));

const states = (): string[] => registry.list().map(({ name, version = '', state }) => `${name}@${version} ${state}`);
const loads = (): number => sessions.asked.filter((id) => id.endsWith('classify')).length;
async function copyIn(name: string, as = name): Promise<void> {
  await cp(join(root, name), join(folder, as), { recursive: true });
}

it('lists and loads a model when two looks have found the same', async () => {
  await writeSmallVgg(root, 'new');
  await copyIn('new');
  await look();
  expect(states()).toEqual(['old@1 ready']);
  await look();
  expect(states()).toEqual(['new@1 ready', 'old@1 ready']);
  await look();
  expect(loads()).toBe(2);
});

it('waits for a folder that is half written, and for one with an unfinished name', async () => {
  await writeSmallVgg(root, 'new');
  const weights = join(folder, 'new', 'model.safetensors');
  await copyIn('new', 'later.tmp');
  await copyIn('new');
  await truncate(weights, 100);
  await look();
  for (let time = 0; time < 4; time++) {
    await appendFile(weights, 'more');
    await look();
  }
  expect(states()).toEqual(['old@1 ready']);
  await cp(join(root, 'new', 'model.safetensors'), weights);
  await look();
  await look();
  expect(states()).toEqual(['new@1 ready', 'old@1 ready']);
});

it('tries a broken model again when it changes, and only then', async () => {
  await writeSmallVgg(root, 'new');
  await copyIn('new');
  await writeFile(join(folder, 'new', 'model.safetensors'), 'broken');
  for (let time = 0; time < 5; time++) await look();
  expect(registry.entry('new')).toMatchObject({
    state: 'failed',
    reason: expect.stringMatching(/safetensors/) as string,
  });
  expect(registry.counts.failures).toBe(1);
  await copyIn('new');
  await look();
  await look();
  expect(states()).toEqual(['new@1 ready', 'old@1 ready']);
});

it('loads a changed model again, and drops one that is gone', async () => {
  const before = registry.get('old');
  await writeSmallVgg(root, 'old');
  await writeFile(join(root, 'old', 'labels.json'), JSON.stringify(before.labels.map(({ id }) => ({ id, label: id }))));
  await copyIn('old');
  await look();
  await look();
  expect(registry.get('old').labels[0]).toEqual({ id: 'id-0', label: 'id-0' });
  await rename(join(folder, 'old'), join(root, 'moved'));
  await look();
  expect(states()).toEqual(['old@1 ready']);
  await look();
  expect(states()).toEqual([]);
  expect([...sessions.ids]).toEqual([]);
});

it('adds a version without loading the others again, and drops it', async () => {
  await writeSmallVgg(root, 'old');
  await copyIn('old', 'old/2');
  await look();
  await look();
  expect(states()).toEqual(['old@1 ready', 'old@2 ready']);
  expect(loads()).toBe(2);
  await rm(join(folder, 'old', '2'), { recursive: true });
  await look();
  await look();
  expect(states()).toEqual(['old@1 ready']);
  expect(registry.get('old').manifest.version).toBe('1');
});

it('leaves alone what an administrator has unloaded', async () => {
  await registry.unload('old');
  await writeFile(join(folder, 'old', 'note.txt'), 'a note');
  await look();
  await look();
  expect(states()).toEqual(['old@1 unloaded']);
});

it('keeps all models when the folder cannot be read', async () => {
  await rename(folder, `${folder}-away`);
  await expect(look()).rejects.toThrow(/ENOENT/);
  await rename(`${folder}-away`, folder);
  await look();
  expect(states()).toEqual(['old@1 ready']);
});

describe('a folder that is one model', () => {
  beforeEach(async () => {
    folder = join(folder, 'old');
    const first = await lookAt(folder);
    sessions = new FakeSessions();
    registry = await createRegistry({ folder, cache: root, untrained: [], defaultModel: '' }, sessions);
    look = createFolderWatch(registry, { folder, first, onTrouble: () => undefined });
  });

  it('is loaded again when it changes, and gets versions', async () => {
    await look();
    await look();
    expect(loads()).toBe(1);
    await writeFile(join(folder, 'note.txt'), 'a note');
    await look();
    await look();
    expect(loads()).toBe(2);
    await writeSmallVgg(root, 'old');
    await cp(join(root, 'old'), join(folder, '2'), { recursive: true });
    await look();
    await look();
    expect(states()).toEqual(['old@1 ready', 'old@2 ready']);
    expect(loads()).toBe(3);
    await rm(join(folder, '2'), { recursive: true });
    await look();
    await look();
    expect(states()).toEqual(['old@1 ready']);
  });

  it('may get another name', async () => {
    await writeSmallVgg(root, 'new');
    await cp(join(root, 'new'), folder, { recursive: true });
    await look();
    await look();
    expect(states()).toEqual(['new@1 ready']);
  });

  it('may become a folder of models, and one model again', async () => {
    await mkdir(join(root, 'away'));
    for (const file of ['model.json', 'model.safetensors']) await rename(join(folder, file), join(root, 'away', file));
    await writeSmallVgg(folder, 'inner');
    await look();
    await look();
    await look();
    expect(states()).toEqual(['inner@1 ready']);
    for (const file of ['model.json', 'model.safetensors']) await rename(join(root, 'away', file), join(folder, file));
    await look();
    await look();
    await look();
    expect(states()).toEqual(['old@1 ready']);
  });
});
