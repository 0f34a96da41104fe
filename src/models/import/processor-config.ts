/**
 * transformers' `preprocessor_config.json` as the preprocessing of a manifest. Source: transformers, image_processing_utils.py
 * and models/{vit,convnext,resnet,efficientnet,mobilevit,poolformer,levit}/image_processing_*.py (5.24); the filters are Pillow's numbers.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { isFile } from '../../files.js';
import { readJson } from '../files/json-file.js';
import type { InputPreset } from '../manifest.js';

const FILE = 'preprocessor_config.json';

const side = z.number().int().positive().max(8192);
const sizeSchema = z.union([
  side.transform((edge) => ({ edge, isSquare: undefined })),
  z.looseObject({ shortest_edge: side }).transform(({ shortest_edge: edge }) => ({ edge, isSquare: false })),
  z.looseObject({ height: side, width: side }).transform(({ height, width }) => ({
    edge: Math.min(height, width),
    isSquare: true,
  })),
]);
const triple = z.union([
  z.tuple([z.number(), z.number(), z.number()]),
  z.number().transform((value): [number, number, number] => [value, value, value]),
]);

const processorSchema = z.looseObject({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_resize: z.boolean().nullish(),
  size: sizeSchema.nullish(),
  crop_pct: z.number().positive().nullish(),
  do_center_crop: z.boolean().nullish(),
  crop_size: sizeSchema.nullish(),
  resample: z.number().int().nullish(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().positive().nullish(),
  do_normalize: z.boolean().nullish(),
  image_mean: triple.nullish(),
  image_std: triple.nullish(),
  // EfficientNet's
  rescale_offset: z.boolean().nullish(),
  include_top: z.boolean().nullish(),
  // MobileViT's, by its present name and by that of its first checkpoints
  do_flip_channel_order: z.boolean().nullish(),
  do_flip_channels: z.boolean().nullish(),
});

type Config = z.output<typeof processorSchema>;

const FILTERS: readonly (InputPreset['interpolation'] | undefined)[] = ['nearest', 'lanczos3', 'bilinear', 'bicubic'];

/** From this size on ConvNeXt's processor, which ResNet's checkpoints have, takes the whole image. */
const WHOLE_FROM = 384;

export interface Processor {
  readonly input: Partial<InputPreset>;
  readonly notes: readonly string[];
}

/** The preprocessing in a folder; undefined if it has no such file. Throws ModelFileError for a faulty one. */
export async function readProcessor(folder: string): Promise<Processor | undefined> {
  const file = join(folder, FILE);
  if (!(await isFile(file))) return undefined;
  const { value: config } = await readJson(file, processorSchema);
  const type = config.image_processor_type ?? config.feature_extractor_type ?? '';
  const filter = FILTERS[config.resample ?? 2];
  const { sizes, isSquashed } = sizesOf(config, type);
  const isStretched = isSquashed && sizes.size === sizes.resize;
  const isReversed = config.do_flip_channel_order ?? config.do_flip_channels ?? MOBILE_VIT.test(type);
  return {
    input: {
      ...sizes,
      ...(isStretched && { fit: 'stretch' }),
      channels: isReversed ? 'BGR' : 'RGB',
      ...(filter !== undefined && { interpolation: filter }),
      range: (config.do_rescale ?? true) ? rangeOf(config.rescale_factor) : 1,
      ...normalizationOf(config, type),
    },
    notes:
      isSquashed && !isStretched
        ? [
            'its own processor squashes the image into a square and cuts the middle out; here the middle is cut out without that',
          ]
        : [],
  };
}

const MOBILE_VIT = /MobileViT/i;
const EFFICIENT_NET = /EfficientNet/i;

/** EfficientNet's subtracts 1 where it says so, and divides by the deviation once more. MobileViT's takes numbers from 0 to 1. */
function normalizationOf(config: Config, type: string): Partial<Pick<InputPreset, 'mean' | 'std'>> {
  const isNormalized = config.do_normalize ?? !MOBILE_VIT.test(type);
  if (!EFFICIENT_NET.test(type)) {
    if (!isNormalized) return { mean: [0, 0, 0], std: [1, 1, 1] };
    return {
      ...(config.image_mean && { mean: config.image_mean }),
      ...(config.image_std && { std: config.image_std }),
    };
  }
  const [given, deviation] = [config.image_mean ?? HALVES, config.image_std ?? HALVES];
  const shift = config.rescale_offset === true ? 1 : 0;
  const divisions = (isNormalized ? 1 : 0) + (config.include_top === false ? 0 : 1);
  return {
    mean: eachOf(given, (value) => (isNormalized ? value : 0) + shift),
    std: eachOf(deviation, (value) => value ** divisions),
  };
}

type Triple = [number, number, number];

const HALVES: Triple = [0.5, 0.5, 0.5];

function eachOf([a, b, c]: Triple, change: (value: number) => number): Triple {
  return [change(a), change(b), change(c)];
}

/** 0.00392156862745098 is 1/255. */
function rangeOf(factor: number | null | undefined): number {
  const range = 1 / (factor ?? 1 / 255);
  return Math.abs(range - Math.round(range)) < 1e-6 ? Math.round(range) : range;
}

function sizesOf(
  config: Config,
  type: string,
): {
  readonly sizes: Partial<Pick<InputPreset, 'size' | 'resize'>>;
  readonly isSquashed: boolean;
} {
  const { size, crop_size: crop, crop_pct: part } = config;
  if (size == null) {
    return crop == null ? { sizes: {}, isSquashed: false } : { sizes: { size: crop.edge }, isSquashed: false };
  }
  if (/ConvNext/i.test(type)) {
    if (size.edge >= WHOLE_FROM) return { sizes: { size: size.edge, resize: size.edge }, isSquashed: true };
    const resize = Math.floor(size.edge / (part ?? 224 / 256));
    return { sizes: { size: size.edge, resize: Math.max(size.edge, resize) }, isSquashed: false };
  }
  if (config.do_center_crop === true && crop != null) {
    const isPoolFormer = /PoolFormer/i.test(type);
    const scale = isPoolFormer ? 1 / (part ?? 0.9) : /^LeViT/i.test(type) && size.isSquare !== true ? 256 / 224 : 1;
    return {
      sizes: { size: crop.edge, resize: Math.max(crop.edge, Math.floor(size.edge * scale)) },
      isSquashed: size.isSquare === true && !isPoolFormer,
    };
  }
  return { sizes: { size: size.edge, resize: size.edge }, isSquashed: size.isSquare !== false };
}
