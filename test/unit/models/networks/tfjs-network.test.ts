/** A LayersModel's files, and what is refused of them: what they compute stands in tfjs-conformance.test.ts. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ModelFolder } from '../../../../src/models/manifest.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { loadTfjsLayers } from '../../../../src/models/networks/tfjs-network.js';
import {
  save,
  tfl,
  withGeneratedWeights,
  writeTfjsModel,
  type SavedModel,
  type SymbolicTensor,
} from '../../../support/tfjs.js';

const { layers } = tfl;
const TINY = { size: 16, classes: 5 };

/** Two branches, a nested model, every kind of weight. */
function tinyModel(): Promise<SavedModel> {
  const inner = tfl.sequential({
    name: 'inner',
    layers: [layers.depthwiseConv2d({ name: 'spatial', kernelSize: 3, padding: 'same', inputShape: [8, 8, 4] })],
  });
  const input = tfl.input({ name: 'photo', shape: [16, 16, 3] });
  const stem = layers.conv2d({ name: 'stem', filters: 4, kernelSize: 3, strides: 2, padding: 'same' }).apply(input);
  const normalized = layers.batchNormalization({ name: 'normalized' }).apply(stem);
  const sum = layers.add({ name: 'sum' }).apply([normalized, inner.apply(normalized)] as SymbolicTensor[]);
  const pooled = layers.globalAveragePooling2d({ name: 'pooled' }).apply(sum);
  const logits = layers.dense({ name: 'scores', units: 5 }).apply(pooled);
  return save(withGeneratedWeights(tfl.model({ name: 'tiny', inputs: input, outputs: logits as SymbolicTensor })));
}

let root: string;
let saved: SavedModel;
beforeAll(async () => {
  saved = await tinyModel();
});
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-tfjs-network-'));
});
afterEach(() => rm(root, { recursive: true }));

const write = (model = saved): Promise<ModelFolder> => writeTfjsModel(join(root, 'tiny'), model, TINY);
const load = (content: ModelFolder) => loadTfjsLayers(content, join(root, 'cache'));

/** The model with one value of its JSON replaced; a path may begin with `@` and the name of a layer. */
function changed(path: string, by: unknown): SavedModel {
  const { layers: entries } = (saved.json.modelTopology as { config: { layers: { name: string }[] } }).config;
  const keys = path.split('.').flatMap((key) => {
    if (!key.startsWith('@')) return [key];
    const position = entries.findIndex(({ name }) => name === key.slice(1));
    return ['modelTopology', 'config', 'layers', String(position)];
  });
  return { ...saved, json: replaced(saved.json, keys, by) as SavedModel['json'] };
}

describe('loadTfjsLayers', () => {
  it('names the digests of its JSON and of all of its weights, which are part of what is converted', async () => {
    const content = await write();
    const network = await load(content);
    expect(network).toMatchObject({
      nativeSize: { width: 16, height: 16 },
      weightsFolder: join(root, 'cache/weights'),
    });
    expect(network.parameters).toBe(3 * 3 * 3 * 4 + 4 + 2 * 4 + 3 * 3 * 4 + 4 + 4 * 5 + 5);
    const [path] = saved.files.keys();
    const bytes = await readFile(join(content.folder, 'tfjs', path!));
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(join(content.folder, 'tfjs', path!), bytes);
    const other = await load(content);
    expect(other.fileDigest).toBe(network.fileDigest);
    expect(other.weightsDigest).not.toBe(network.weightsDigest);
    const converted = (await readdir(join(root, 'cache/weights'))).filter((name) => name.endsWith('.safetensors'));
    expect(converted).toHaveLength(2);
  });

  it('converts once', async () => {
    const content = await write();
    const first = await load(content);
    const written = await readdir(first.weightsFolder);
    expect(await load(content)).toEqual(first);
    expect(await readdir(first.weightsFolder)).toEqual(written);
  });

  it('ignores weights that no layer has', async () => {
    const extra = { name: 'training/step', shape: [], dtype: 'int32' };
    const content = await write(changed('weightsManifest.1', { paths: ['step.bin'], weights: [extra] }));
    await writeFile(join(content.folder, 'tfjs/step.bin'), Buffer.alloc(4));
    await expect(load(content)).resolves.toMatchObject({ nativeSize: { width: 16, height: 16 } });
  });
});

/** Models inside of models, 30 levels. */
const NESTED = Array.from({ length: 30 }).reduce<object>(
  (inner, _, level) => ({
    class_name: 'Sequential',
    config: { name: `level${30 - level}`, layers: [{ ...inner, name: `level${30 - level}` }] },
  }),
  { class_name: 'Sequential', config: [] },
);

/** On each of 14 levels the model inside is called on its own result. */
const DOUBLING = Array.from({ length: 14 }).reduce<object>(
  (inner) => ({
    class_name: 'Functional',
    config: {
      name: 'twice',
      layers: [
        {
          class_name: 'InputLayer',
          name: 'photo',
          config: { batch_input_shape: [null, 16, 16, 3] },
          inbound_nodes: [],
        },
        { ...inner, name: 'inner', inbound_nodes: [[['photo', 0, 0, {}]], [['inner', 0, 0, {}]]] },
      ],
      input_layers: [['photo', 0, 0]],
      output_layers: [['inner', 1, 0]],
    },
  }),
  { class_name: 'Sequential', config: [{ class_name: 'ReLU', config: { name: 'relu' } }] },
);

const refuse = (content: ModelFolder): Promise<unknown> => load(content).catch((thrown: unknown) => thrown);

describe('a LayersModel is refused, naming file and field, when', () => {
  it.each<[string, string, unknown, string, RegExp]>([
    ['it is a GraphModel', 'format', 'graph-model', 'format', /GraphModel/],
    ['it is a GraphModel that does not say so', 'modelTopology', { node: [] }, 'modelTopology', /GraphModel/],
    ['it has no topology', 'modelTopology', null, 'modelTopology', /expected object/],
    [
      'it is of no known class',
      'modelTopology.class_name',
      'Frobnicator',
      'modelTopology.class_name',
      /"Frobnicator" is not one of/,
    ],
    ['it has no layers', 'modelTopology.config.layers', [], 'layer "photo"', /does not exist/],
    ['a layer has a class that cannot be read', '@sum.class_name', 'Lambda', 'layer "sum" (Lambda)', /cannot be read/],
    [
      'a layer is called as a property of all objects',
      '@sum.class_name',
      'constructor',
      'layer "sum" (constructor)',
      /cannot be read/,
    ],
    ['two layers have one name', '@normalized.name', 'stem', 'layer "stem"', /is given twice/],
    [
      'a layer reads what is not there',
      '@pooled.inbound_nodes.0.0.0',
      '__proto__',
      'layer "__proto__"',
      /does not exist/,
    ],
    [
      'a layer reads a call that is not there',
      '@pooled.inbound_nodes.0.0.1',
      7,
      'layer "sum"',
      /call 7 does not exist/,
    ],
    ['a layer reads a result that is not there', '@pooled.inbound_nodes.0.0.2', 7, 'layer "sum"', /no result 7/],
    [
      'its layers read each other in a circle',
      '@stem.inbound_nodes.0.0.0',
      'sum',
      'layer "stem"',
      /depend on its own result/,
    ],
    ['a size is negative', '@stem.config.strides', [-1, 1], 'layer "stem" (Conv2D)', /strides/],
    ['a size is huge', '@stem.config.dilation_rate', 2 ** 40, 'layer "stem" (Conv2D)', /dilation_rate/],
    ['a size is no number', '@stem.config.kernel_size', 'three', 'layer "stem" (Conv2D)', /kernel_size/],
    [
      'its kernel has another size',
      '@stem.config.kernel_size',
      5,
      'node "stem.conv" (Conv)',
      /kernel_shape \[5, 5\] is not the weight's \[3, 3\]/,
    ],
    [
      'its channels come first',
      '@stem.config.data_format',
      'channels_first',
      'layer "stem" (Conv2D)',
      /only channels_last/,
    ],
    [
      'its activation is not known',
      '@stem.config.activation',
      'toString',
      'layer "stem" (Conv2D)',
      /"toString" is not known/,
    ],
    [
      'the statistics are of another axis',
      '@normalized.config.axis',
      1,
      'layer "normalized" (BatchNormalization)',
      /axis is \[1\]/,
    ],
    ['its image is gray', '@photo.config.batch_input_shape.3', 1, 'node "stem.conv" (Conv)', /sizes disagree/],
    [
      'its input has a negative size',
      '@photo.config.batch_input_shape',
      [null, -16, 16, 3],
      'layer "photo" (InputLayer)',
      /not a list of sizes/,
    ],
    ['its input is no image', '@photo.config.batch_input_shape', [null, 48], 'layer "stem" (Conv2D)', /rank 2/],
    [
      'it has a billion pixels',
      '@photo.config.batch_input_shape',
      [null, 1e5, 1e5, 3],
      'input "photo"',
      /100000×100000 pixels; a side may have at most 4096/,
    ],
    ['models are nested without end', 'modelTopology', NESTED, 'layer "level17"', /nested deeper than 16/],
    [
      'a weight is missing',
      'weightsManifest.0.weights.0.name',
      'other/kernel',
      'layer "stem" (Conv2D)',
      /kernel the weight is missing/,
    ],
    [
      'a weight has another rank',
      'weightsManifest.0.weights.0.shape',
      [27, 4],
      'layer "stem" (Conv2D)',
      /is \[27, 4\], not of rank 4/,
    ],
    [
      'a weight has other dimensions',
      'weightsManifest.0.weights.0.shape',
      [3, 3, 2, 6],
      'node "stem.conv" (Conv)',
      /sizes disagree|bias/,
    ],
    [
      'a weight is given twice',
      'weightsManifest.0.weights.1.name',
      'stem/kernel',
      'weight "stem/kernel"',
      /is given twice/,
    ],
    [
      'a file is given twice',
      'weightsManifest.0.paths',
      ['group1-shard1of1.bin', './group1-shard1of1.bin'],
      'weightsManifest.0',
      /"group1-shard1of1.bin" is given twice/,
    ],
    [
      'a weight has more bytes than there are',
      'weightsManifest.0.weights.0.shape',
      [1e9, 1e9, 1e9, 1e9],
      'weightsManifest.0',
      /its weights need .* its files have/,
    ],
    [
      'a weight has fewer bytes than there are',
      'weightsManifest.0.weights.0.shape',
      [1],
      'weightsManifest.0',
      /its weights need .* its files have/,
    ],
    [
      'a dimension is negative',
      'weightsManifest.0.weights.0.shape.0',
      -3,
      'weightsManifest.0.weights.0.shape.0',
      /too small/i,
    ],
    [
      'a type is not known',
      'weightsManifest.0.weights.0.dtype',
      'string',
      'weightsManifest.0.weights.0.dtype',
      /invalid option/i,
    ],
    [
      'a quantization has no scale',
      'weightsManifest.0.weights.0.quantization',
      { dtype: 'uint8', min: 0 },
      'weightsManifest.0.weights.0.quantization',
      /invalid/i,
    ],
    [
      'a path leaves the folder',
      'weightsManifest.0.paths',
      ['../secret.bin'],
      'weightsManifest.0.paths.0',
      /must lie inside/,
    ],
    ['a path is absolute', 'weightsManifest.0.paths', ['/etc/passwd'], 'weightsManifest.0.paths.0', /must lie inside/],
    ['a path is an address', 'weightsManifest.0.paths', ['https://example.com/w.bin'], 'file', /cannot be read/],
    ['a path is a folder', 'weightsManifest.0.paths', ['folder'], 'file', /is a folder, not a regular file/],
    [
      'a path is a link out of the folder',
      'weightsManifest.0.paths',
      ['link.bin'],
      'file',
      /leaves the model's folder/,
    ],
    ['a path holds a zero byte', 'weightsManifest.0.paths', ['w\0.bin'], 'file', /cannot be read/],
  ])('%s', async (_, path, by, field, detail) => {
    const content = await write(changed(path, by));
    await mkdir(join(content.folder, 'tfjs/folder'));
    await writeFile(join(root, 'secret.bin'), Buffer.alloc(4000));
    await symlink(join(root, 'secret.bin'), join(content.folder, 'tfjs/link.bin'));
    const error = await refuse(content);
    expect(error).toBeInstanceOf(ModelFileError);
    expect(error).toMatchObject({ field, message: expect.stringMatching(detail) as string });
    expect(Object.prototype).not.toHaveProperty('name');
  });

  it('it has another number of classes', async () => {
    const content = await write();
    const error = await refuse({ ...content, labels: content.labels.slice(1) });
    expect(error).toMatchObject({ message: expect.stringMatching(/\[1, 5\], but there are 4 labels/) as string });
  });

  it('a file of weights was cut off', async () => {
    const content = await write();
    const [path, bytes] = [...saved.files][0]!;
    await truncate(join(content.folder, 'tfjs', path), bytes.length - 1);
    await expect(refuse(content)).resolves.toMatchObject({ field: 'weightsManifest.0' });
  });

  it('its JSON is no JSON, gives a key twice, is a million lists deep, or too large', async () => {
    const content = await write();
    const file = join(content.folder, 'tfjs/model.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.slice(0, -1));
    await expect(refuse(content)).resolves.toMatchObject({
      file,
      message: expect.stringMatching('is not JSON') as string,
    });
    await writeFile(file, text.replace('"format"', '"weightsManifest":[],"format"'));
    await expect(refuse(content)).resolves.toMatchObject({ field: 'weightsManifest' });
    const deep = `${'['.repeat(1e6)}${']'.repeat(1e6)}`;
    await writeFile(file, text.replace('"config":{', `"config":${deep},"was":{`));
    await expect(refuse(content)).resolves.toMatchObject({
      field: 'file',
      detail: 'has more than 100 objects and lists inside of one another',
    });
    await truncate(file, 3e9);
    await expect(refuse(content)).resolves.toMatchObject({
      field: 'file',
      message: expect.stringMatching('at most') as string,
    });
  });

  it('nested models are called twice on each level: their calls are counted', async () => {
    const content = await write(changed('modelTopology', DOUBLING));
    await expect(refuse(content)).resolves.toMatchObject({
      message: expect.stringMatching(/more than 20000 calls/) as string,
    });
  });
});

describe('whatever is damaged', () => {
  it('in the JSON, value by value, nothing but a ModelFileError is thrown', async () => {
    const content = await write();
    const file = join(content.folder, 'tfjs/model.json');
    const damages = [null, -1, 0.5, 1e308, 2 ** 40, '', 'x', '__proto__', [], {}, [[[[]]]], true];
    let refused = 0;
    for (const [position, path] of pathsIn(saved.json).entries()) {
      const damage = damages[position % damages.length];
      await writeFile(file, JSON.stringify(replaced(saved.json, path, damage)));
      const result = await refuse(content);
      if (result instanceof Error) {
        expect(result, `${path.join('.')} = ${JSON.stringify(damage)}`).toBeInstanceOf(ModelFileError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });

  it('in the JSON, byte by byte, nothing but a ModelFileError is thrown', async () => {
    const content = await write();
    const file = join(content.folder, 'tfjs/model.json');
    const bytes = await readFile(file);
    for (let i = 0; i < bytes.length; i += 23) {
      await writeFile(
        file,
        bytes.map((byte, position) => (position === i ? byte ^ (1 << (i % 7)) : byte)),
      );
      const result = await refuse(content);
      if (result instanceof Error) expect(result).toBeInstanceOf(ModelFileError);
    }
  });
});

function pathsIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, [...path, key]));
  return path.length === 0 ? below : [path, ...below];
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}
