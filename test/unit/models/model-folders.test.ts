import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isModelFolder } from '../../../src/models/import/import-to-cache.js';
import { checkHoldsModels, findGivenModel, findModels } from '../../../src/models/model-folders.js';
import { writeTinyModel } from '../../support/tiny-models.js';

const ONNX = fileURLToPath(new URL('../../fixtures/import/described/described.onnx', import.meta.url));

const NONE: ReadonlyMap<string, string> = new Map();

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-folders-'));
  await writeTinyModel(root, 'tiny-vgg', 'flowers');
  await cp(ONNX, join(root, 'flowers.onnx'));
  await cp(ONNX, join(root, 'trees, old.dat'));
  await mkdir(join(root, 'v1.2', 'onnx'), { recursive: true });
  await cp(ONNX, join(root, 'v1.2', 'onnx', 'model.onnx'));
  await mkdir(join(root, 'layers'));
  await writeFile(join(root, 'layers', 'model.json'), '{"modelTopology": {}, "weightsManifest": []}');
  await mkdir(join(root, 'notes'));
  await writeFile(join(root, 'notes', 'train.py'), 'print()');
  await writeFile(join(root, 'start.sh'), 'true');
  await writeFile(join(root, 'README.md'), 'about');
  await writeFile(join(root, '.hidden.onnx'), '');
  await writeFile(join(root, 'half.onnx.tmp'), '');
});
afterAll(() => rm(root, { recursive: true }));

it('all that might be a model in a folder of models has a name of its own, and the rest is listed', async () => {
  const { models, others } = await findModels(root);
  expect(Object.fromEntries(models)).toEqual({
    flowers: join(root, 'flowers'),
    'flowers.onnx': join(root, 'flowers.onnx'),
    layers: join(root, 'layers'),
    'trees-old': join(root, 'trees, old.dat'),
    'v1.2': join(root, 'v1.2'),
  });
  expect(others).toEqual(['notes', 'start.sh']);
});

it("a TensorFlow.js model's model.json makes no model folder", async () => {
  expect(await isModelFolder(join(root, 'flowers'))).toBe(true);
  expect(await isModelFolder(join(root, 'layers'))).toBe(false);
  expect(await isModelFolder(join(root, 'flowers.onnx'))).toBe(false);
});

it('a model that is given by its path has the name of its manifest, or one made of the path', async () => {
  expect(await findGivenModel(join(root, 'flowers'), NONE)).toEqual(['flowers', join(root, 'flowers')]);
  expect(await findGivenModel(join(root, 'v1.2', 'onnx', 'model.onnx'), NONE)).toMatchObject(['v1.2', {}]);
  const others = new Map([['flowers', '/elsewhere']]);
  expect(await findGivenModel(join(root, 'flowers.onnx'), others)).toMatchObject(['flowers-2', {}]);
  await expect(findGivenModel(join(root, 'flowers'), others)).rejects.toThrow(/another model called "flowers"/);
  await expect(findGivenModel(join(root, 'nowhere'), NONE)).rejects.toThrow(/--model .*nowhere: there is no such file/);
});

describe('a folder that is one model, and no folder of models', () => {
  let folder: string;
  beforeEach(async () => {
    folder = join(root, 'one');
    await mkdir(folder);
  });
  afterEach(() => rm(folder, { recursive: true }));
  const found = async (): Promise<Record<string, string>> => Object.fromEntries((await findModels(folder)).models);

  it('holds a manifest, which has its name', async () => {
    await cp(join(root, 'flowers'), folder, { recursive: true });
    await cp(ONNX, join(folder, 'other.onnx'));
    expect(await found()).toEqual({ flowers: folder });
  });

  it('holds a manifest that cannot be read: the name is that of the folder', async () => {
    await writeFile(join(folder, 'model.json'), '{');
    expect(await found()).toEqual({ one: folder });
  });

  it("holds the topology of a TensorFlow.js model, or Hugging Face's configuration", async () => {
    await cp(join(root, 'layers'), folder, { recursive: true });
    expect(await found()).toEqual({ one: folder });
    await rm(join(folder, 'model.json'));
    await writeFile(join(folder, 'config.json'), '{"model_type": "resnet"}');
    expect(await found()).toEqual({ one: folder });
  });

  it('holds versions of a model and texts', async () => {
    await writeFile(join(folder, 'README.md'), 'about');
    for (const version of ['1', '2']) await cp(join(root, 'flowers'), join(folder, version), { recursive: true });
    expect(await found()).toEqual({ flowers: folder });
    await cp(join(root, 'flowers'), join(folder, 'other'), { recursive: true });
    expect(Object.keys(await found())).toEqual(['1', '2', 'other']);
  });

  it('takes no models', async () => {
    await checkHoldsModels(folder);
    await checkHoldsModels(join(folder, 'new'));
    await cp(join(root, 'flowers'), folder, { recursive: true });
    await expect(checkHoldsModels(folder)).rejects.toThrow(`${folder} is a model itself`);
  });

  it('is not one with a model that has a number for a name', async () => {
    await writeTinyModel(folder, 'tiny-vgg', '7');
    expect(await found()).toEqual({ 7: join(folder, '7') });
  });

  it("is not one with files of models, folders of models, or somebody else's config.json", async () => {
    await cp(ONNX, join(folder, 'model.onnx'));
    expect(await found()).toEqual({ model: join(folder, 'model.onnx') });
    await writeFile(join(folder, 'config.json'), '{"port": 80}');
    expect(await found()).toEqual({ model: join(folder, 'model.onnx') });
    await mkdir(join(folder, '7'));
    expect(await found()).toEqual({ model: join(folder, 'model.onnx') });
  });
});
