/**
 * A PyTorch checkpoint → safetensors under the names of a built-in architecture. The state dict is found in what
 * torch.save was given (state-dict.ts), its architecture deduced from its tensors (deduce-architecture.ts); values are
 * converted to single precision, one tensor in memory at a time. Calls block the thread.
 */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { openModelFileSync } from '../files/file-access.js';
import { explain, ModelFileError } from '../files/model-file-error.js';
import { writeSafetensors, type WritableTensor } from '../files/safetensors.js';
import { readCheckpoint } from './checkpoint.js';
import type { Converter } from './conversion.js';
import { deduceArchitecture, deducedConversion } from './deduce-architecture.js';
import { findLabels, findStateDict, notedArchitecture } from './state-dict.js';
import { locateTensor, readTensor } from './stored-tensors.js';

/** Convert on this thread. Throws ModelFileError saying what the file is, and what to do. */
export const convertPytorchFile: Converter = async (file, folder, { architecture: stated }) => {
  const checkpoint = await readCheckpoint(file);
  const found = findStateDict(checkpoint.root);
  if (typeof found === 'string') throw new ModelFileError(file, 'file', found);
  const { tensors: all, path } = found;
  const dims = new Map([...all].map(([name, tensor]) => [name, tensor.dims]));
  const hints = { stated, noted: notedArchitecture(checkpoint.root) };
  const deduction = await explain(file, () => deduceArchitecture(dims, hints));

  const under = path.length === 0 ? '' : `, under "${path.join('.')}"`;
  const conversion = deducedConversion(deduction, { what: `A state dict of ${all.size} tensors${under}`, stated });

  const descriptor = openModelFileSync(file);
  try {
    const tensors = deduction.parameters.map(({ name, dims: wanted, tensor }): WritableTensor => {
      const located = locateTensor(file, tensor, all.get(tensor)!, checkpoint);
      return { name, dims: wanted, values: () => readTensor(file, descriptor, located) };
    });
    await writeSafetensors(join(folder, conversion.model.weights.file), tensors, { format: 'pt' });
  } finally {
    closeSync(descriptor);
  }
  return { ...conversion, labels: findLabels(checkpoint.root, deduction.classes) };
};
