/**
 * The experiments on residual nets: on nets that are made up for it everywhere, on ResNet-20 with its published weights
 * where those are. Expected counts on its 100 images were computed by a forward pass written in numpy.
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from '../../../src/experiments/lab.js';
import { lesion } from '../../../src/experiments/lesion.js';
import { paths } from '../../../src/experiments/paths.js';
import { refine } from '../../../src/experiments/refine.js';
import { asMarkdown, type Findings } from '../../../src/experiments/report.js';
import { responses } from '../../../src/experiments/responses.js';
import { int } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { generatedUniform } from '../../../src/models/networks/generated-weights.js';
import { testLab } from '../../support/lab.js';
import { hasShared, shared } from '../../support/shared.js';
import { INPUT, writeManifest, writeOnnxModel, writeSmallVgg, writeTinyModel } from '../../support/tiny-models.js';

const SIDE = 8;
const CHANNELS = 3;
const CELLS = CHANNELS * SIDE * SIDE;

/** Blocks y = ReLU(x + gain·x) behind each other on numbers above 0, and logits that are the last map as it is. */
function scalingNet(gains: readonly number[]): Uint8Array {
  const b = graphBuilder({ name: 'scaling' });
  const identity = (size: number, gain: number): number[] =>
    Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? gain : 0));
  const pointwise = (x: string, name: string, gain: number, bias: number): string => {
    const weight = b.constant(`${name}.weight`, 'float32', [CHANNELS, CHANNELS, 1, 1], identity(CHANNELS, gain));
    const offset = b.constant(`${name}.bias`, 'float32', [CHANNELS], Array<number>(CHANNELS).fill(bias));
    return b.node('Conv', [x, weight, offset], { name });
  };
  let x = pointwise(b.input('input', 'float32', ['N', CHANNELS, SIDE, SIDE]), 'stem', 1, 10);
  for (const [index, gain] of gains.entries()) {
    x = b.node('Relu', [b.node('Add', [pointwise(x, `blocks.${index}.conv`, gain, 0), x])]);
  }
  const flat = b.node('Flatten', [x], { attributes: { axis: int(1) } });
  const weight = b.constant('fc.weight', 'float32', [CELLS, CELLS], identity(CELLS, 1));
  const bias = b.constant('fc.bias', 'float32', [CELLS], Array<number>(CELLS).fill(0));
  b.node('Gemm', [flat, weight, bias], { output: 'logits', attributes: { transB: int(1) } });
  return writeOnnx(b.finish([{ name: 'logits', dataType: 'float32', dims: ['N', CELLS] }]));
}

let root: string;
let images: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-residual-'));
  const models = join(root, 'models');
  images = join(root, 'images');
  await writeTinyModel(models, 'tiny-resnet');
  await writeSmallVgg(models, 'small-vgg');
  await writeOnnxModel(models, 'scaling', scalingNet([0.5, 0.5, 0.5]), { size: SIDE, classes: CELLS });
  await writeOnnxModel(models, 'dying', scalingNet([0.5, -2, 0.5]), { size: SIDE, classes: CELLS });
  for (const index of [0, 1, 2]) {
    const pixels = Uint8Array.from(generatedUniform(`image ${index}`, 8 * 8 * 3), (u) => Math.floor(128 + 127 * u));
    await mkdir(join(images, `id-${index}`), { recursive: true });
    const png = await sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } })
      .png()
      .toBuffer();
    await writeFile(join(images, `id-${index}`, 'noise.png'), png);
  }
  if (hasShared) await writeResNet20(models);
  lab = testLab({ FULLCONV_MODELS: models, FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

async function writeResNet20(models: string): Promise<void> {
  const folder = await writeManifest(models, {
    name: 'resnet20',
    architecture: 'resnet20_cifar',
    weights: { file: 'model.safetensors' },
    input: { ...INPUT, size: 32, resize: 32 },
  });
  const ids = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
  await writeFile(join(folder, 'labels.json'), JSON.stringify(ids.map((id) => ({ id, label: id }))));
  const weights = shared('models', 'resnet20-cifar10', 'resnet20_cifar10.safetensors');
  await copyFile(weights, join(folder, 'model.safetensors'));
}

/** Every figure that the findings would write, drawn. */
async function drawAll({ sections }: Findings): Promise<string[]> {
  const figures = sections.filter((section) => 'figure' in section);
  return Promise.all(figures.map(({ draw }) => draw()));
}

const markdown = async (experiment: string, findings: Findings): Promise<string> =>
  asMarkdown({ experiment, ...findings, ground: await lab.ground() });

describe('lesion', () => {
  it('takes out each block of a residual net, several, and changes their order', async () => {
    const findings = await lesion(lab, { images, model: ['tiny-resnet'] });
    const [net] = findings.data.nets;
    expect(net).toMatchObject({ kind: 'residual', images: 3, classes: 10 });
    expect(net!.one.map(({ name, changesShape }) => `${name} ${changesShape}`)).toEqual(
      [1, 2, 3, 4].flatMap((stage) => [`layer${stage}.0 ${stage > 1}`, `layer${stage}.1 false`]),
    );
    // Five blocks keep their shape. Only the two of the first stage can trade places.
    expect(net!.many?.several.map(({ deleted }) => deleted)).toEqual([1, 2, 3, 4, 5]);
    expect(net!.many?.order.map(({ swaps, tau }) => [swaps, tau.toFixed(3)])).toEqual([[1, '0.929']]);
    expect(await markdown('lesion', findings)).toContain('With 8 blocks this net is too shallow to show');
    expect(await drawAll(findings)).toHaveLength(3);
  });

  it('takes out the layers of a plain net', async () => {
    const findings = await lesion(lab, { images, model: ['small-vgg'] });
    const [net] = findings.data.nets;
    expect(net!.one.map(({ name }) => name)).toEqual(['features.8', 'features.13', 'features.16', 'features.18']);
    expect(net).not.toHaveProperty('many');
    expect(await markdown('lesion', findings)).toContain('a plain net has one path');
  });
});

describe('paths', () => {
  it('are counted for any net by name', async () => {
    const { data } = await paths(lab, { model: ['resnet110_cifar', 'resnet1202_cifar'] });
    const [net, deep] = data.nets;
    expect(net).toMatchObject({ modules: 54, paths: `${2n ** 54n}`, pathsWithoutOneBlock: `${2n ** 53n}` });
    expect(net!.range).toMatchObject({ from: 20, to: 34 });
    expect(deep!.paths).toBe(`${2n ** 600n}`);
    await expect(paths(lab, { model: ['densenet121'] })).rejects.toThrow('densenet121 has no residual blocks');
  });

  it('contribute what their branches leave of a change', async () => {
    const findings = await paths(lab, { images, model: ['scaling'], count: 2 });
    const [net] = findings.data.nets;
    for (const [length, { norm, contribution }] of net!.lengths.entries()) {
      expect(norm).toBeCloseTo(0.5 ** length, 3);
      expect(contribution).toBeCloseTo(([1, 3, 3, 1][length]! * 0.5 ** length) / 1.5 ** 3, 3);
    }
    expect(net!.contribution).toMatchObject({ images: 2, draws: 5, range: { from: 0, to: 2 } });
    expect(await drawAll(findings)).toHaveLength(2);
  });

  it('contribute nothing where an activation blocks them', async () => {
    await expect(paths(lab, { images, model: ['dying'], count: 1 })).rejects.toThrow('no change reaches the logits');
  });
});

describe.skipIf(!hasShared)('ResNet-20 on 100 images of CIFAR-10', () => {
  const options = { images: shared('cifar10'), model: ['resnet20'], count: 100 };

  it('loses much with any block', async () => {
    const { data } = await lesion(lab, options);
    expect(data.nets[0]!.whole).toBe(75);
    expect(data.nets[0]!.one.map(({ accuracy }) => accuracy)).toEqual([69, 57, 53, 24, 70, 70, 25, 54, 48]);
  });

  it('responds as strongly as was computed elsewhere', async () => {
    const findings = await responses(lab, options);
    const [net] = findings.data.nets;
    expect(net!.mean).toBeCloseTo(0.693, 3);
    expect(net!.largest).toBeCloseTo(1.4332, 3);
    expect(net!.layers.slice(0, 3).map(({ deviation }) => deviation.toFixed(3))).toEqual(['0.738', '0.730', '0.411']);
    expect(await drawAll(findings)).toHaveLength(2);
  });

  it('agrees with itself the more often, the later the block behind which its head stands', async () => {
    const findings = await refine(lab, options);
    expect(findings.data.nets[0]!.blocks).toEqual([
      { name: 'layer3.0', agreement: 37, accuracy: 31 },
      { name: 'layer3.1', agreement: 50, accuracy: 48 },
      { name: 'layer3.2', agreement: 100, accuracy: 75 },
    ]);
    expect(await drawAll(findings)).toHaveLength(1);
  });
});
