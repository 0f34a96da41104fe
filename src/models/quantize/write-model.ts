/** The folder of a quantized model: there whole, or not at all. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_FILE, ONNX, type Manifest, type ModelFolder } from '../manifest.js';
import type { QuantizedModel } from './quantize-model.js';

const WEIGHTS_FILE = 'model.onnx';
const LABELS_FILE = 'labels.json';

/** Write the model `name` below `models`, in place of one that is there; returns its folder. */
export async function writeQuantizedModel(
  models: string,
  name: string,
  { manifest, labels }: Pick<ModelFolder, 'manifest' | 'labels'>,
  { bytes, figures }: QuantizedModel,
): Promise<string> {
  const { description, license, source, version, options, input } = manifest;
  const inputSize = options?.['inputSize'];
  const written: Manifest = {
    name,
    version,
    description: `${description ?? manifest.name}; in 8-bit integers, calibrated on ${figures.images} images`,
    ...(license === undefined ? {} : { license }),
    ...(source === undefined ? {} : { source }),
    architecture: ONNX,
    ...(inputSize === undefined ? {} : { options: { inputSize } }),
    precision: 'int8',
    quantization: figures,
    weights: { file: WEIGHTS_FILE, sha256: createHash('sha256').update(bytes).digest('hex') },
    labels: LABELS_FILE,
    input,
  };
  const folder = join(models, name);
  const temporary = join(models, `.${name}.${randomUUID()}.tmp`);
  try {
    await mkdir(temporary, { recursive: true });
    await writeFile(join(temporary, WEIGHTS_FILE), bytes);
    await writeFile(join(temporary, LABELS_FILE), JSON.stringify(labels));
    await writeFile(join(temporary, MANIFEST_FILE), JSON.stringify(written, null, 2) + '\n');
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return folder;
}
