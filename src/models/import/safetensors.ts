/**
 * Weights alone in a safetensors file, whose net follows from its tensors (deduce-architecture.ts). Values keep their bytes;
 * tensors get the architecture's own names.
 */
import { join } from 'node:path';
import { openModelFile, readExactly } from '../files/file-access.js';
import { explain } from '../files/model-file-error.js';
import { readSafetensors, writeSafetensors, type WritableTensor } from '../files/safetensors.js';
import type { Converter } from './conversion.js';
import { deduceArchitecture, deducedConversion } from './deduce-architecture.js';

/** The Converter of safetensors files. */
export const convertSafetensors: Converter = async (file, folder, { architecture: stated }) => {
  const { tensors } = await readSafetensors(file);
  const dims = new Map([...tensors].map(([name, tensor]) => [name, tensor.dims]));
  const deduction = await explain(file, () => deduceArchitecture(dims, { stated }));
  const conversion = deducedConversion(deduction, { what: `${tensors.size} tensors`, stated });
  const handle = await openModelFile(file);
  try {
    const named = deduction.parameters.map(({ name, dims: wanted, tensor }): WritableTensor => {
      const { dataType, offset, length } = tensors.get(tensor)!;
      return { name, dims: wanted, dataType, values: () => readExactly(handle, file, length, offset) };
    });
    await writeSafetensors(join(folder, conversion.model.weights.file), named, { format: 'pt' });
  } finally {
    await handle.close();
  }
  return conversion;
};
