import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildArchitecture, parametersOf } from '../../../src/architectures/index.js';
import { layersOn } from '../../../src/architectures/layers.js';
import { activationFunctions, ALPHAS } from '../../../src/experiments/activation-functions.js';
import { activations } from '../../../src/experiments/activations.js';
import type { Lab } from '../../../src/experiments/lab.js';
import type { Figure } from '../../../src/experiments/report.js';
import { generatedValues } from '../../../src/models/networks/generated-weights.js';
import { writeSafetensors } from '../../../src/models/files/safetensors.js';
import { testLab } from '../../support/lab.js';
import { runGraph } from '../../support/ort.js';
import { graphOf } from '../../support/tiny-graphs.js';
import { TINY_CLASSES, writeManifest } from '../../support/tiny-models.js';

describe('the functions', () => {
  const xs = [-3, -1, -0.25, 0.5, 2];

  it.each(activationFunctions())('$name has the derivative that is the slope of it', ({ of, derivative }) => {
    for (const x of xs) expect(derivative(x)).toBeCloseTo((of(x + 1e-5) - of(x - 1e-5)) / 2e-5, 4);
  });

  it("ELU's derivative is f + α below zero", () => {
    const { of, derivative } = activationFunctions({ ...ALPHAS, elu: 0.7 }).at(-1)!;
    for (const x of [-3, -1]) expect(derivative(x)).toBeCloseTo(of(x) + 0.7, 12);
  });

  it.each([
    ['relu', 0],
    ['leaky_relu', 1],
    ['elu', 3],
  ] as const)('are those of the nets: %s', async (activation, index) => {
    const alphas = { leakyAlpha: 0.3, eluAlpha: 0.7 };
    const graph = graphOf(['N', xs.length], (b, x) => layersOn(b, { activation, ...alphas }).activation(x, 'act'));
    const { data } = (await runGraph(graph, { x: { dims: [1, xs.length], data: Float32Array.from(xs) } }))['act']!;
    const { of } = activationFunctions({ leaky: 0.3, prelu: 0.25, elu: 0.7 })[index]!;
    Array.from(data, Number).forEach((value, at) => expect(value).toBeCloseTo(of(xs[at]!), 5));
  });
});

describe('dead channels', () => {
  let root: string;
  let lab: Lab;
  const photos = fileURLToPath(new URL('../../fixtures/photos', import.meta.url));

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'fullconv-activations-'));
    // Behind the stem channel 2 is always below zero, behind the first block channels 1 and 5.
    await writeNet('dying', { 'bn1.bias': [2], 'layer1.0.bn1.bias': [1, 5] });
    await writeNet('elus', {}, 'elu');
    lab = testLab({ FULLCONV_MODELS: root, FULLCONV_CACHE: join(root, 'cache') });
  });
  afterAll(async () => {
    await lab.close();
    await rm(root, { recursive: true });
  });

  /** A tiny ResNet with these channels far below zero. */
  async function writeNet(name: string, low: Record<string, number[]>, activation = 'relu'): Promise<void> {
    const options = { width: 8, stem: 'compact', activation };
    const folder = await writeManifest(root, {
      ...{ name, architecture: 'resnet18', options, weights: { file: 'model.safetensors' } },
    });
    const ids = ['coffee', 'chelsea', 'grace', ...Array.from({ length: TINY_CLASSES - 3 }, (_, index) => `c${index}`)];
    await writeFile(join(folder, 'labels.json'), JSON.stringify(ids.map((id) => ({ id, label: id }))));
    const tensors = parametersOf(buildArchitecture('resnet18', { ...options, classes: TINY_CLASSES })).map(
      ({ name: parameter, dims }) => ({
        ...{ name: parameter, dims },
        values: () => {
          const values = generatedValues(parameter, dims);
          for (const channel of low[parameter] ?? []) values[channel] = -1e4;
          return values;
        },
      }),
    );
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, {});
  }

  it('are those that no image makes positive', async () => {
    const { data, sections } = await activations(lab, { images: photos, model: ['dying'] });
    const [net] = data.nets!;
    expect(net).toMatchObject({ model: 'dying', images: 3 });
    expect(net!.layers.slice(0, 3)).toEqual([
      { layer: 'relu', channels: 8, dead: 1 },
      { layer: 'layer1.0.relu1', channels: 8, dead: 2 },
      { layer: 'layer1.0.relu', channels: 8, dead: 0 },
    ]);
    expect(net!.layers).toHaveLength(17);
    const figures = sections.filter((section): section is Figure => 'figure' in section);
    expect(figures.map(({ figure }) => figure)).toEqual(['functions', 'derivatives', 'dead-dying']);
    for (const { draw } of figures) expect(await draw()).toMatch(/^<svg/);
    expect((await lab.ground()).images).toEqual({ from: photos, count: 3 });
  });

  it('need no images for the functions alone, and a ReLU to die', async () => {
    expect((await activations(lab, {})).data).not.toHaveProperty('nets');
    await expect(activations(lab, { images: photos, model: ['elus'] })).rejects.toThrow('elus has no ReLU');
    await expect(activations(lab, { images: root, model: ['dying'] })).rejects.toThrow(
      'has no image of a class of dying',
    );
  });
});
