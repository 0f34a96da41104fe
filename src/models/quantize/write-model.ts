/**
 * Writes the folder of a quantized model, whole or not at all. It is made in `.quantizing/NAME` below the folder of
 * models, where no server looks, and then moved to its place. An old model of that name stays until then, and comes
 * back if the new one cannot be moved. After a crash in between, it comes back with the next write of that name.
 */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flushFolder, replaceFolder, restoreFolder } from '../../files.js';
import { whileLocked } from '../folder-lock.js';
import { MANIFEST_FILE, ONNX, type Manifest, type ModelFolder } from '../manifest.js';
import type { QuantizedModel } from './quantize-model.js';

const WEIGHTS_FILE = 'model.onnx';
const LABELS_FILE = 'labels.json';

/**
 * Write the model `name` below `models`, replacing an existing one; returns its folder. Throws OperatorError if another
 * process is writing it.
 */
export async function writeQuantizedModel(
  models: string,
  name: string,
  { manifest, labels }: Pick<ModelFolder, 'manifest' | 'labels'>,
  { bytes, input, activation, figures }: Pick<QuantizedModel, 'bytes' | 'input' | 'activation' | 'figures'>,
): Promise<string> {
  const { description, license, source, version, options, temperature, maps } = manifest;
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
    // The net ends in its logits, whatever the original ended in.
    output: activation === 'sigmoid' ? 'sigmoid' : 'logits',
    input,
    ...(temperature === undefined ? {} : { temperature }),
    ...(maps === undefined ? {} : { maps }),
  };
  const folder = join(models, name);
  const workshop = join(models, '.quantizing');
  await mkdir(workshop, { recursive: true });
  await whileLocked(join(workshop, `${name}.lock`), async () => {
    const [draft, old] = [join(workshop, name), join(workshop, `${name}.old`)];
    await restoreFolder(folder, old);
    // The draft of a process that died.
    await rm(draft, { recursive: true, force: true });
    try {
      await mkdir(draft);
      await writeFile(join(draft, WEIGHTS_FILE), bytes);
      await writeFile(join(draft, LABELS_FILE), JSON.stringify(labels));
      await writeFile(join(draft, MANIFEST_FILE), JSON.stringify(written, null, 2) + '\n');
      await flushFolder(draft);
      await replaceFolder(draft, folder, old);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  });
  return folder;
}
