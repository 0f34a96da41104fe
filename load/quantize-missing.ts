/**
 * Makes the missing int8 forms of models for one load test, calibrated on crops of its photographs. This is enough for
 * their speed; their answers are not looked at here.
 */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ImageInput } from '../src/inference/infer.js';
import { FEWEST_IMAGES } from '../src/models/quantize/quantize-model.js';
import { resizePhotos } from './photos.js';
import { architectureOf, MIXED_SIZES } from './scenario.js';

export interface QuantizeOptions {
  /** The folder that has the models, and the folder that the new ones go to. */
  readonly from: string;
  readonly to: string;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  readonly photos: readonly ImageInput[];
  /** A new folder for the crops. */
  readonly scratch: string;
}

/** Make the model `NAME-int8` out of `NAME`. Rejects with the message of `fullconv quantize`. */
export async function quantizeMissing(name: string, options: QuantizeOptions): Promise<void> {
  const { from, to, cache, scratch } = options;
  await writeCrops(options);
  const base = name.replace(/-int8$/, '');
  const architecture = architectureOf(base);
  await promisify(execFile)(
    process.execPath,
    [
      ...['dist/cli/fullconv.cjs', 'quantize', architecture === undefined ? resolve(from, base) : base],
      ...['--images', scratch, '--as', name, '--force'],
    ],
    {
      env: {
        ...process.env,
        FULLCONV_MODELS: to,
        FULLCONV_CACHE: cache,
        FULLCONV_UNTRAINED: architecture ?? '',
        FULLCONV_ENGINE: 'onnxruntime',
        FULLCONV_DEVICE: 'cpu',
      },
    },
  );
}

/** Writes the least number of crops that calibration needs, or a few more. */
async function writeCrops({ photos, scratch }: QuantizeOptions): Promise<void> {
  await mkdir(scratch, { recursive: true });
  const some = photos.slice(0, FEWEST_IMAGES);
  const sizes = MIXED_SIZES.slice(0, Math.ceil(FEWEST_IMAGES / some.length));
  for (const size of sizes) {
    for (const [index, { bytes }] of (await resizePhotos(some, size)).entries()) {
      await writeFile(join(scratch, `${size}-${index}.jpg`), bytes);
    }
  }
}
