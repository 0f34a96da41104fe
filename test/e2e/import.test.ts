/**
 * `fullconv import` of what other libraries wrote (test/fixtures/import), through the real command: the new model answers
 * about a picture as its own library does. And what is no model, or one that cannot be imported, is said in a sentence.
 */
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildArchitecture, parametersOf } from '../../src/architectures/index.js';
import { writeSafetensors } from '../../src/models/files/safetensors.js';
import type { Manifest } from '../../src/models/manifest.js';
import { generatedValues } from '../../src/models/networks/generated-weights.js';
import { runFullconv, type Ended } from '../support/command-line.js';
import { activated, expectedOutputs, writePicture } from '../support/import.js';
import { startServer } from '../support/server.js';
import { predict, save, tfl, withGeneratedWeights, type LayersModel } from '../support/tfjs.js';
import { WRONG_MODELS, zip } from '../support/wrong-models.js';
import sharp from 'sharp';

const fixture = (...parts: string[]): string =>
  join(fileURLToPath(new URL('../fixtures/import', import.meta.url)), ...parts);
const PICTURE = fixture('picture.png');
const SIZE = 64;

const { probabilities } = JSON.parse(await readFile(fixture('expected.json'), 'utf8')) as {
  readonly probabilities: Readonly<Record<string, readonly number[]>>;
};

let root: string;
let models: string;
let cache: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-import-'));
  cache = join(root, 'cache');
});
// Whoever asks one model waits for all of the folder.
beforeEach(async () => {
  models = await mkdtemp(join(root, 'models-'));
});
afterAll(() => rm(root, { recursive: true }));

const fullconv = (...args: string[]): Promise<Ended> =>
  runFullconv(
    { FULLCONV_MODELS: models, FULLCONV_CACHE: cache, FULLCONV_DEVICE: 'cpu', FULLCONV_WORKERS: '1' },
    ...args,
  );

interface Imported {
  readonly name: string;
  readonly folder: string;
  readonly classes: number;
  readonly labelsFrom?: string;
  readonly input: Manifest['input'];
  readonly guessed: readonly string[];
  readonly notes: readonly string[];
  readonly maps: { readonly outputStrides?: readonly number[]; readonly unavailable?: string };
}

async function imported(path: string, ...flags: string[]): Promise<Imported> {
  const { code, stdout, stderr } = await fullconv('import', path, '--json', ...flags);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Imported;
}

interface Answer {
  readonly labels: readonly string[];
  readonly ids: readonly string[];
  /** In class order. */
  readonly probabilities: readonly number[];
}

/** What the command line answers about the picture, which no step resizes. */
async function ask(model: string, photo = PICTURE): Promise<Answer> {
  const { code, stdout, stderr } = await fullconv('classify', photo, '--model', model, '--json', '--fit', 'stretch');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [{ predictions }] = JSON.parse(stdout) as [
    { predictions: { index: number; id: string; label: string; score: number }[] },
  ];
  const sorted = predictions.sort((a, b) => a.index - b.index);
  return {
    labels: sorted.map(({ label }) => label),
    ids: sorted.map(({ id }) => id),
    probabilities: sorted.map(({ score }) => score),
  };
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, index) => expect(Math.abs(value - expected[index]!)).toBeLessThan(2e-4));
}

const NAMES = ['tench', 'goldfish', 'great white shark', 'cock', 'hen'];

describe('an ONNX file', () => {
  it('of Ultralytics has names, size and preprocessing from its metadata', async () => {
    const { name, guessed, input, classes, maps } = await imported(fixture('ultralytics', 'ultralytics.onnx'));
    expect({ name, guessed, classes }).toEqual({ name: 'ultralytics', guessed: [], classes: 4 });
    expect(input).toMatchObject({ size: SIZE, resize: SIZE, range: 255, mean: [0, 0, 0], std: [1, 1, 1] });
    expect(maps.outputStrides?.[0]).toBe(2);
    const answer = await ask(name);
    expect(answer.labels).toEqual(["it's", 'a "quote"', 'naïve, or not', 'plain']);
    expectClose(answer.probabilities, probabilities['ultralytics']!);
  });

  it('that normalizes pixels itself gets them as they are, and names from labels.txt', async () => {
    const { name, input, guessed, labelsFrom } = await imported(fixture('normalizing', 'normalizing.onnx'));
    expect(labelsFrom).toBe('labels.txt');
    expect(input).toMatchObject({ range: 1, mean: [0, 0, 0], std: [1, 1, 1] });
    expect(guessed).toEqual(['resize', 'interpolation', 'channels']);
    const answer = await ask(name);
    expect(answer.labels).toEqual(NAMES);
    expectClose(answer.probabilities, probabilities['normalizing']!);
  });

  it('brings its files of weights, and synsets; ImageNet’s mean and deviation are a guess that is told', async () => {
    const { stdout, code } = await fullconv('import', fixture('external'), '--resize', '64');
    expect(code).toBe(0);
    expect(stdout.replace(/\s+/g, ' ')).toMatch(
      /--range 255 --mean 0\.485,0\.456,0\.406 --std 0\.229,0\.224,0\.225, because/,
    );
    expect(stdout).not.toContain('--resize 64');
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      `  fullconv classify photo.jpg --model external --models ${models}`,
    );
    const answer = await ask('external');
    expect(answer.ids).toEqual(['n01440764', 'n01443537', 'n01484850', 'n01514668', 'n01514859']);
    expectClose(answer.probabilities, probabilities['external']!);
  });

  it('has names in id2label, and takes flags for all that it does not say', async () => {
    const flags = [
      '--size',
      '64',
      '--resize',
      '70',
      '--channels',
      'RGB',
      '--range',
      '255',
      '--mean',
      '0.485,0.456,0.406',
    ];
    const more = ['--std', '0.229,0.224,0.225', '--interpolation', 'bicubic', '--output', 'logits', '--name', 'mine'];
    const { name, guessed, input } = await imported(fixture('described', 'described.onnx'), ...flags, ...more);
    expect({ name, guessed }).toEqual({ name: 'mine', guessed: [] });
    expect(input).toMatchObject({ resize: 70, interpolation: 'bicubic' });
    const answer = await ask('mine');
    expect(answer.labels).toEqual(NAMES);
    expectClose(answer.probabilities, probabilities['described']!);
  });

  it('gets the names of --labels, and is refused where they do not fit', async () => {
    const labels = join(root, 'names.json');
    await writeFile(labels, JSON.stringify({ 0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e' }));
    const path = fixture('normalizing', 'normalizing.onnx');
    expect(await imported(path, '--labels', labels, '--name', 'lettered')).toMatchObject({ labelsFrom: 'names.json' });
    expect((await ask('lettered')).labels).toEqual(['a', 'b', 'c', 'd', 'e']);
    await writeFile(labels, 'a\nb\n');
    const refused = await fullconv('import', path, '--labels', labels, '--name', 'other');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/--labels .*names\.json: has 2 names, but the net has 5 classes\n$/);
  });

  it('without names has classes by number', async () => {
    const alone = join(root, 'alone.onnx');
    await cp(fixture('normalizing', 'normalizing.onnx'), alone);
    const { labelsFrom, name } = await imported(alone);
    expect(labelsFrom).toBeUndefined();
    expect((await ask(name)).labels).toEqual([0, 1, 2, 3, 4].map((index) => `class ${index}`));
  });
});

describe('a model that is there already', () => {
  const path = fixture('described', 'described.onnx');

  it('stays as it is, unless --force replaces it', async () => {
    await imported(path, '--name', 'taken');
    const manifest = join(models, 'taken', 'model.json');
    const before = await readFile(manifest, 'utf8');
    const refused = await fullconv('import', path, '--name', 'taken', '--range', '1');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /taken already exists; --force replaces it, --name gives the new model another name\n$/,
    );
    expect(await readFile(manifest, 'utf8')).toBe(before);
    await imported(path, '--name', 'taken', '--range', '1', '--force');
    expect(JSON.parse(await readFile(manifest, 'utf8'))).toMatchObject({ input: { range: 1 } });
  });

  it('stays when the new one cannot be served, and nothing else is left', async () => {
    const broken = join(root, 'broken');
    await cp(fixture('external'), broken, { recursive: true });
    await truncate(join(broken, 'net.data'), 10);
    await imported(path, '--name', 'taken');
    const before = await readdir(models);
    const refused = await fullconv('import', broken, '--name', 'taken', '--force');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/tensor ".*": its data ends at byte \d+ of net\.data, which has 10\n$/);
    expect(await readdir(models)).toEqual(before);
    expect((await readdir(join(models, '.importing'))).filter((name) => !name.endsWith('.lock'))).toEqual([]);
    expect(JSON.parse(await readFile(join(models, 'taken', 'model.json'), 'utf8'))).toMatchObject({ name: 'taken' });
  });
});

describe('a folder of Hugging Face', () => {
  it("of transformers' ResNet has its labels, preprocessing and width", async () => {
    const { name, guessed, input } = await imported(fixture('hf-resnet'));
    expect({ name, guessed }).toEqual({ name: 'hf-resnet', guessed: [] });
    const filter = { interpolation: 'bicubic', channels: 'RGB', range: 255 };
    expect(input).toEqual({ size: SIZE, resize: SIZE, ...filter, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.25] });
    const answer = await ask(name);
    expect(answer.labels).toEqual(NAMES);
    expectClose(answer.probabilities, probabilities['hf-resnet']!);
    // Without an import of its own, from the cache.
    expect(await ask(fixture('hf-resnet'))).toEqual(answer);
  });

  it("of timm's has what its configuration says", async () => {
    const folder = join(root, 'timm-resnet18');
    await cp(fixture('timm-resnet18'), folder, { recursive: true });
    const graph = buildArchitecture('resnet18', { classes: NAMES.length });
    await writeSafetensors(
      join(folder, 'model.safetensors'),
      parametersOf(graph).map(({ name, dims }) => ({
        name,
        dims,
        values: () => generatedValues(name, dims).map((value) => (name.startsWith('fc.') ? 0.05 * value : value)),
      })),
    );
    const { name, input, guessed } = await imported(folder);
    expect({ guessed, size: input.size }).toEqual({ guessed: [], size: SIZE });
    const answer = await ask(name);
    expect(answer.labels).toEqual(NAMES);
    expectClose(answer.probabilities, probabilities['timm-resnet18']!);
  });

  it('whose net is not built in is told with the command that exports it', async () => {
    const folder = join(root, 'vit');
    await cp(fixture('hf-resnet'), folder, { recursive: true });
    await writeFile(join(folder, 'config.json'), JSON.stringify({ model_type: 'vit', id2label: { 0: 'a' } }));
    const { code, stderr } = await fullconv('import', folder);
    expect(code).toBe(1);
    expect(stderr).toMatch(/the net "vit" is not built in .*optimum-cli export onnx --task image-classification/);
  });

  it('without weights, or with a pointer in their place, says so', async () => {
    const folder = join(root, 'no-weights');
    await cp(fixture('hf-resnet'), folder, { recursive: true });
    await writeFile(
      join(folder, 'model.safetensors'),
      'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n',
    );
    expect((await fullconv('import', folder)).stderr).toMatch(/Git LFS pointer.*git lfs pull/);
    await rm(join(folder, 'model.safetensors'));
    expect((await fullconv('import', folder)).stderr).toMatch(/config\.json, but no weights beside it/);
  });
});

describe('weights alone in a safetensors file', () => {
  /** The normalization that the reference took. */
  const PREPARED = ['--size', String(SIZE), '--resize', String(SIZE), '--mean', '0.5,0.4,0.3', '--std', '0.2,0.3,0.25'];
  let file: string;
  beforeAll(async () => {
    file = join(root, 'weights-of-mine.safetensors');
    await cp(fixture('hf-resnet', 'model.safetensors'), file);
  });

  it('tell the architecture by their names and shapes', async () => {
    const { name, classes, notes, input } = await imported(file, ...PREPARED);
    expect({ name, classes }).toEqual({ name: 'weights-of-mine', classes: NAMES.length });
    expect(notes[0]).toMatch(/^\d+ tensors: resnet18, told from their names and shapes\.$/);
    expect(input.size).toBe(SIZE);
    expectClose((await ask(name)).probabilities, probabilities['hf-resnet']!);
  });

  it('of a net that takes any size have a size that is a guess', async () => {
    const { guessed, input } = await imported(file, '--name', 'sizeless');
    expect(input.size).toBe(224);
    expect(guessed).toContain('size');
  });

  it('of another architecture than the stated one are refused', async () => {
    expect((await fullconv('import', file, '--architecture', 'resnet19')).stderr).toMatch(
      /there is no such architecture/,
    );
    expect((await fullconv('import', file, '--architecture', 'resnet34', '--name', 'other')).stderr).toMatch(
      /it is not resnet34: /,
    );
  });
});

/** What other libraries computed, by file. */
const library = {
  keras2: await expectedOutputs('keras/outputs-keras2.json'),
  keras3: await expectedOutputs('keras/outputs-keras3.json'),
  pytorch: await expectedOutputs('pytorch/outputs.json'),
  'tfjs-graph': await expectedOutputs('tfjs-graph/outputs.json'),
};

describe('a file of Keras, PyTorch or TensorFlow', () => {
  const AS_THEY_ARE = ['--range', '1', '--mean', '0,0,0', '--std', '1,1,1'];
  const AROUND_0 = ['--range', '255', '--mean', '0.5,0.5,0.5', '--std', '1,1,1'];

  it.each<[what: string, by: keyof typeof library, file: string, ends: 'logits' | 'softmax', flags: readonly string[]]>(
    [
      ['.h5 of Keras 2 with a model inside of a model', 'keras2', 'transfer-keras2.h5', 'logits', []],
      ['.h5 of Keras 3', 'keras3', 'sequential-keras3.h5', 'softmax', []],
      ['.keras', 'keras3', 'transfer-keras3.keras', 'logits', []],
      ['.pth with a state dict', 'pytorch', 'resnet18.pth', 'logits', ['--size', '64', ...AROUND_0]],
      ['.ckpt of Lightning', 'pytorch', 'lightning-half.ckpt', 'logits', ['--size', '64', ...AROUND_0]],
      ['.pt in the form before 1.6', 'pytorch', 'resnet18-legacy.pt', 'logits', ['--size', '64', ...AROUND_0]],
      ['GraphModel', 'tfjs-graph', 'keras', 'softmax', AS_THEY_ARE],
    ],
  )('answers as its library does: %s', async (_, by, file, ends, flags) => {
    const { size, output } = library[by][file]!;
    const photo = join(root, `picture-${size}.png`);
    await writePicture(photo, size);
    const folder = by.replace(/\d$/, '');
    const { name, classes, maps } = await imported(
      fixture(folder, file),
      '--name',
      `${by}-${basename(file)}`,
      ...flags,
    );
    expect({ classes, maps }).toMatchObject({
      classes: output.length,
      maps: { outputStrides: expect.any(Array) as [] },
    });
    expectClose((await ask(name, photo)).probabilities, ends === 'softmax' ? output : activated(output, 'softmax'));
  });

  it("keras_model.h5 of Teachable Machine has its labels.txt and its site's preprocessing", async () => {
    const { size, normalized } = library.keras2['teachable-keras2.h5']!;
    const folder = join(root, 'my-keras-images');
    await mkdir(folder);
    await cp(fixture('keras', 'teachable-keras2.h5'), join(folder, 'keras_model.h5'));
    await writeFile(join(folder, 'labels.txt'), '0 Katze\n1 Class 2\n2 none of it\n');
    const photo = join(root, `picture-${size}.png`);
    await writePicture(photo, size);
    const { name, guessed, labelsFrom } = await imported(folder);
    expect({ name, guessed, labelsFrom }).toEqual({ name: 'my-keras-images', guessed: [], labelsFrom: 'labels.txt' });
    const answer = await ask(name, photo);
    expect(answer.labels).toEqual(['Katze', 'Class 2', 'none of it']);
    expectClose(answer.probabilities, normalized!);
  });
});

/** A net as Teachable Machine makes them: two Sequential models in one, the first a net without its head. */
function teachableNet(classes: number): LayersModel {
  const image = tfl.input({ shape: [SIZE, SIZE, 3], name: 'input_1' });
  let x = tfl.layers
    .conv2d({ filters: 8, kernelSize: 3, strides: 2, padding: 'same', useBias: false, name: 'Conv1' })
    .apply(image);
  x = tfl.layers.batchNormalization({ name: 'bn_Conv1' }).apply(x);
  x = tfl.layers.reLU({ maxValue: 6, name: 'Conv1_relu' }).apply(x);
  x = tfl.layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', useBias: false, name: 'dw' }).apply(x);
  const base = tfl.model({ inputs: image, outputs: x as tfl.SymbolicTensor, name: 'mobilenetv2_0.35_224' });
  const features = tfl.sequential({ name: 'features' });
  features.add(base);
  features.add(tfl.layers.globalAveragePooling2d({ name: 'pool' }));
  const head = tfl.sequential({ name: 'head' });
  head.add(tfl.layers.dense({ units: 10, activation: 'relu', inputShape: [8], name: 'dense_1' }));
  head.add(tfl.layers.dense({ units: classes, useBias: false, activation: 'softmax', name: 'dense_2' }));
  const whole = tfl.sequential({ name: 'whole' });
  whole.add(features);
  whole.add(head);
  return withGeneratedWeights(whole);
}

/** What TensorFlow.js answers about the picture, its pixels being normalized to [−1, 1]. */
async function reference(model: LayersModel): Promise<number[]> {
  const pixels = await sharp(PICTURE).removeAlpha().raw().toBuffer();
  const data = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, index) => {
    const [channel, place] = [Math.floor(index / SIZE ** 2), index % SIZE ** 2];
    return pixels[3 * place + channel]! / 127.5 - 1;
  });
  return [...predict(model, { dims: [1, 3, SIZE, SIZE], data }).data].map(Number);
}

describe('an export of Teachable Machine', () => {
  const labels = ['Katze', 'Class 2', 'none of it'];
  let folder: string;
  let expected: number[];
  beforeAll(async () => {
    folder = join(root, 'tm-my-image-model');
    const model = teachableNet(labels.length);
    expected = await reference(model);
    const { json, files } = await save(model);
    const [[, weights]] = [...files] as [[string, Uint8Array]];
    const manifest = json.weightsManifest.map((group) => ({ ...group, paths: ['weights.bin'] }));
    await mkdir(folder);
    await writeFile(
      join(folder, 'model.json'),
      JSON.stringify({ modelTopology: json.modelTopology, weightsManifest: manifest }),
    );
    await writeFile(join(folder, 'weights.bin'), weights);
    const about = {
      tfjsVersion: '1.3.1',
      tmVersion: '2.4.7',
      packageVersion: '0.8.4-alpha2',
      packageName: '@teachablemachine/image',
    };
    const metadata = {
      ...about,
      timeStamp: '2026-01-01T00:00:00.000Z',
      userMetadata: {},
      modelName: 'tm-my-image-model',
    };
    await writeFile(join(folder, 'metadata.json'), JSON.stringify({ ...metadata, labels, imageSize: SIZE }));
  });

  it('is recognized as it is: labels, size, preprocessing', async () => {
    const { name, input, guessed, labelsFrom } = await imported(folder);
    expect({ name, guessed, labelsFrom }).toEqual({
      name: 'tm-my-image-model',
      guessed: [],
      labelsFrom: 'the model itself',
    });
    expect(input).toMatchObject({ size: SIZE, resize: SIZE, channels: 'RGB', range: 255, mean: [0.5, 0.5, 0.5] });
    const answer = await ask(name);
    expect(answer.labels).toEqual(labels);
    expectClose(answer.probabilities, expected);
  });

  it('is recognized in the zip archive that it comes in', async () => {
    const archive = join(root, 'converted_tfjs.zip');
    const members = (await readdir(folder)).map(async (name) => ({
      name,
      bytes: await readFile(join(folder, name)),
      isDeflated: true,
    }));
    await writeFile(archive, zip(await Promise.all(members)));
    const { name, guessed } = await imported(archive);
    expect({ name, guessed }).toEqual({ name: 'converted_tfjs', guessed: [] });
    const answer = await ask(name);
    expect(answer.labels).toEqual(labels);
    expectClose(answer.probabilities, expected);
  });

  it('without metadata.json is a LayersModel, whose preprocessing is guessed by the name of the net inside', async () => {
    const plain = join(root, 'plain-layers');
    await cp(folder, plain, { recursive: true });
    await rm(join(plain, 'metadata.json'));
    const { name, input, guessed } = await imported(plain);
    expect(guessed).toContain('mean');
    expect(input).toMatchObject({ range: 255, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
    expectClose((await ask(name)).probabilities, expected);
  });

  it('of sounds is refused', async () => {
    const sounds = join(root, 'sounds');
    await cp(folder, sounds, { recursive: true });
    await writeFile(
      join(sounds, 'metadata.json'),
      JSON.stringify({ packageName: '@teachablemachine/audio', wordLabels: ['a'] }),
    );
    expect((await fullconv('import', sounds)).stderr).toMatch(/not for images: @teachablemachine\/audio/);
  });

  it('is served as it is by serve --model, and where it is dropped into the folder of models', async () => {
    const dropped = join(root, 'dropped');
    await cp(folder, join(dropped, 'my-images'), { recursive: true });
    await cp(fixture('described', 'described.onnx'), join(dropped, 'described.onnx'));
    await writeFile(join(dropped, 'lite.tflite'), WRONG_MODELS[0]!.bytes);
    await writeFile(join(dropped, 'README.md'), 'about');
    await mkdir(join(dropped, 'notes'));
    const environment = { FULLCONV_MODELS: dropped, FULLCONV_CACHE: cache };
    const server = await startServer(environment, undefined, ['--model', fixture('hf-resnet')]);
    try {
      const { models: listed } = (await (await fetch(`${server.url}/v1/models`)).json()) as { models: object[] };
      expect(listed).toMatchObject([
        { name: 'described', state: 'ready', default: false },
        { name: 'hf-resnet', state: 'ready', default: true },
        { name: 'lite', state: 'failed', reason: expect.stringMatching(/TensorFlow Lite.*tf2onnx/) as string },
        { name: 'my-images', state: 'ready' },
      ]);
      const photo = await readFile(PICTURE);
      const answers = async (model: string): Promise<number[]> => {
        const url = `${server.url}/v1/classify?fit=stretch&model=${model}`;
        const { results } = (await (await fetch(url, { method: 'POST', body: photo })).json()) as {
          results: [{ predictions: { index: number; probability: number }[] }];
        };
        return results[0].predictions.sort((a, b) => a.index - b.index).map(({ probability }) => probability);
      };
      expectClose(await answers('my-images'), expected);
      expectClose(await answers('hf-resnet'), probabilities['hf-resnet']!);
      expectClose(await answers('described'), probabilities['described']!);
      expect(server.log.join('\n')).toMatch(/"names":\["notes"\].*"in the folder of models, and no models"/);
    } finally {
      await server.stop();
    }
    const listed = await runFullconv(environment, 'models');
    expect(listed.stdout).toMatch(/lite +failed: .*TensorFlow Lite/);
    expect(listed.stdout).toContain('no models: notes');
    expect((await readdir(dropped)).sort()).toEqual([
      'README.md',
      'described.onnx',
      'lite.tflite',
      'my-images',
      'notes',
    ]);
  });
});

describe('what is no model that can be imported', () => {
  it.each(WRONG_MODELS.filter(({ kind }) => ['tflite', 'encrypted-zip', 'unknown'].includes(kind)))(
    'is said in one line: $name',
    async ({ bytes, words }) => {
      const file = join(root, 'wrong.onnx');
      await writeFile(file, bytes);
      const { code, stdout, stderr } = await fullconv('import', file, '--name', 'wrong');
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(words);
      expect(stderr.split('\n')).toHaveLength(2);
    },
  );

  it('a path where there is nothing', async () => {
    const { code, stderr } = await fullconv('import', join(root, 'nowhere'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/nowhere: there is no such file or folder\n$/);
  });
});

it('a model.json says all that is wrong with it at once', async () => {
  const folder = join(root, 'faulty');
  await imported(fixture('external'));
  await cp(join(models, 'external'), folder, { recursive: true });
  const manifest = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8')) as Manifest;
  const input = { ...manifest.input, size: 4, channels: 'GBR', mean: [0, 0], std: undefined };
  await writeFile(join(folder, 'model.json'), JSON.stringify({ ...manifest, version: 1, input, extra: true }));
  const { code, stderr } = await fullconv('inspect', folder);
  expect(code).toBe(1);
  for (const field of ['version', 'input.size', 'input.channels', 'input.mean', 'input.std: is missing', '"extra"']) {
    expect(stderr).toContain(field);
  }
  await appendFile(join(folder, 'model.json'), '}');
  expect((await fullconv('inspect', folder)).stderr).toMatch(/is not JSON from character \d+ on\n$/);
});
