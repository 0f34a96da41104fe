import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { byNumber, findVersions } from '../../../src/models/model-folders.js';
import type { CompiledModel } from '../../../src/models/compile.js';
import { createRegistry, type Registry } from '../../../src/models/registry.js';
import { FakeSessions, gate } from '../../support/fake-sessions.js';
import { writeSmallVgg } from '../../support/tiny-models.js';

let folder: string;
let sessions: FakeSessions;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-versions-'));
  sessions = new FakeSessions();
});
afterEach(() => rm(folder, { recursive: true }));

const start = (maxBytes?: number): Promise<Registry> =>
  createRegistry({ folder, cache: folder, untrained: [], defaultModel: '', maxBytes }, sessions);

async function addVersion(version: string, change: Record<string, unknown> = {}): Promise<void> {
  const source = join(folder, '.source');
  await writeSmallVgg(folder, '.source');
  await cp(source, join(folder, 'net', version), { recursive: true });
  await rm(source, { recursive: true });
  await changeManifest(version, { name: 'net', ...change });
}

async function changeManifest(version: string, change: Record<string, unknown>): Promise<void> {
  const file = join(folder, 'net', version, 'model.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...manifest, ...change }));
}

const versionOf = ({ manifest }: CompiledModel): Promise<string> => Promise.resolve(manifest.version);
const states = (registry: Registry): string[] =>
  registry.versions('net').map(({ version = '', state }) => `${version} ${state}`);

it('are ordered by their numbers, however long', () => {
  const versions = ['10', '9', '99999999999999999999', '99999999999999999998', ''];
  expect(versions.sort(byNumber)).toEqual(['', '9', '10', '99999999999999999998', '99999999999999999999']);
});

describe('numeric folders', () => {
  it('are versions with sessions of their own, named for their folders; the highest answers', async () => {
    for (const version of ['1', '2', '10']) await addVersion(version);
    const registry = await start();
    expect(states(registry)).toEqual(['1 ready', '2 ready', '10 ready']);
    expect(registry.get('net').manifest.version).toBe('10');
    expect(registry.get('net', '2').manifest.version).toBe('2');
    expect(await registry.use('net', versionOf, { version: '1' })).toBe('1');
    const ids = registry.versions('net').map(({ model }) => model!.classifier.session.id);
    expect(ids.map((id) => id.split('#')[0])).toEqual(['net@1', 'net@2', 'net@10']);
    expect(() => registry.get('net', '3')).toThrow(
      expect.objectContaining({
        code: 'MODEL_NOT_FOUND',
        message: 'The model "net" has no version 3; it has 1, 2, 10.',
        errors: [{ parameter: 'version', detail: 'must be one of: 1, 2, 10' }],
      }),
    );
  });

  it('may lie beside a model that is its folder itself', async () => {
    await writeSmallVgg(folder, 'net');
    await addVersion('2');
    expect((await findVersions(join(folder, 'net'))).map(({ version }) => version)).toEqual([undefined, '2']);
    const registry = await start();
    expect(states(registry)).toEqual(['1 ready', '2 ready']);
    expect(registry.get('net').folder).toBe(join(folder, 'net', '2'));
  });

  it('of one number are told, and the first answers', async () => {
    await writeSmallVgg(folder, 'net');
    await addVersion('1');
    const registry = await start();
    expect(states(registry).sort()).toEqual(['1 failed', '1 ready']);
    expect(registry.versions('net').find(({ state }) => state === 'failed')?.reason).toBe('there are two versions 1');
    expect(registry.get('net').folder).toBe(join(folder, 'net'));
  });

  it('that are no plain numbers, or hold no model, are none', async () => {
    await addVersion('1');
    await cp(join(folder, 'net', '1'), join(folder, 'net', '02'), { recursive: true });
    await cp(join(folder, 'net', '1', 'labels.json'), join(folder, 'net', '3', 'labels.json'));
    expect(states(await start())).toEqual(['1 ready']);
  });
});

describe('labels', () => {
  it('stand for versions; stable answers requests that name none', async () => {
    await addVersion('1', { versionLabels: ['stable', 'blue'] });
    await addVersion('2', { versionLabels: ['canary'] });
    const registry = await start();
    expect(registry.get('net').manifest.version).toBe('1');
    expect(registry.get('net', 'blue').manifest.version).toBe('1');
    expect(registry.get('net', 'canary').manifest.version).toBe('2');
    await registry.unload('net', 'stable');
    expect(registry.get('net').manifest.version).toBe('2');
  });

  it('are no part of the digest', async () => {
    await addVersion('1');
    const registry = await start();
    const { digest } = registry.get('net');
    await changeManifest('1', { versionLabels: ['canary'] });
    await registry.load('net');
    expect(registry.get('net', 'canary').digest).toBe(digest);
  });

  it('of two versions are an error of the later one, which is gone when the first gives it up', async () => {
    await addVersion('1', { versionLabels: ['canary'] });
    await addVersion('2', { versionLabels: ['canary'] });
    const registry = await start();
    expect(states(registry)).toEqual(['1 ready', '2 failed']);
    expect(registry.entry('net', '2').reason).toBe(
      'versionLabels: version 1 and version 2 both have the label "canary"',
    );
    expect(registry.get('net').manifest.version).toBe('1');
    await changeManifest('1', { versionLabels: [] });
    await registry.load('net');
    expect(states(registry)).toEqual(['1 ready', '2 ready']);
    expect(registry.get('net', 'canary').manifest.version).toBe('2');
  });

  it('that begin with a digit are refused', async () => {
    await addVersion('1', { versionLabels: ['2nd'] });
    expect((await start()).entry('net').reason).toMatch(/versionLabels.*must begin with a letter/);
  });
});

describe('a reload of the model', () => {
  it('picks up new versions, and drops those that are gone when their users are done', async () => {
    await addVersion('1');
    const registry = await start();
    const work = gate();
    const working = registry.use('net', () => work.promise, { version: '1' });
    await addVersion('2');
    await rm(join(folder, 'net', '1'), { recursive: true });
    const loading = registry.load('net');
    await expect.poll(() => states(registry)).toEqual(['2 ready']);
    expect([...sessions.ids].some((id) => id.startsWith('net@1#'))).toBe(true);
    work.resolve();
    await working;
    expect(await loading).toMatchObject({ version: '2', state: 'ready' });
    await expect.poll(() => [...sessions.ids].some((id) => id.startsWith('net@1#'))).toBe(false);
  });

  it('leaves the requests to the version before, if the new one is broken', async () => {
    await addVersion('1');
    const registry = await start();
    await addVersion('2', { architecture: 'vgg10' });
    expect(await registry.load('net')).toMatchObject({ version: '2', state: 'failed' });
    expect(registry.get('net').manifest.version).toBe('1');
    expect(registry.defaultName).toBe('net');
    expect(() => registry.get('net', '2')).toThrow('Version 2 of the model "net" is failed.');
  });

  it('may be that of one version, and unload too', async () => {
    await addVersion('1');
    await addVersion('2');
    const registry = await start();
    const before = registry.get('net', '1');
    expect(await registry.load('net', '2')).toMatchObject({ version: '2', state: 'ready' });
    expect(registry.get('net', '1')).toBe(before);
    expect(await registry.unload('net', '2')).toMatchObject({ version: '2', state: 'unloaded' });
    expect(registry.get('net').manifest.version).toBe('1');
    await expect(registry.load('net', '7')).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });
});

describe('with a bound on memory', () => {
  it('the version that answers is loaded first, and the one before answers when it cannot be loaded', async () => {
    for (const version of ['1', '2', '3']) await addVersion(version);
    const bytes = (await start()).entry('net', '1').memoryBytes!;
    const registry = await start(1.5 * bytes);
    expect(states(registry)).toEqual(['1 unloaded', '2 unloaded', '3 ready']);
    expect(await registry.use('net', versionOf, { version: '1' })).toBe('1');
    expect(states(registry)).toEqual(['1 ready', '2 unloaded', '3 unloaded']);
    expect(await registry.use('net', versionOf)).toBe('3');
    await registry.use('net', versionOf, { version: '1' });
    await changeManifest('3', { architecture: 'vgg10' });
    expect(await registry.use('net', versionOf)).toBe('1');
    expect(states(registry)).toEqual(['1 ready', '2 unloaded', '3 failed']);
  });
});
