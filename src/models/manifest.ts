/**
 * A model on disk: a folder with `model.json` (checked here), weights and labels. The rest of the program trusts the
 * checked manifest: names are safe to print and to use in paths, files lie inside the folder, numbers make sense.
 */
import { isAbsolute, join, normalize, sep } from 'node:path';
import { z } from 'zod';
import { ARCHITECTURE_NAMES } from '../architectures/index.js';
import { pixelSize, shortSide, type PixelSize } from '../maps/input-plan.js';
import { MAP_KINDS } from '../maps/map-kinds.js';
import { MAP_SCORES } from '../maps/scores.js';
import { wordsOf } from '../vocabulary.js';
import { OUTPUTS } from './networks/network.js';
import { MAX_MANIFEST_BYTES, readJson } from './files/json-file.js';
import { MAX_INPUT_SIDE } from './input-size.js';

/** The name of a file inside the folder of the file that names it. */
export const insideFolder = z
  .string()
  .min(1)
  .refine(
    (file) => !isAbsolute(file) && !normalize(file).split(sep).includes('..'),
    'must lie inside the model folder',
  );

/** One number for each channel: three, or one of a net that takes grey pictures. */
const perChannel = z.union([z.tuple([z.number(), z.number(), z.number()]), z.tuple([z.number()])], {
  error: orMissing('must be 3 numbers, or 1 for GRAY'),
});

function orMissing(detail: string) {
  return ({ input }: { readonly input?: unknown }): string => (input === undefined ? 'is missing' : detail);
}

const side = z.number().int().min(8).max(MAX_INPUT_SIDE);

/** Preprocessing of the input: `(pixel / range − mean) / std`, with mean and std in the order of `channels`. */
const inputPreset = z.strictObject({
  /** Of the input, in pixels: the side of a square, or [height, width]. */
  size: z.union([side, z.tuple([side, side])], {
    error: orMissing(`must be a whole number from 8 to ${MAX_INPUT_SIDE}, or two: [height, width]`),
  }),
  /** How a photo becomes the input when a request does not say. Default: `crop`. */
  fit: z.enum(['crop', 'stretch']).optional(),
  /** Short side in pixels before the centre crop; at least that of `size`. */
  resize: z.number().int().min(8).max(8192),
  interpolation: z.enum(['nearest', 'bilinear', 'bicubic', 'lanczos3']),
  /** GRAY: one channel, the luma of the picture. */
  channels: z.enum(['RGB', 'BGR', 'GRAY']),
  range: z.number().positive(),
  mean: perChannel,
  std: perChannel.refine((std) => std.every((value) => value > 0), 'must be positive'),
});

/** `architecture` of models whose weights file holds the architecture itself: ONNX, TensorFlow.js's LayersModel. */
export const ONNX = 'onnx';
export const TFJS_LAYERS = 'tfjs-layers';

/** Whether a model's weights file holds the architecture itself. */
export function isSelfContained({ architecture }: Pick<Manifest, 'architecture'>): boolean {
  return architecture === ONNX || architecture === TFJS_LAYERS;
}

/**
 * The precisions that a network may be computed in. Default: `bf16` on a processor that is faster in it, if the logits stay
 * the same (parity.ts), otherwise `fp32`.
 */
export const PRECISIONS = ['fp32', 'bf16', 'fp16', 'int8'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** The effect of quantization on a network's answers, measured on the calibration images. */
const quantizationFigures = z.strictObject({
  images: z.number().int().positive(),
  /** Fraction of the images whose top class stayed the same. */
  agreement: z.number().min(0).max(1),
  /** Mean absolute difference of a logit, as a part of the mean absolute logit. */
  logitError: z.number().nonnegative(),
});

export type QuantizationFigures = z.output<typeof quantizationFigures>;

/** The model's defaults for heatmap requests. */
const mapPreset = z.strictObject({
  /** Short side in pixels to which the whole photo is scaled. Default: the size of `input`. */
  size: z.number().int().min(8).max(4096).optional(),
  /** What a cell is. Default: windows. */
  map: z.enum(wordsOf(MAP_KINDS)).optional(),
  /** The scores that pictures show; numbers are always probabilities. Default: probabilities. */
  scores: z.enum(wordsOf(MAP_SCORES)).optional(),
});

/** Beyond these a net says nothing of how sure it is. */
export const MIN_TEMPERATURE = 0.01;
export const MAX_TEMPERATURE = 100;

/** Begins with a letter, so that it is never taken for a number. */
const versionLabel = z
  .string()
  .regex(/^[a-z][a-z0-9._-]{0,39}$/i, 'must begin with a letter, then letters, digits, dots, dashes and underscores');

/** `model.json`. The catalog (catalog.ts) uses the same fields. */
export const manifestSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,99}$/i, 'must be letters, digits, dots, dashes and underscores'),
  /** Stands in a header of answers, with the name. */
  version: z.string().regex(/^[0-9]{1,20}$/, 'must be a whole number of at most 20 digits as a string, e.g. "1"'),
  /** Other names of this version: requests may ask for them in its place. */
  versionLabels: z.array(versionLabel).max(16, 'must be at most 16').optional(),
  description: z.string().optional(),
  license: z.string().optional(),
  source: z.string().optional(),
  /** Whether the model answers requests that name none, unless the settings say otherwise. */
  default: z.boolean().optional(),
  architecture: z.enum([...ARCHITECTURE_NAMES, ONNX, TFJS_LAYERS]),
  /** Options of the architecture's builder: activation, width, stem, inputSize, … (src/architectures). */
  options: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])).optional(),
  precision: z.enum(PRECISIONS).optional(),
  /**
   * The largest difference of a logit that half precision may make, as a part of the largest logit. Default: 0.01. For a
   * net whose accuracy has been measured in half precision.
   */
  halfTolerance: z.number().positive().max(0.2).optional(),
  /** Written by `fullconv quantize`. */
  quantization: quantizationFigures.optional(),
  weights: z.strictObject({
    file: insideFolder,
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
  }),
  labels: insideFolder,
  input: inputPreset
    .refine((input) => input.resize >= shortSide(input.size), 'resize must be at least size')
    .refine(
      ({ channels, mean, std }) => [mean, std].every(({ length }) => length === 3 || channels === 'GRAY'),
      'mean and std must have a number for each channel',
    ),
  /**
   * Probabilities are those of logits divided by it: `fullconv calibrate` fits it, so that of the answers with a probability of
   * 0.8 eight in ten are right. Default: 1.
   */
  temperature: z.number().min(MIN_TEMPERATURE).max(MAX_TEMPERATURE).optional(),
  /** What the net's numbers are. Default: told from what it ends in. */
  output: z.enum(wordsOf(OUTPUTS)).optional(),
  maps: mapPreset.optional(),
});

const labelSchema = z.strictObject({ id: z.string().min(1), label: z.string().min(1) });

/** The first faulty label ends the check: zod would otherwise make several objects for each of hundreds of thousands. */
export const labelsSchema = z
  .array(z.unknown())
  .min(1)
  .transform((entries, context): Label[] => {
    const labels: Label[] = [];
    for (const [index, entry] of entries.entries()) {
      const { data, error } = labelSchema.safeParse(entry);
      if (data === undefined) {
        const [issue] = error.issues;
        const path = [index, ...(issue?.path ?? [])];
        context.addIssue({ code: 'custom', message: issue?.message ?? 'is invalid', path });
        return z.NEVER;
      }
      labels.push(data);
    }
    return labels;
  });

/** The images that a net was made for: as an option says that `fullconv quantize` writes, otherwise the size of its inputs. */
export function nativeSizeOf({ options, input }: Pick<Manifest, 'options' | 'input'>): PixelSize {
  const side = options?.['inputSize'];
  return side === undefined ? pixelSize(input.size) : pixelSize(Number(side));
}

export type InputPreset = z.output<typeof inputPreset>;
export type Manifest = z.output<typeof manifestSchema>;

/** A class: its id (a WordNet id for ImageNet's classes) and its name for people. */
export interface Label {
  readonly id: string;
  readonly label: string;
}

export interface ModelFolder {
  readonly folder: string;
  readonly manifest: Manifest;
  /** In class order. */
  readonly labels: readonly Label[];
}

/** The file that marks a folder as a model. */
export const MANIFEST_FILE = 'model.json';

/** Read and check a model's manifest. Throws ModelFileError naming the file and all faulty fields. */
export async function readManifest(folder: string): Promise<Manifest> {
  return (await readJson(join(folder, MANIFEST_FILE), manifestSchema, MAX_MANIFEST_BYTES)).value;
}

/** Read and check a model's manifest and labels. Throws ModelFileError naming the file and the field. */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const manifest = await readManifest(folder);
  const { value: labels } = await readJson(join(folder, manifest.labels), labelsSchema);
  return { folder, manifest, labels };
}
