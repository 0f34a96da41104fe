import { chmod, mkdir, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { denseViews, usualView, type CompiledModel } from '../../../src/models/compile.js';
import type { View } from '../../../src/models/dense-views.js';
import { createRegistry, type ModelEntry, type Registry, type RegistryOptions } from '../../../src/models/registry.js';
import { FakeSessions, gate } from '../../support/fake-sessions.js';
import { HEADS, TINY, tinyClassifier } from '../../support/tiny-classifiers.js';
import { INPUT, writeOnnxModel, writeTinyModel, writeTinyModels } from '../../support/tiny-models.js';

let folder: string;
let sessions: FakeSessions;
beforeEach(async () => {
  folder = await writeTinyModels();
  sessions = new FakeSessions();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const start = (
  options: Partial<RegistryOptions> = {},
  report?: (entry: ModelEntry, error?: unknown) => void,
): Promise<Registry> =>
  createRegistry({ folder, cache: folder, untrained: [], defaultModel: '', ...options }, sessions, report);
/** The classifier's session and that of the class map at its own stride: those that are open after a load. */
const idsOf = (registry: Registry, name: string): string[] => {
  const model = registry.get(name);
  return [model.classifier, denseViews(model).view()].map(({ session }) => session.id);
};
/** Open a view's session, and leave it open. */
async function openSession(registry: Registry, model: CompiledModel, view: View): Promise<string> {
  const { opened, release } = registry.lease(model, view);
  return opened.finally(release);
}
const scoreView = (model: CompiledModel): View => model.classifyView({ width: 96, height: 96 });
const openIds = (name: string): string[] => [...sessions.ids].filter((id) => id.startsWith(`${name}@`));

async function changeManifest(name: string, change: Record<string, unknown>): Promise<void> {
  const file = join(folder, name, 'model.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...manifest, ...change }));
}

describe('the start', () => {
  it('loads two models at a time', async () => {
    await writeTinyModel(folder, 'tiny-vgg', 'tiny-third');
    const release = sessions.hold('classify');
    const starting = start();
    await expect.poll(() => sessions.asked.length).toBe(2);
    // The third would have been asked for as soon as it was read.
    await sleep(100);
    expect(sessions.asked).toHaveLength(2);
    release();
    expect((await starting).list().map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
  });
});

describe('a model whose own size is above that of its fully connected head', () => {
  it('opens and keeps the view that its own size needs, with the image that it is warmed up with', async () => {
    await changeManifest('tiny-vgg', { input: { ...INPUT, size: 96, resize: 96 } });
    const registry = await start();
    const model = registry.get('tiny-vgg');
    const score = scoreView(model);
    expect(usualView(model)).toBe(score);
    expect(score.session.typical?.feeds['image']?.dims).toEqual([96, 96, 3]);
    const { width, height } = model.nativeSize;
    expect(model.classifier.session.typical?.feeds['image']?.dims).toEqual([height, width, 3]);
    expect(openIds('tiny-vgg')).toContain(score.session.id);
    expect(openIds('tiny-vgg')).not.toContain(model.classifier.session.id);
  });
});

describe('a reload', () => {
  it('opens sessions of its own and closes those of the load before it', async () => {
    const registry = await start();
    const before = idsOf(registry, 'tiny-resnet');
    await registry.load('tiny-resnet');
    const after = idsOf(registry, 'tiny-resnet');
    expect(after.filter((id) => before.includes(id))).toEqual([]);
    expect(after.every((id) => id.startsWith('tiny-resnet@1#'))).toBe(true);
    expect(openIds('tiny-resnet').filter((id) => before.includes(id))).toEqual([]);
    expect(openIds('tiny-resnet').length).toBeGreaterThan(0);
  });

  it('leaves the old version answering when the new one is broken, and says why', async () => {
    const registry = await start();
    const before = idsOf(registry, 'tiny-resnet');
    await changeManifest('tiny-resnet', { architecture: 'resnet19' });
    const entry = await registry.load('tiny-resnet');
    expect(entry.state).toBe('ready');
    expect(entry.reason).toMatch(/^the newer version failed: model\.json: architecture: /);
    expect(idsOf(registry, 'tiny-resnet')).toEqual(before);
    expect(openIds('tiny-resnet').every((id) => before.includes(id))).toBe(true);
  });

  it('keeps the sessions of the old version for whoever is at work with it', async () => {
    const registry = await start();
    const work = gate();
    const before = registry.get('tiny-resnet');
    const working = registry.use('tiny-resnet', async (model) => {
      await work.promise;
      return openSession(registry, model, denseViews(model).view());
    });
    const reloading = registry.load('tiny-resnet');
    while (registry.get('tiny-resnet') === before) await new Promise(setImmediate);
    expect(sessions.ids).toContain(before.classifier.session.id);
    work.resolve();
    expect(await working).toBe(denseViews(before).view().session.id);
    await reloading;
    expect(sessions.ids).not.toContain(before.classifier.session.id);
  });
});

describe('a model whose files change while it is loaded', () => {
  const weights = (name: string): string => join(folder, name, 'model.safetensors');
  const failing = (registry: Registry, code: 'INFERENCE_FAILED' | 'WORKER_LOST' | 'QUEUE_FULL' = 'INFERENCE_FAILED') =>
    registry.use('tiny-vgg', () => Promise.reject(new ServiceError(code, 'as said')));
  async function replace(name: string): Promise<void> {
    const bytes = await readFile(weights(name));
    await writeFile(`${weights(name)}.new`, bytes.with(bytes.length - 1, bytes.at(-1)! ^ 1));
    await rename(`${weights(name)}.new`, weights(name));
  }

  it('stays ready with the reason where a file was replaced, and is itself again when the file is back', async () => {
    const registry = await start();
    const before = idsOf(registry, 'tiny-vgg');
    const bytes = await readFile(weights('tiny-vgg'));
    await replace('tiny-vgg');
    await expect(failing(registry)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect(registry.entry('tiny-vgg')).toMatchObject({
      state: 'ready',
      reason: 'model.safetensors: file: was replaced on disk after it was loaded; the model must be loaded again',
    });
    expect(await registry.use('tiny-vgg', () => Promise.resolve('answered'))).toBe('answered');
    expect(openIds('tiny-vgg').sort()).toEqual(before.sort());
    await rm(weights('tiny-vgg'));
    await writeFile(weights('tiny-vgg'), bytes);
    await expect(failing(registry)).rejects.toMatchObject({ code: 'INFERENCE_FAILED' });
    await replace('tiny-vgg');
    const entry = await registry.load('tiny-vgg');
    expect(entry.state).toBe('ready');
    expect(entry).not.toHaveProperty('reason');
    await expect(failing(registry)).rejects.toMatchObject({ code: 'INFERENCE_FAILED' });
  });

  it.each(['INFERENCE_FAILED', 'WORKER_LOST'] as const)(
    'fails at the first %s after a file was rewritten, closes its sessions, and can be loaded again',
    async (code) => {
      const reported: ModelEntry[] = [];
      const registry = await start({}, (entry) => reported.push(entry));
      await truncate(weights('tiny-vgg'), 5000);
      const error: unknown = await failing(registry, code).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'MODEL_NOT_FOUND',
        message: 'The files of the model "tiny-vgg" have changed since it was loaded; it must be loaded again.',
      });
      const reason =
        'model.safetensors: file: was rewritten on disk after it was loaded; the model must be loaded again';
      expect(registry.entry('tiny-vgg')).toMatchObject({ state: 'failed', reason });
      expect(registry.entry('tiny-vgg')).not.toHaveProperty('model');
      expect(reported.at(-1)).toMatchObject({ name: 'tiny-vgg', state: 'failed', reason });
      await expect(failing(registry)).rejects.toThrow('The model "tiny-vgg" is failed.');
      await expect.poll(() => openIds('tiny-vgg')).toEqual([]);
      expect(registry.entry('tiny-resnet').state).toBe('ready');
      expect(await registry.load('tiny-vgg')).toMatchObject({
        state: 'failed',
        reason: expect.stringMatching(/^model\.safetensors: /) as string,
      });
      await rm(join(folder, 'tiny-vgg'), { recursive: true });
      await writeTinyModel(folder, 'tiny-vgg');
      expect(await registry.load('tiny-vgg')).toMatchObject({ state: 'ready' });
    },
  );

  it('is not looked at when the failure is no fault of the engine', async () => {
    const registry = await start();
    await truncate(weights('tiny-vgg'), 5000);
    await expect(failing(registry, 'QUEUE_FULL')).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(registry.entry('tiny-vgg').state).toBe('ready');
  });

  it('is found out without a request, as long as the files are watched', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const registry = await start();
      const unwatch = registry.watchFiles();
      await truncate(weights('tiny-vgg'), 5000);
      vi.advanceTimersByTime(5000);
      await expect.poll(() => registry.entry('tiny-vgg').state).toBe('failed');
      unwatch();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('while its sessions are opened is told as such', async () => {
    sessions.failing = 'classify';
    sessions.onOpen = () => truncate(weights('tiny-vgg'), 5000);
    const registry = await start();
    expect(registry.entry('tiny-vgg').reason).toBe(
      'model.safetensors: file: was rewritten on disk after it was loaded',
    );
    expect(registry.entry('tiny-resnet').reason).toBe('it could not be opened; the log says why');
  });

  it('that fails while a newer version loads stays failed when that one is broken', async () => {
    const registry = await start();
    const release = sessions.hold('classify');
    sessions.failing = 'classify';
    const loading = registry.load('tiny-vgg');
    await expect
      .poll(() => sessions.asked.filter((id) => id.startsWith('tiny-vgg') && id.endsWith('classify')))
      .toHaveLength(2);
    await truncate(weights('tiny-vgg'), 5000);
    await expect(failing(registry)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    release();
    expect(await loading).toMatchObject({ state: 'failed' });
    await expect.poll(() => openIds('tiny-vgg')).toEqual([]);
  });
});

describe('load and unload of one model', () => {
  it('go one after the other: a load during an unload ends with its sessions open', async () => {
    const registry = await start();
    const work = gate();
    const working = registry.use('tiny-resnet', () => work.promise);
    const unloading = registry.unload('tiny-resnet');
    const loading = registry.load('tiny-resnet');
    // As long as a load takes: were it not to wait, it would have ended.
    await registry.load('tiny-vgg');
    work.resolve();
    await working;
    expect(await unloading).toMatchObject({ state: 'unloaded' });
    expect(await loading).toMatchObject({ state: 'ready' });
    expect(openIds('tiny-resnet').sort()).toEqual(idsOf(registry, 'tiny-resnet').sort());
  });

  it('go one after the other: of two loads the later one stays, and nothing of the first', async () => {
    const registry = await start();
    await Promise.all([registry.load('tiny-resnet'), registry.load('tiny-resnet')]);
    expect(openIds('tiny-resnet').sort()).toEqual(idsOf(registry, 'tiny-resnet').sort());
  });

  it('go one after the other: an unload during a load ends unloaded, with nothing open', async () => {
    const registry = await start();
    const release = sessions.hold('dense');
    const loading = registry.load('tiny-resnet');
    const unloading = registry.unload('tiny-resnet');
    release();
    expect(await loading).toMatchObject({ state: 'ready' });
    expect(await unloading).toMatchObject({ state: 'unloaded' });
    expect(registry.entry('tiny-resnet').state).toBe('unloaded');
    expect(openIds('tiny-resnet')).toEqual([]);
  });

  it('do not wait for those of another', async () => {
    const registry = await start();
    const work = gate();
    const working = registry.use('tiny-vgg', () => work.promise);
    const unloading = registry.unload('tiny-vgg');
    expect(await registry.load('tiny-resnet')).toMatchObject({ state: 'ready' });
    work.resolve();
    await Promise.all([working, unloading]);
  });
});

describe('sessions', () => {
  it('are all closed again when one of them does not open', async () => {
    sessions.failing = 'dense';
    const registry = await start();
    expect(registry.list().map(({ state }) => state)).toEqual(['failed', 'failed']);
    expect(sessions.asked.filter((id) => id.endsWith('classify'))).toHaveLength(2);
    expect([...sessions.ids]).toEqual([]);
  });

  it.each(['unload', 'load'] as const)('of a model are not opened again after its %s', async (change) => {
    const registry = await start();
    const before = registry.get('tiny-vgg');
    await registry[change]('tiny-vgg');
    const score = scoreView(before);
    await expect(openSession(registry, before, score)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect(sessions.asked).not.toContain(score.session.id);
  });

  it('that are still being opened when nobody waits for them any more are closed all the same', async () => {
    const registry = await start();
    const model = registry.get('tiny-vgg');
    const release = sessions.hold('score');
    const opening = openSession(registry, model, scoreView(model));
    const unloading = registry.unload('tiny-vgg');
    release();
    expect(await opening).toBe(scoreView(model).session.id);
    await unloading;
    expect(openIds('tiny-vgg')).toEqual([]);
  });
});

describe('an imported net', () => {
  const addOnnx = (): Promise<string> =>
    writeOnnxModel(folder, 'tiny-onnx', writeOnnx(tinyClassifier(HEADS[0]!)), TINY);
  const runs = (): string[] => sessions.asked.filter((asked) => asked.startsWith('run tiny-onnx'));

  it('whose class map agrees with its file has heatmaps, measured once for each content', async () => {
    await addOnnx();
    sessions.logits = { original: [1, -2], converted: [1.001, -2] };
    const registry = await start();
    const model = registry.get('tiny-onnx');
    expect(model.dense).toHaveProperty('outputStrides');
    expect(model.deviation).toBeCloseTo(0.0005, 6);
    expect(runs()).toHaveLength(4);
    await registry.load('tiny-onnx');
    expect(runs()).toHaveLength(4);
    expect(openIds('tiny-onnx').map((id) => id.split('/')[1])).toEqual(['classify', 'dense']);
  });

  it.each([
    ['differs', [1.01, -2], /^after conversion its logits differ by 0\.0100 from the file's, whose largest is 2\.00$/],
    ['is not a number', [NaN, -2], /differ by NaN/],
  ])('whose class map %s has none, and says by how much', async (_, converted, reason) => {
    await addOnnx();
    sessions.logits = { original: [1, -2], converted };
    const registry = await start();
    const model = registry.get('tiny-onnx');
    expect(model.dense).toMatchObject({ unavailable: expect.stringMatching(reason) as string });
    expect(openIds('tiny-onnx').map((id) => id.split('/')[1])).toEqual(['classify']);
    expect(() => denseViews(model)).toThrow(expect.objectContaining({ code: 'OUTPUT_UNSUPPORTED' }) as Error);
    expect(() => model.classifyView({ width: 32, height: 32 })).toThrow(/only inputs of 16×16/);
  });

  it('whose converted form the engine does not open still classifies', async () => {
    await addOnnx();
    sessions.failing = 'parity';
    const registry = await start();
    expect(registry.get('tiny-onnx').dense).toEqual({ unavailable: 'the engine cannot run its convolutional form' });
    expect(openIds('tiny-onnx').map((id) => id.split('/')[1])).toEqual(['classify']);
  });
});

describe('the default model', () => {
  it('is none while the configured one is not ready, and asking for it says so', async () => {
    await changeManifest('tiny-vgg', { architecture: 'vgg10' });
    const registry = await start({ defaultModel: 'tiny-vgg' });
    expect(registry.defaultName).toBeUndefined();
    expect(() => registry.get()).toThrow(
      expect.objectContaining({
        code: 'MODEL_NOT_FOUND',
        message: 'The model "tiny-vgg" is failed.',
        errors: [{ parameter: 'model', detail: 'must be one of: tiny-resnet' }],
      }),
    );
  });

  it('is none while the configured one is unloaded, and is it again after its load', async () => {
    const registry = await start({ defaultModel: 'tiny-vgg' });
    expect(registry.defaultName).toBe('tiny-vgg');
    await registry.unload('tiny-vgg');
    expect(registry.defaultName).toBeUndefined();
    expect(() => registry.get()).toThrow('The model "tiny-vgg" is unloaded.');
    await registry.load('tiny-vgg');
    expect(registry.defaultName).toBe('tiny-vgg');
  });

  it('must exist: the start fails and names the setting', async () => {
    await expect(start({ defaultModel: 'tiny' })).rejects.toThrow(
      /^FULLCONV_DEFAULT_MODEL=tiny: .*tiny-resnet, tiny-vgg$/,
    );
  });
});

describe("the default model's other name", () => {
  it('is asked, looked up, loaded and unloaded by', async () => {
    const registry = await start({ defaultAlias: 'cats' });
    expect(registry.get('cats')).toBe(registry.get('tiny-resnet'));
    expect(await registry.use('cats', ({ manifest }) => Promise.resolve(manifest.name))).toBe('tiny-resnet');
    expect(registry.has('cats')).toBe(true);
    expect(registry.versions('cats')).toEqual([registry.entry('tiny-resnet')]);
    expect(registry.list().map(({ name }) => name)).toEqual(['tiny-resnet', 'tiny-vgg']);
    await registry.unload('tiny-vgg');
    await registry.unload('cats');
    expect(registry.entry('tiny-resnet').state).toBe('unloaded');
    // None is the default now: it is known by that name all the same.
    expect(registry.entry('cats')).toEqual(registry.entry('tiny-resnet'));
    expect(await registry.load('cats')).toMatchObject({ name: 'tiny-resnet', state: 'ready' });
  });

  it('is none where the setting is empty, as it is at first', async () => {
    const registry = await start({ defaultAlias: '' });
    expect(registry.has('')).toBe(false);
    const refused = expect.objectContaining({ code: 'MODEL_NOT_FOUND' }) as Error;
    expect(() => registry.get('')).toThrow(refused);
    expect(() => registry.entry('')).toThrow(refused);
    await expect(registry.load('')).rejects.toThrow(refused);
    await expect(registry.unload('')).rejects.toThrow(refused);
    expect(registry.entry('tiny-resnet').state).toBe('ready');
  });

  it('means the configured one', async () => {
    const registry = await start({ defaultAlias: 'cats', defaultModel: 'tiny-vgg' });
    expect(registry.entry('cats').name).toBe('tiny-vgg');
  });

  it('is that of another model if there is one, also of one that has come later', async () => {
    const registry = await start({ defaultAlias: 'cats' });
    await writeTinyModel(folder, 'tiny-vgg', 'cats');
    expect(registry.entry('cats').name).toBe('tiny-resnet');
    expect(await registry.load('cats')).toMatchObject({ name: 'cats', state: 'ready' });
    expect(registry.entry('cats').name).toBe('cats');
  });
});

it('a folder of models that is one model has it under its own name', async () => {
  const registry = await start({ folder: join(folder, 'tiny-vgg'), defaultAlias: 'cats' });
  expect(registry.list()).toMatchObject([{ name: 'tiny-vgg', state: 'ready' }]);
  expect(registry.defaultName).toBe('tiny-vgg');
  expect(await registry.load('tiny-vgg')).toMatchObject({ state: 'ready' });
});

it('a model that is not ready, or not there, is refused with the names that are', async () => {
  const registry = await start();
  await registry.unload('tiny-vgg');
  for (const name of ['tiny-vgg', 'nothing']) {
    expect(() => registry.get(name)).toThrow(
      expect.objectContaining({
        code: 'MODEL_NOT_FOUND',
        errors: [{ parameter: 'model', detail: 'must be one of: tiny-resnet' }],
      }),
    );
  }
});

describe('the folder of models', () => {
  let elsewhere: string;
  beforeAll(async () => {
    elsewhere = await mkdtemp(join(tmpdir(), 'fullconv-elsewhere-'));
  });
  afterAll(() => rm(elsewhere, { recursive: true }));

  it('may hold links to model folders', async () => {
    await rename(join(folder, 'tiny-vgg'), join(elsewhere, 'vgg'));
    await symlink(join(elsewhere, 'vgg'), join(folder, 'tiny-vgg'));
    const registry = await start();
    expect(registry.list()).toMatchObject([{ name: 'tiny-resnet' }, { name: 'tiny-vgg', state: 'ready' }]);
  });

  it('may hold what is no model or cannot be read', async () => {
    await writeFile(join(folder, 'README'), '');
    await mkdir(join(folder, 'empty'));
    await symlink(join(folder, 'nowhere'), join(folder, 'dangling'));
    await symlink(join(folder, 'endless'), join(folder, 'endless'));
    await mkdir(join(folder, 'locked'));
    await chmod(join(folder, 'locked'), 0);
    const registry = await start();
    await chmod(join(folder, 'locked'), 0o755);
    expect(registry.list().map(({ name }) => name)).toEqual(['tiny-resnet', 'tiny-vgg']);
  });

  it.each(['nowhere', 'tiny-vgg/model.json'])(
    'that cannot be read fails the start and names the setting: %s',
    async (path) => {
      const missing = join(folder, path);
      await expect(start({ folder: missing })).rejects.toThrow(`FULLCONV_MODELS=${missing}: `);
    },
  );
});

it('an architecture to be served untrained must exist: the start fails and names the setting', async () => {
  await expect(start({ untrained: ['resnet19'] })).rejects.toThrow(/^FULLCONV_UNTRAINED=resnet19: .*resnet18/);
});

describe('the reason of a failed model', () => {
  it.each([
    ['a field of the manifest', { version: 1 }, /^model\.json: version: /],
    [
      'a version that is too long for a header',
      { version: '1'.repeat(21) },
      /^model\.json: version: must be .* at most 20 digits/,
    ],
    ['a version that a header cannot carry', { version: '1\n' }, /^model\.json: version: must be /],
    ['another name', { name: 'other' }, /^model\.json: name: must be "tiny-vgg", is "other"$/],
    ['an option', { options: { depth: 3 } }, /^model\.json: options: vgg11 has no option "depth"/],
    [
      'a missing file',
      { weights: { file: 'weights/absent.safetensors' } },
      /^weights\/absent\.safetensors: file: cannot be read$/,
    ],
    ['weights that do not fit', { options: { width: 16 } }, /tensor "\S+" must be \[.*\], is \[/],
  ])('tells what is wrong and not where models lie: %s', async (_, change, reason) => {
    await changeManifest('tiny-vgg', change);
    const errors: unknown[] = [];
    const registry = await start({}, (_entry, error) => errors.push(...(error === undefined ? [] : [error])));
    const entry = registry.entry('tiny-vgg');
    expect(entry.state).toBe('failed');
    expect(entry.reason).toMatch(reason);
    expect(entry.reason).not.toContain(folder);
    expect(errors).toHaveLength(1);
  });

  it('keeps what the engine says for the log', async () => {
    sessions.failing = 'classify';
    const errors: unknown[] = [];
    const registry = await start({}, (_entry, error) => errors.push(...(error === undefined ? [] : [error])));
    expect(registry.entry('tiny-vgg').reason).toBe('it could not be opened; the log says why');
    expect(String(errors[0])).toContain('/srv/secret');
  });
});
