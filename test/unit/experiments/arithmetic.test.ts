import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { arithmetic, sumOf } from '../../../src/experiments/arithmetic.js';
import { runExperiment } from '../../../src/experiments/index.js';
import type { Lab } from '../../../src/experiments/lab.js';
import { asJson, asMarkdown, writeReport } from '../../../src/experiments/report.js';
import { ints } from '../../../src/graph/attributes.js';
import { layersOf, type LayerWindow } from '../../../src/models/look/layers.js';
import { testLab } from '../../support/lab.js';
import { graphOf } from '../../support/tiny-graphs.js';

let root: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-arithmetic-'));
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

const sides = (maps: readonly (readonly [number, number])[]): number[] => maps.map(([side]) => side);

describe('arithmetic', () => {
  it('answers the question of the lecture: the maps of VGG-16 and ResNet-50 at 512', async () => {
    const { data } = await arithmetic(lab, {});
    const [vgg, resnet] = data.nets;
    expect(sides(vgg!.maps)).toEqual([512, 256, 128, 64, 32, 16, 10]);
    expect(vgg!.classMap).toEqual({ valid: { width: 10, height: 10 }, same: { width: 16, height: 16 } });
    expect(sides(resnet!.maps)).toEqual([256, 128, 64, 32, 16]);
    expect(resnet!.classMap?.valid).toEqual({ width: 16, height: 16 });
    const layer = (name: string) => vgg!.layers.find((each) => each.layer === name);
    expect(layer('features.0')).toEqual({
      layer: 'features.0',
      operator: 'Conv 3×3, padding 1',
      input: [3, 512, 512],
      output: [64, 512, 512],
      sums: ['⌊(512 + 2·1 − 3)/1⌋ + 1 = 512'],
    });
    expect(layer('classifier.0')).toMatchObject({ output: [4096, 10, 10], sums: ['⌊(16 − 7)/1⌋ + 1 = 10'] });
  });

  it('takes the classifier itself at the native size, and a model of the folder', async () => {
    const { data } = await arithmetic(lab, { model: ['vgg16', 'tinyimagenet-resnet18-w48'], size: [224] });
    expect(sides(data.nets[0]!.maps)).toEqual([224, 112, 56, 28, 14, 7]);
    expect(data.nets[1]!).toMatchObject({ model: 'tinyimagenet-resnet18-w48', size: 224 });
  });

  it('every sum is true: it gives what the shape rules give', async () => {
    const model = ['squeezenet1_0', 'googlenet', 'efficientnet_lite0', 'inception_v3'];
    const { data } = await arithmetic(lab, { model, size: [225, 322] });
    const sums = data.nets.flatMap(({ layers }) => layers.flatMap((layer) => layer.sums ?? []));
    expect(sums.length).toBeGreaterThan(400);
    for (const sum of sums) expect([sum, valueOf(sum)]).toEqual([sum, Number(sum.split(' = ')[1])]);
  });

  it('refuses an input that a net cannot take', async () => {
    await expect(arithmetic(lab, { model: ['vgg16'], size: [100] })).rejects.toThrow(
      /100×100 pixels is smaller than one window of vgg16; the smallest side is 224/,
    );
  });
});

/** Computes what is left of the equals sign. */
function valueOf(sum: string): number {
  const [, open, terms = '', stride, , rest = ''] = /^([⌊⌈])\((.*)\)\/(\d+)([⌋⌉])(.*) = /.exec(sum) ?? [];
  const evaluate = (text: string): number => Number(runInNewContext(text.replaceAll('·', '*').replaceAll('−', '-')));
  const quotient = evaluate(terms) / Number(stride);
  return evaluate(`${open === '⌈' ? Math.ceil(quotient) : Math.floor(quotient)} ${rest}`);
}

describe('the sum of a window', () => {
  const window: LayerWindow = {
    ...{ kernel: [3], stride: [2], dilation: [1], padding: [[0, 0]], ceil: false, groups: 1 },
  };
  it.each([
    [{}, 10, 4, '⌊(10 − 3)/2⌋ + 1 = 4'],
    [{ padding: [[0, 1]] }, 10, 5, '⌊(10 + 0 + 1 − 3)/2⌋ + 1 = 5'],
    [{ dilation: [2], stride: [1] }, 10, 6, '⌊(10 − (2·(3 − 1) + 1))/1⌋ + 1 = 6'],
    [{ ceil: true }, 10, 5, '⌈(10 − 3)/2⌉ + 1 = 5'],
    [{ ceil: true, kernel: [2], padding: [[1, 1]] }, 9, 5, '⌈(9 + 2·1 − 2)/2⌉ + 1 − 1 = 5'],
  ] satisfies [Partial<LayerWindow>, number, number, string][])('%o of %i', (change, input, output, sum) => {
    expect(sumOf({ ...window, ...change }, 0, input, output)).toBe(sum);
    expect(valueOf(sum)).toBe(output);
  });
});

it.each([
  ['SAME_UPPER', 9, '⌊(9 + 2·1 − 3)/2⌋ + 1 = 5'],
  ['SAME_UPPER', 10, '⌊(10 + 0 + 1 − 3)/2⌋ + 1 = 5'],
  ['SAME_LOWER', 10, '⌊(10 + 1 + 0 − 3)/2⌋ + 1 = 5'],
  ['VALID', 10, '⌊(10 − 3)/2⌋ + 1 = 4'],
])('says the padding that %s takes for %i cells', (auto, side, sum) => {
  const net = graphOf(['N', 2, 'H', 'W'], (b, x) =>
    b.node('MaxPool', [x], {
      attributes: { kernel_shape: ints(3, 3), strides: ints(2, 2), auto_pad: { type: 'string', value: auto } },
    }),
  );
  const [layer] = layersOf(net, side);
  expect(sumOf(layer!.window!, 0, layer!.input![1], layer!.output![1])).toBe(sum);
});

it('a report says what it ran on, and is JSON, Markdown and a folder', async () => {
  const report = await runExperiment('arithmetic', lab, { model: ['vgg11'] });
  expect(report.ground).toMatchObject({
    date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) as string,
    cores: expect.any(Number) as number,
  });
  expect(report.ground.models.map(({ name }) => name)).toContain('vgg11');
  expect(report.ground).not.toHaveProperty('engine');
  expect(JSON.parse(asJson(report))).toMatchObject({ experiment: 'arithmetic', nets: [{ model: 'vgg11', size: 512 }] });
  expect(asMarkdown(report)).toMatch(
    /^# arithmetic: [^]*\nvgg11 at 512×512: maps of 512, 256, 128, 64, 32, 16, 10; the class map has 10×10 cells, 16×16 with edge=same\.\n[^]*\| features\.0 \| Conv 3×3, padding 1 \| 3×512×512 \| 64×512×512 \|/,
  );
  const folder = join(root, 'report');
  await writeReport(report, folder);
  expect((await readdir(folder)).sort()).toEqual(['report.json', 'report.md']);
  expect(await readFile(join(folder, 'report.md'), 'utf8')).toBe(asMarkdown(report, { hasPictures: true }));
});
