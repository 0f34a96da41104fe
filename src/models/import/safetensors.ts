/** Weights alone in a safetensors file: the architecture is stated, or follows from the tensors. */
import { join } from 'node:path';
import { buildArchitecture, isArchitecture, parametersOf, type ArchitectureName } from '../../architectures/index.js';
import { OperatorError } from '../../errors.js';
import { copyModelFile } from '../files/file-access.js';
import { readSafetensors } from '../files/safetensors.js';
import { findNaming } from '../networks/weight-names.js';
import type { Conversion, Converter } from './conversion.js';

const WEIGHTS_FILE = 'model.safetensors';

/** The Converter of safetensors files. */
export const convertSafetensors: Converter = async (file, folder, { architecture }): Promise<Conversion> => {
  const { tensors } = await readSafetensors(file);
  if (architecture === undefined) {
    throw new OperatorError(
      `${file}: holds weights, but not the net that they belong to; state it with --architecture, e.g. ` +
        '--architecture resnet50 (fullconv architectures lists them), or import a file that holds the net: ONNX',
    );
  }
  if (!isArchitecture(architecture)) throw unknownArchitecture(architecture);
  const classes = classesIn(file, architecture, tensors);
  const sha256 = await copyModelFile(file, join(folder, WEIGHTS_FILE));
  return { model: { architecture, weights: { file: WEIGHTS_FILE, sha256 } }, classes, notes: [] };
};

/** The error for an architecture that is not built in. */
export function unknownArchitecture(name: string): OperatorError {
  return new OperatorError(`--architecture ${name}: there is no such architecture; fullconv architectures lists them`);
}

/** The number of classes that a file has for an architecture: of its last bias. Throws ModelFileError if it has other tensors. */
export function classesIn(
  file: string,
  architecture: ArchitectureName,
  tensors: ReadonlyMap<string, { readonly dims: readonly number[] }>,
): number {
  const names = parametersOf(buildArchitecture(architecture)).map(({ name }) => name);
  const { nameOf } = findNaming(file, names, tensors);
  return tensors.get(nameOf(names.at(-1)!))!.dims[0] ?? 0;
}
