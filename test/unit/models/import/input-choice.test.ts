import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseInput, guessInput } from '../../../../src/models/import/input-choice.js';
import type { Manifest } from '../../../../src/models/manifest.js';
import { readProcessor } from '../../../../src/models/import/processor-config.js';

const onnx = { architecture: 'onnx', weights: { file: 'model.onnx' } } as const;
const layers = { architecture: 'tfjs-layers', weights: { file: 'tfjs/model.json' } } as const;
const guess = guessInput(onnx);
const ALL = ['size', 'resize', 'interpolation', 'channels', 'range', 'mean', 'std'];

describe('the preprocessing', () => {
  it('is a guess in each field that nobody states', () => {
    const { input, guessed } = chooseInput({ stated: {}, known: {}, guess, usualSize: 224 });
    expect(input).toMatchObject({ size: 224, resize: 256, range: 255, mean: [0.485, 0.456, 0.406] });
    expect([...guessed].sort()).toEqual([...ALL].sort());
  });

  it('is what somebody states, before what the source says', () => {
    const known = { size: 224, resize: 235, channels: 'RGB', mean: [0, 0, 0] } as const;
    const { input, guessed } = chooseInput({
      stated: { size: 448, mean: [1, 1, 1], std: [1, 1, 1] },
      known: { ...known, mean: [...known.mean] },
      guess,
      usualSize: 224,
    });
    expect(input).toMatchObject({ size: 448, resize: 470, channels: 'RGB', mean: [1, 1, 1], std: [1, 1, 1] });
    expect(guessed).toEqual(['interpolation', 'range']);
  });

  it.each<[string, object]>([
    ['mobilenetv2_1.00_224', { range: 255, mean: [0.5, 0.5, 0.5] }],
    ['resnet50v2', { range: 255, mean: [0.5, 0.5, 0.5] }],
    ['resnet50', { channels: 'BGR', range: 1, mean: [103.939, 116.779, 123.68] }],
    ['vgg16', { channels: 'BGR', range: 1 }],
    ['densenet121', { range: 255, mean: [0.485, 0.456, 0.406] }],
    ['efficientnetb0', { range: 1, mean: [0, 0, 0] }],
    ['MobilenetV3small', { range: 1, mean: [0, 0, 0] }],
    ['sequential_3', { range: 255, mean: [0, 0, 0], std: [1, 1, 1] }],
  ])("of a Keras net called %s is guessed as Keras' own", (name, expected) => {
    expect(guessInput(layers, ['model', name]).input).toMatchObject(expected);
  });

  it.each<[Manifest['architecture'], number]>([
    ['inception_v4', 0.5],
    ['inception_resnet_v2', 0.5],
    ['inception_v3', 0.485],
    ['inception_resnet_v1', 0.485],
    ['polynet', 0.485],
  ])('of weights of %s is guessed as that of the published ones', (architecture, mean) => {
    expect(guessInput({ architecture, weights: { file: 'model.safetensors' } }).input.mean[0]).toBe(mean);
  });
});

describe("transformers' preprocessor_config.json", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-processor-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each<[string, object, object, boolean]>([
    [
      "of ConvNeXt's kind, below 384 pixels",
      { feature_extractor_type: 'ConvNextFeatureExtractor', size: 224, crop_pct: 0.875, resample: 3 },
      { size: 224, resize: 256, interpolation: 'bicubic' },
      false,
    ],
    [
      "of ConvNeXt's kind, from 384 pixels on",
      { image_processor_type: 'ConvNextImageProcessor', size: { shortest_edge: 384 }, resample: 3 },
      { size: 384, resize: 384 },
      true,
    ],
    [
      'that cuts the middle out',
      { size: { shortest_edge: 256 }, do_center_crop: true, crop_size: { height: 224, width: 224 } },
      { size: 224, resize: 256, range: 255 },
      false,
    ],
    ["of ViT's kind", { size: { height: 224, width: 224 }, resample: 2 }, { size: 224, resize: 224 }, true],
    [
      'that neither scales nor normalizes',
      { size: { shortest_edge: 64 }, do_rescale: false, do_normalize: false },
      { size: 64, resize: 64, range: 1, mean: [0, 0, 0], std: [1, 1, 1] },
      false,
    ],
    [
      'that scales to [−1, 1]',
      { rescale_factor: 0.00784313725490196, image_mean: [1, 1, 1], image_std: [1, 1, 1] },
      { range: 127.5, mean: [1, 1, 1] },
      false,
    ],
  ])('%s', async (_, config, expected, isSquashed) => {
    await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify(config));
    const processor = await readProcessor(folder);
    expect(processor?.input).toMatchObject(expected);
    expect(processor?.notes).toHaveLength(isSquashed ? 1 : 0);
  });

  it('that is none is refused', async () => {
    await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify({ image_mean: 'grey' }));
    await expect(readProcessor(folder)).rejects.toThrow(/preprocessor_config\.json: image_mean: /);
  });
});
