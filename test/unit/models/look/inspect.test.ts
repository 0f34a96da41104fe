import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../../src/errors.js';
import { keepJson } from '../../../../src/files.js';
import { writeOnnx } from '../../../../src/graph/onnx/model.js';
import { allArchitectureFigures } from '../../../../src/models/look/architecture-figures.js';
import { compileModel } from '../../../../src/models/compile.js';
import type { ModelDescription } from '../../../../src/models/look/description.js';
import { inspectModel } from '../../../../src/models/look/inspect.js';
import { blocksOf, type Layer } from '../../../../src/models/look/layers.js';
import { readModelFolder } from '../../../../src/models/manifest.js';
import { hasShared, shared } from '../../../support/shared.js';
import { HEADS, HIDDEN_BEHIND_POOLING, TINY, tinyClassifier } from '../../../support/tiny-classifiers.js';
import { writeOnnxModel } from '../../../support/tiny-models.js';

const EMBEDDED = fileURLToPath(new URL('../../../../models', import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-inspect-'));
});
afterAll(() => rm(root, { recursive: true }));

const inspect = (what: string, models = EMBEDDED): Promise<ModelDescription> =>
  inspectModel(what, { models, cache: join(root, 'cache') });
const layer = ({ layers }: ModelDescription, name: string): Layer => layers.find((each) => each.name === name)!;

describe('an architecture with options', () => {
  const published = { models: EMBEDDED, cache: EMBEDDED };

  it('is described in the form that they say', async () => {
    const options = { columns: 3, blocks: 2, classes: 5, inputSize: 48 };
    const found = await inspectModel('fractalnet_cifar', { ...published, options });
    expect(found).toMatchObject({ options: { columns: 3, blocks: 2 }, classes: 5, nativeSize: 48 });
    expect(found.layers.filter(({ operator }) => operator === 'Conv')).toHaveLength(2 * (1 + 2 + 4));
  });

  it('is refused where it has no such option or value, and no model takes options', async () => {
    const refused = (what: string, options: Record<string, number>): Promise<string> =>
      inspectModel(what, { ...published, options }).then(
        () => '',
        (error: unknown) => (error instanceof UsageError ? error.message : String(error)),
      );
    expect(await refused('fractalnet_cifar', { columns: 99 })).toMatch(/^fractalnet_cifar: option "columns" must be/);
    expect(await refused('resnet18', { depth: 3 })).toMatch(/^resnet18 has no option "depth"/);
    expect(await refused('tinyimagenet-resnet18-w48', { width: 8 })).toMatch(/^Only an architecture takes options/);
  });
});

describe('the description of a model', () => {
  it('tells its net, its input, its class map and what it answers', async () => {
    const resnet = await inspect('tinyimagenet-resnet18-w48');
    const { digest } = await compileModel(await readModelFolder(join(EMBEDDED, 'tinyimagenet-resnet18-w48')), {
      load: 1,
      cache: root,
    });
    expect(resnet).toMatchObject({
      name: 'tinyimagenet-resnet18-w48',
      architecture: 'resnet18',
      options: { width: 48, stem: 'compact' },
      digest,
      classes: 200,
      input: { size: 144 },
      nativeSize: 144,
      head: { was: 'global average pooling → fully connected, 384 to 200' },
      classify: { sizes: 'any', smallest: 1 },
      heatmaps: {
        available: true,
        outputStrides: [
          { outputStride: 16, pixelCost: 1 },
          { outputStride: 8, pixelCost: expect.closeTo(1.9, 0) as number },
          { outputStride: 4, pixelCost: expect.any(Number) as number },
        ],
        edges: ['valid', 'same'],
        // Its receptive fields begin at 0.5; trained, it looks 5.5 pixels behind that.
        geometry: { outputStride: 16, offset: 6, receptiveField: 215 },
        cells: { width: 9, height: 9 },
        smallest: 1,
      },
    });
    expect(resnet.labels?.[0]).toEqual({ id: 'n01443537', label: 'goldfish' });
    expect(resnet).not.toHaveProperty('parity');
    expect(layer(resnet, 'layer2.0.conv1')).toEqual({
      name: 'layer2.0.conv1',
      operator: 'Conv',
      window: {
        kernel: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        padding: [
          [1, 1],
          [1, 1],
        ],
        ceil: false,
        groups: 1,
      },
      input: [48, 72, 72],
      output: [96, 36, 36],
      parameters: 48 * 96 * 9,
      multiplyAdds: 36 * 36 * 48 * 96 * 9,
    });
    // Half precision, and besides the parameters the running statistics of the normalizations.
    expect(resnet.weightBytes).toBe(2 * (resnet.parameters + 2 * 3600));
  });

  it('tells the layers and the map for an image of another size', async () => {
    const vgg = await inspectModel('vgg16', { models: EMBEDDED, cache: root, side: 512 });
    expect(vgg).toMatchObject({
      nativeSize: 224,
      size: 512,
      heatmaps: { cells: { width: 10, height: 10 }, sameCells: { width: 16, height: 16 } },
    });
    expect(layer(vgg, 'features.30').output).toEqual([512, 16, 16]);
    expect(layer(vgg, 'classifier.6').output).toEqual([1000, 10, 10]);
    expect((await inspect('vgg16')).layers.at(-1)?.output).toEqual([1000]);
  });

  it('tells the window of a fully connected head, and the convolutions that it became', async () => {
    const vgg = await inspect('tinyimagenet-vgg11bn-w32');
    expect(vgg.head).toEqual({
      was: 'fully connected over a window of 4×4 cells, 4096 to 512 to 512 to 200',
      became: 'convolutions of 4×4, 1×1, 1×1 over a map of any size',
    });
    expect(vgg).toMatchObject({
      classify: { sizes: 'any', smallest: 64 },
      heatmaps: { cells: { width: 1, height: 1 }, smallest: 64 },
    });
  });

  it('tells the layers behind the global pooling, one or several', async () => {
    expect((await inspect('inception_v4')).head).toEqual({
      was: 'global average pooling → fully connected, 1536 to 1000',
      became: '1×1 convolution, which gives the class map → global average pooling',
    });
    expect((await inspect('inception_resnet_v1_facenet')).head).toEqual({
      was: 'global average pooling → fully connected, 1792 to 512 to 1000',
      became: '1×1 convolutions, which give the class map → global average pooling',
    });
  });

  it('adds up to the figures of the architecture', async () => {
    for (const figures of allArchitectureFigures().filter(({ name }) => !/[0-9]{4}_cifar|398|160/.test(name))) {
      const { name, parameters, multiplyAdds, outputStride, offset, receptiveField, cells } = figures;
      const description = await inspect(name);
      expect(description).toMatchObject({ name, parameters, multiplyAdds });
      expect(description.heatmaps).toMatchObject(
        cells === undefined
          ? { available: false }
          : { geometry: { outputStride, offset, receptiveField }, cells: { width: cells, height: cells } },
      );
      expect(description.layers.reduce((sum, each) => sum + each.parameters, 0)).toBe(parameters);
      expect(blocksOf(description.layers).flatMap(({ layers }) => layers)).toEqual(description.layers);
    }
  });

  it('says why a net behind a spatial transformer has no class map', async () => {
    const reason = `node "transformer" (GridSample): the geometry behind it is each image's own`;
    const classify = { sizes: 'native', smallest: 32 };
    expect(await inspect('spatial_transformer')).toMatchObject({ classify, heatmaps: { available: false, reason } });
  });

  it('of an architecture has neither weights nor labels', async () => {
    const resnet = await inspect('resnet50');
    for (const field of ['digest', 'labels', 'input']) expect(resnet).not.toHaveProperty(field);
    expect(resnet).toMatchObject({ classes: 1000, nativeSize: 224 });
  });
});

describe('the description of an ONNX net', () => {
  it('says that nobody knows yet whether its class map is right, and then what was measured', async () => {
    const folder = await writeOnnxModel(root, 'measured', writeOnnx(tinyClassifier(HEADS[0]!)), TINY);
    const before = await inspect('measured', root);
    expect(before).toMatchObject({ parity: { tolerance: 1e-3 }, heatmaps: { available: true } });
    expect(before.parity).not.toHaveProperty('difference');

    const { parityCheck } = await compileModel(await readModelFolder(folder), { load: 1, cache: root });
    const cached = async (difference: number): Promise<ModelDescription> => {
      const measured = join(root, 'cache/parity/onnxruntime-cpu', `${parityCheck!.digest}.json`);
      await keepJson(measured, { difference, largest: 2 });
      return inspect('measured', root);
    };
    expect((await cached(1e-5)).parity).toEqual({ difference: 5e-6, tolerance: 1e-3 });
    const refused = await cached(0.1);
    expect(refused).toMatchObject({
      classify: { sizes: 'native' },
      heatmaps: {
        available: false,
        reason: expect.stringMatching(/^after conversion its logits differ by 0\.100 /) as string,
      },
    });
    expect(refused).not.toHaveProperty('parity');
  });

  it('says why there are no heatmaps', async () => {
    const folder = await writeOnnxModel(root, 'hidden', writeOnnx(tinyClassifier(HIDDEN_BEHIND_POOLING)), TINY);
    for (const [what, models] of [
      ['hidden', root],
      [folder, EMBEDDED],
    ] as const) {
      const hidden = await inspect(what, models);
      expect(hidden.heatmaps).toEqual({
        available: false,
        reason: expect.stringMatching(/^its head is not /) as string,
      });
      expect(hidden.head.was).toMatch(/Softmax → (Reshape|Flatten) → Gemm$/);
      expect(hidden.head).not.toHaveProperty('became');
    }
  });

  it('needs no folder: its file says how many classes it has', async () => {
    const folder = await writeOnnxModel(root, 'bare', writeOnnx(tinyClassifier(HEADS[0]!)), TINY);
    const bare = await inspect(join(folder, 'model.onnx'));
    expect(bare).toMatchObject({ name: 'model.onnx', architecture: 'onnx', classes: 5, nativeSize: 16 });
    for (const field of ['labels', 'input']) expect(bare).not.toHaveProperty(field);
  });

  it.skipIf(!hasShared)('tells SqueezeNet: its convolution to the classes is the class map', async () => {
    const squeezenet = await inspect(shared('models/squeezenet1_1/SqueezeNet_fp16.onnx'));
    expect(squeezenet).toMatchObject({
      classes: 1000,
      parameters: 1235496,
      weightBytes: 2 * 1235496,
      head: {
        was: 'convolution to the classes → global average pooling',
        became: 'the map that is pooled is the class map',
      },
      heatmaps: { cells: { width: 13, height: 13 } },
      parity: { tolerance: 1e-2 },
    });
  });
});

it.each([
  ['nothing', /^There is no model "nothing" in .*, no such model folder or ONNX file, and no such architecture\.$/],
  [fileURLToPath(import.meta.url), /not an ONNX model/],
])('refuses %s and says why', async (what, message) => {
  await expect(inspect(what)).rejects.toThrow(message);
});

describe('blocks', () => {
  const blocks = (...names: string[]): string[] =>
    blocksOf(
      names.map((name, index) => ({
        name,
        operator: 'Relu',
        input: [1, index, index],
        output: [1, index, index],
        parameters: 0,
        multiplyAdds: 0,
      })),
    ).map(({ name, layers }) => `${name}: ${layers.length}`);

  it('are named by the path to the first number', () => {
    expect(blocks('layer1.0.conv1', 'layer1.0.downsample.0', 'layer1.1.conv1')).toEqual(['layer1.0: 2', 'layer1.1: 1']);
    expect(blocks('stages.0.blocks.0.conv', 'stages.0.blocks.1.conv')).toEqual(['stages.0: 2']);
    expect(blocks('Mixed_5b.branch1x1.conv', 'Mixed_5b', 'Mixed_5c.pool')).toEqual(['Mixed_5b: 2', 'Mixed_5c: 1']);
    expect(blocks('/layer1/layer1.0/conv1/Conv', '/layer1/layer1.0/relu/Relu')).toEqual(['layer1: 2']);
  });

  it('are those of one map size where names tell nothing', async () => {
    const { layers } = await inspect('vgg16');
    expect(blocksOf(layers).map(({ name }) => name)).toEqual([
      'features.0 … features.3',
      'features.4 … features.8',
      'features.9 … features.15',
      'features.16 … features.22',
      'features.23 … features.29',
      'features.30',
      'flatten … classifier.6',
    ]);
  });
});
