/** Makes a network of any classifier in an ONNX file: read by onnx-file.ts, brought to form by import-classifier.ts. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { importClassifier } from './import-classifier.js';
import type { ModelFolder } from '../manifest.js';
import { explain } from '../files/model-file-error.js';
import type { Network } from './network.js';
import { readOnnxFile } from '../files/onnx-file.js';

/** Load the network; reads and hashes the files. Throws ModelFileError naming the file and the field. */
export async function loadOnnx({ folder, manifest, labels }: ModelFolder): Promise<Network> {
  const file = join(folder, manifest.weights.file);
  const { graph, digest, externalDigests } = await readOnnxFile(file);
  const size = Number(manifest.options?.['inputSize'] ?? manifest.input.size);
  const imported = await explain(file, () => importClassifier(graph, { size, classes: labels.length }));
  return {
    ...imported,
    fileDigest: digest,
    weightsDigest:
      externalDigests.size === 0
        ? digest
        : createHash('sha256')
            .update(JSON.stringify([digest, ...externalDigests]))
            .digest('hex'),
    weightsFolder: dirname(file),
  };
}
