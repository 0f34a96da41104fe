/** Makes a network of any classifier in an ONNX file: read by onnx-file.ts, brought to form by import-classifier.ts. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { importClassifier } from './import-classifier.js';
import { nativeSizeOf, type ModelFolder } from '../manifest.js';
import { explain } from '../files/model-file-error.js';
import type { Network } from './network.js';
import { readOnnxFile } from '../files/onnx-file.js';
import type { FileStamp, StampedFile } from '../../regular-files.js';

/** Load the network; reads and hashes the files. Throws ModelFileError naming the file and the field. */
export async function loadOnnx({ folder, manifest, labels }: ModelFolder): Promise<Network> {
  const file = join(folder, manifest.weights.file);
  const { graph, files } = await readOnnxFile(file);
  const [{ stamp: own }, ...others] = files;
  const size = nativeSizeOf(manifest);
  const imported = await explain(file, () =>
    importClassifier(graph, { size, classes: labels.length, stated: manifest.output }),
  );
  return {
    ...imported,
    fileDigest: own.sha256,
    weightsDigest: others.length === 0 ? own.sha256 : digestOfAll(own, others),
    weightsFolder: dirname(file),
    weightsFiles: files,
  };
}

function digestOfAll(own: FileStamp, others: readonly StampedFile[]): string {
  const digests = others.map(({ name, stamp }) => [name, stamp.sha256]);
  return createHash('sha256')
    .update(JSON.stringify([own.sha256, ...digests]))
    .digest('hex');
}
