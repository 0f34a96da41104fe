import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseInput, guessInput } from '../../../../src/models/import/input-choice.js';
import type { Manifest } from '../../../../src/models/manifest.js';
import { readBesideConfig } from '../../../../src/models/import/hugging-face.js';
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
    ['resnet-rs-50', { channels: 'RGB', range: 1, mean: [0, 0, 0] }],
    ['MobilenetV3small', { range: 1, mean: [0, 0, 0] }],
    ['sequential_3', { range: 255, mean: [0, 0, 0], std: [1, 1, 1] }],
  ])("of a Keras net called %s is guessed as Keras' own", (name, expected) => {
    expect(guessInput(layers, { names: ['model', name] }).input).toMatchObject(expected);
  });

  it('of a Keras net that scales pixels itself is not guessed from the name of a net inside of it', () => {
    const { input } = guessInput(layers, { names: ['sequential', 'resnet50'], scalesItself: true });
    expect(input).toMatchObject({ channels: 'RGB', range: 1, mean: [0, 0, 0], std: [1, 1, 1], fit: 'stretch' });
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
      { size: 384, resize: 384, fit: 'stretch' },
      false,
    ],
    [
      'that cuts the middle out',
      { size: { shortest_edge: 256 }, do_center_crop: true, crop_size: { height: 224, width: 224 } },
      { size: 224, resize: 256, range: 255 },
      false,
    ],
    [
      "of ViT's kind",
      { size: { height: 224, width: 224 }, resample: 2 },
      { size: 224, resize: 224, fit: 'stretch' },
      false,
    ],
    [
      'that squashes and cuts the middle out',
      { size: { height: 256, width: 256 }, do_center_crop: true, crop_size: { height: 224, width: 224 } },
      { size: 224, resize: 256 },
      true,
    ],
    [
      "of EfficientNet's kind, which divides twice",
      {
        ...{ image_processor_type: 'EfficientNetImageProcessor', size: { height: 224, width: 224 } },
        ...{ image_mean: [0.485, 0.456, 0.406], image_std: [0.5, 0.25, 2], include_top: true, rescale_offset: false },
      },
      { range: 255, mean: [0.485, 0.456, 0.406], std: [0.25, 0.0625, 4], fit: 'stretch' },
      false,
    ],
    [
      "of EfficientNet's kind, which subtracts 1",
      {
        ...{ image_processor_type: 'EfficientNetImageProcessor', rescale_factor: 0.00784313725490196 },
        ...{ rescale_offset: true, do_normalize: false, include_top: false },
      },
      { range: 127.5, mean: [1, 1, 1], std: [1, 1, 1] },
      false,
    ],
    [
      "of MobileViT's kind",
      {
        ...{ feature_extractor_type: 'MobileViTFeatureExtractor', size: 288, do_center_crop: true, crop_size: 256 },
        do_flip_channels: true,
      },
      { size: 256, resize: 288, channels: 'BGR', range: 255, mean: [0, 0, 0], std: [1, 1, 1] },
      false,
    ],
    [
      "of MobileViT's kind that keeps the channels' order",
      { image_processor_type: 'MobileViTImageProcessor', do_flip_channel_order: false },
      { channels: 'RGB' },
      false,
    ],
    [
      "of PoolFormer's kind",
      {
        ...{ image_processor_type: 'PoolFormerImageProcessor', size: { shortest_edge: 224 }, crop_pct: 0.9 },
        ...{ do_center_crop: true, crop_size: { height: 224, width: 224 } },
      },
      { size: 224, resize: 248 },
      false,
    ],
    [
      "of LeViT's kind",
      {
        ...{ image_processor_type: 'LevitImageProcessor', size: { shortest_edge: 224 } },
        ...{ do_center_crop: true, crop_size: { height: 224, width: 224 } },
      },
      { size: 224, resize: 256 },
      false,
    ],
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
describe("timm's config.json beside an ONNX file", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-timm-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each<[string, object, object, number]>([
    ['the middle is cut out', { crop_pct: 0.9 }, { size: 224, resize: 248 }, 0],
    [
      'the whole image is squashed',
      { crop_pct: 1, crop_mode: 'squash' },
      { size: 224, resize: 224, fit: 'stretch' },
      0,
    ],
    ['what is squashed is cut, too', { crop_pct: 0.95, crop_mode: 'squash' }, { size: 224, resize: 235 }, 1],
    ['the image gets a border', { crop_pct: 1, crop_mode: 'border' }, { size: 224, resize: 224 }, 1],
  ])('%s', async (_, given, expected, notes) => {
    const config = { architecture: 'a_net', pretrained_cfg: { input_size: [3, 224, 224], ...given } };
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    const beside = await readBesideConfig(folder);
    expect(beside.input).toMatchObject(expected);
    expect(beside.input?.fit === 'stretch').toBe('fit' in expected);
    expect(beside.notes).toHaveLength(notes);
  });
});
