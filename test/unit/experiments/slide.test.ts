import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layersOn } from '../../../src/architectures/layers.js';
import type { Lab } from '../../../src/experiments/lab.js';
import { cutPixels, decodeMiddle } from '../../../src/experiments/pixels.js';
import type { Figure } from '../../../src/experiments/report.js';
import { headOf, sameWeights, slide, windowOf } from '../../../src/experiments/slide.js';
import { graphBuilder } from '../../../src/graph/build.js';
import type { Graph } from '../../../src/graph/graph.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { testLab } from '../../support/lab.js';
import { withGeneratedWeights } from '../../support/ort.js';
import { writeOnnxModel } from '../../support/tiny-models.js';

const coffee = fileURLToPath(new URL('../../fixtures/photos/coffee.png', import.meta.url));

let root: string;
let lab: Lab;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-slide-'));
  lab = testLab({ FULLCONV_CACHE: join(root, 'cache') });
});
afterAll(async () => {
  await lab.close();
  await rm(root, { recursive: true });
});

/** Convolutions of 3×3 without padding, stride 2 in all, and a fully connected head over 7×7 cells, for 16 pixels. */
function netWithoutPadding(): Graph {
  const builder = graphBuilder({ name: 'valid' });
  const layers = layersOn(builder, { activation: 'relu' });
  let x = builder.input('input', 'float32', ['N', 3, 16, 16]);
  x = layers.activation(layers.conv(x, 'conv1', { in: 3, out: 4, kernel: 3 }), 'relu1');
  x = layers.maxPool(x, 'pool', { kernel: 2, stride: 2 });
  x = builder.node('Flatten', [x], { name: 'flatten' });
  x = layers.activation(layers.linear(x, 'fc1', { in: 4 * 7 * 7, out: 8 }), 'relu2');
  x = layers.linear(x, 'fc2', { in: 8, out: 5, output: 'logits' });
  return withGeneratedWeights(builder.finish([{ name: x, dataType: 'float32', dims: ['N', 5] }]));
}

describe('slide', () => {
  it('finds them in the answers of the classifier too, where no convolution has padding', async () => {
    const folder = await writeOnnxModel(root, 'valid', writeOnnx(netWithoutPadding()), { size: 16, classes: 5 });
    const valid = testLab({ FULLCONV_CACHE: join(root, 'cache') }, [folder]);
    try {
      const { data } = await slide(valid, { images: coffee, model: [folder], size: [30] });
      expect(data).toMatchObject({ weights: 8 * 196, cells: { width: 8, height: 8 } });
      expect(data.relative).toBeLessThan(1e-4);
      expect(data.cutOut.relative).toBeLessThan(1e-5);
      expect(data.cutOut.agreement).toBe(1);
      // The photograph is not the same everywhere.
      expect(new Set(data.maps.cutOut.flat()).size).toBeGreaterThan(30);
    } finally {
      await valid.close();
    }
  });

  it('finds the cells of the class map in the answers of the head, and nearly in those of the classifier', async () => {
    const { data, sections } = await slide(lab, { images: coffee, size: [160] });
    expect(data).toMatchObject({
      model: 'tinyimagenet-vgg11bn-w32',
      layer: 'classifier.0',
      weights: 4096 * 512,
      fullyConnected: [512, 4096],
      convolution: [512, 256, 4, 4],
      isSame: true,
      size: 160,
    });
    const { width, height } = data.cells;
    expect([width, height]).toEqual([7, 7]);
    expect(data.relative).toBeLessThan(1e-4);
    expect(data.difference).toBeLessThan(1e-4 * 30);
    expect(data.cutOut.relative).toBeGreaterThan(1e-3);
    expect(data.cutOut.relative).toBeLessThan(0.2);
    const values = data.maps.classMap.flat();
    data.maps.head.flat().forEach((value, cell) => expect(value).toBeCloseTo(values[cell]!, 4));
    const figure = sections.find((section): section is Figure => 'figure' in section);
    const svg = await figure!.draw();
    expect(svg.match(/<rect/g)!.length).toBeGreaterThan(3 * width * height);
  });

  it("VGG-16's first fully connected layer has 102,760,448 weights, and is the convolution of 7×7 byte for byte", async () => {
    expect(sameWeights(headOf(await lab.look('vgg16')))).toEqual({
      layer: 'classifier.0',
      weights: 102_760_448,
      fullyConnected: [4096, 25088],
      convolution: [4096, 512, 7, 7],
      isSame: true,
    });
  });

  it('says what it needs', async () => {
    await expect(slide(lab, { images: coffee, model: ['tinyimagenet-resnet18-w48'] })).rejects.toThrow(
      'tinyimagenet-resnet18-w48 has no fully connected layer over a window of its last map',
    );
    await expect(slide(lab, { images: coffee, size: [1000] })).rejects.toThrow('are more than 400');
    await expect(slide(lab, { images: coffee, size: [20] })).rejects.toThrow('smaller than one window');
    await expect(slide(lab, { images: coffee, size: [1e6] })).rejects.toThrow('are more than 400');
    await expect(slide(lab, {})).rejects.toThrow('needs a photograph');
  });
});

it('a window of a map is flattened by channels, then rows', () => {
  const map = {
    type: 'float32',
    dims: [2, 3, 3],
    data: Float32Array.from({ length: 18 }, (_, index) => index),
  } as const;
  expect([...windowOf(map, { x: 1, y: 0, kernel: [2, 2] })]).toEqual([1, 2, 4, 5, 10, 11, 13, 14]);
});

it('no more pixels are decoded than an input may have', async () => {
  const { model } = await lab.look('tinyimagenet-vgg11bn-w32');
  const image = { name: 'coffee', bytes: await readFile(coffee) };
  const config = { ...lab.config, maxInputPixels: 100 };
  expect((await decodeMiddle(config, model, image, { width: 20, height: 5 })).dims).toEqual([5, 20, 3]);
  await expect(decodeMiddle(config, model, image, { width: 20, height: 6 })).rejects.toThrow('20×6 pixels are more');
});

it('a part of pixels has the rows and columns that were asked for', () => {
  const pixels = {
    type: 'uint8',
    dims: [2, 3, 3],
    data: Uint8Array.from({ length: 18 }, (_, index) => index),
  } as const;
  const part = cutPixels(pixels, { left: 1, top: 1, width: 2, height: 1 });
  expect(part.dims).toEqual([1, 2, 3]);
  expect([...part.data]).toEqual([12, 13, 14, 15, 16, 17]);
});
