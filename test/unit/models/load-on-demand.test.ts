import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CompiledModel } from '../../../src/models/compile.js';
import { createRegistry, type Registry, type RegistryOptions, type Wait } from '../../../src/models/registry.js';
import { FakeSessions, gate } from '../../support/fake-sessions.js';
import { writeSmallVgg } from '../../support/tiny-models.js';

const NAMES = ['a', 'b', 'c', 'd', 'e'];

let folder: string;
/** Of each model. */
let bytes: number;
let sessions: FakeSessions;
const start = (options: Partial<RegistryOptions> = {}): Promise<Registry> =>
  createRegistry(
    { folder, cache: folder, untrained: [], defaultModel: '', maxBytes: 2.5 * bytes, ...options },
    sessions,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-demand-'));
  for (const name of NAMES) await writeSmallVgg(folder, name);
  sessions = new FakeSessions();
  bytes = (await start({ maxBytes: undefined })).entry('a').memoryBytes!;
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  sessions = new FakeSessions();
});

const nameOf = ({ manifest }: CompiledModel): Promise<string> => Promise.resolve(manifest.name);
const ready = (registry: Registry): string[] =>
  registry
    .list()
    .filter(({ state }) => state === 'ready')
    .map(({ name }) => name);
/** Names of the models that have open sessions. */
const open = (): string[] => [...new Set([...sessions.ids].map((id) => id.split('@')[0]!))].sort();
const loadsOf = (name: string): number =>
  sessions.asked.filter((id) => id.startsWith(`${name}@`) && id.endsWith('/classify')).length;

describe('the start', () => {
  it('loads what fits, the default model first, and lists the others', async () => {
    const registry = await start({ defaultModel: 'd' });
    expect(ready(registry)).toEqual(['a', 'd']);
    expect(registry.entry('b')).toMatchObject({
      ...{ name: 'b', version: '1', state: 'unloaded', memoryBytes: expect.any(Number) as number },
      reason: 'it is loaded when it is asked for',
    });
    expect(registry.defaultName).toBe('d');
  });

  it('loads everything where there is no bound, and nothing is loaded for a request', async () => {
    const registry = await start({ maxBytes: undefined });
    expect(ready(registry)).toEqual(NAMES);
    await registry.unload('b');
    await expect(registry.use('b', nameOf)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });
});

describe('a request for a model that is not loaded', () => {
  it('waits for its load; of five in turn the two used last are in memory', async () => {
    const registry = await start();
    for (const name of [...NAMES, ...NAMES]) {
      expect(await registry.use(name, nameOf)).toBe(name);
      expect(registry.memoryBytes).toBeLessThanOrEqual(2.5 * bytes);
    }
    expect(ready(registry)).toEqual(['d', 'e']);
    await expect.poll(open).toEqual(['d', 'e']);
    expect(registry.counts.evictions).toBeGreaterThan(0);
  });

  it('has the model unloaded that was used longest ago', async () => {
    const registry = await start();
    await registry.use('a', nameOf);
    await registry.use('c', nameOf);
    expect(ready(registry)).toEqual(['a', 'c']);
    await registry.use('a', nameOf);
    await registry.use('d', nameOf);
    expect(ready(registry)).toEqual(['a', 'd']);
  });

  it('shares its load with all who ask meanwhile', async () => {
    const registry = await start();
    const answers = await Promise.all(Array.from({ length: 50 }, () => registry.use('e', nameOf)));
    expect(new Set(answers)).toEqual(new Set(['e']));
    expect(loadsOf('e')).toBe(1);
  });

  it('is answered whatever others ask for at the same time', async () => {
    const registry = await start();
    const asked = Array.from({ length: 100 }, (_, index) => NAMES[(index * 7) % 5]!);
    expect(await Promise.all(asked.map((name) => registry.use(name, nameOf)))).toEqual(asked);
    expect(open().length).toBeLessThanOrEqual(2);
  });

  it('waits while all that are loaded are in use', async () => {
    const registry = await start();
    const work = { a: gate(), b: gate() };
    const working = [registry.use('a', () => work.a.promise), registry.use('b', () => work.b.promise)];
    let isAnswered = false;
    const asking = registry.use('c', nameOf).then(() => (isAnswered = true));
    await registry.use('a', nameOf);
    expect([isAnswered, loadsOf('c')]).toEqual([false, 0]);
    work.b.resolve();
    await asking;
    expect(ready(registry)).toEqual(['a', 'c']);
    work.a.resolve();
    await Promise.all(working);
  });

  it('that gives up costs no load if it has not begun, and otherwise leaves it to the others', async () => {
    const registry = await start();
    const giveUp = new AbortController();
    const impatient: Wait = (loading) =>
      Promise.race([
        loading(),
        new Promise<never>((_, reject) => giveUp.signal.addEventListener('abort', () => reject(new Error('gone')))),
      ]);
    const work = gate();
    const working = ['a', 'b'].map((name) => registry.use(name, () => work.promise));
    const asking = expect(registry.use('c', nameOf, { wait: impatient })).rejects.toThrow('gone');
    const refused: Wait = () => Promise.reject(new Error('no place'));
    await expect(registry.use('d', nameOf, { wait: refused })).rejects.toThrow('no place');
    giveUp.abort();
    await asking;
    work.resolve();
    await Promise.all(working);
    expect(ready(registry)).toEqual(['a', 'b']);
    expect(loadsOf('c') + loadsOf('d')).toBe(0);
    expect(await registry.use('c', nameOf)).toBe('c');
  });

  it('leaves the default model the default one while that is unloaded to make room', async () => {
    const registry = await start({ defaultModel: 'a' });
    await registry.use('b', nameOf);
    await registry.use('c', nameOf);
    expect(registry.entry('a').state).toBe('unloaded');
    expect(registry.defaultName).toBe('a');
    expect(await registry.use(undefined, nameOf)).toBe('a');
  });

  it('is refused where an administrator has unloaded it, until that one loads it', async () => {
    const registry = await start();
    await registry.unload('a');
    for (const name of NAMES.slice(1)) await registry.use(name, nameOf);
    await expect(registry.use('a', nameOf)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect(registry.entry('a')).not.toHaveProperty('reason');
    expect(await registry.load('a')).toMatchObject({ state: 'ready' });
    expect(await registry.use('a', nameOf)).toBe('a');
  });
});

describe('a load that fails', () => {
  afterEach(() => vi.useRealTimers());

  it('is told to those who wait, and is not tried again for a while', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const registry = await start();
    sessions.failing = 'classify';
    const answers = await Promise.allSettled([registry.use('c', nameOf), registry.use('c', nameOf)]);
    for (const answer of answers) {
      expect(answer).toMatchObject({
        reason: {
          code: 'MODEL_NOT_READY',
          retryAfterS: 10,
          message: expect.stringMatching(/"c" could not be loaded/) as string,
        },
      });
    }
    for (let time = 0; time < 20; time++) expect(() => registry.check('c')).toThrow('could not be loaded');
    await expect(registry.use('c', nameOf)).rejects.toMatchObject({ code: 'MODEL_NOT_READY' });
    expect(loadsOf('c')).toBe(1);
    expect(registry.counts.failures).toBe(1);
    sessions.failing = undefined;
    vi.advanceTimersByTime(11_000);
    expect(await registry.use('c', nameOf)).toBe('c');
  });

  it('because the model alone is too large names the limit, and never begins', async () => {
    const registry = await start({ maxBytes: bytes / 4 });
    expect(registry.entry('a').state).toBe('unloaded');
    await expect(registry.use('a', nameOf)).rejects.toMatchObject({
      code: 'MODEL_NOT_READY',
      limit: { name: 'model_memory', value: bytes / 4, needed: expect.any(Number) as number },
    });
    expect(registry.entry('a')).toMatchObject({ state: 'failed', limit: { name: 'model_memory' } });
    expect(loadsOf('a')).toBe(0);
  });

  it('by hand keeps what is loaded, and is another matter than a request', async () => {
    const registry = await start();
    await writeSmallVgg(folder, 'f');
    await writeFile(join(folder, 'f', 'model.safetensors'), 'no weights');
    expect(await registry.load('f')).toMatchObject({ state: 'failed' });
    expect(ready(registry).length).toBeGreaterThan(0);
    await rm(join(folder, 'f'), { recursive: true });
  });
});
