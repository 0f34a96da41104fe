/** What converts each format. */
import type { Converter, Stated } from './conversion.js';
import { convertHuggingFace } from './hugging-face.js';
import { convertKerasFile } from './keras-file.js';
import { convertKerasApplication } from './keras-applications.js';
import { convertOnnx } from './onnx.js';
import { convertPytorchFile } from './pytorch-file.js';
import { convertSafetensors } from './safetensors.js';
import type { FormatName, Source } from './source.js';
import { convertTeachableMachine } from './teachable-machine.js';
import { convertTfjsGraphFile } from './tfjs-graph-file.js';
import { convertTfjsLayers } from './tfjs-layers.js';

/** Formats that are missing here are recognized, but not converted yet. */
const CONVERTERS: Readonly<Partial<Record<FormatName, Converter>>> = {
  onnx: convertOnnx,
  'tfjs-layers': convertTfjsLayers,
  'teachable-machine': convertTeachableMachine,
  'hugging-face': convertHuggingFace,
  safetensors: convertSafetensors,
  'tfjs-graph': convertTfjsGraphFile,
  keras: convertKerasFile,
  pytorch: convertPytorchFile,
};

/** What converts a source; undefined if nothing does yet. */
export function converterOf(source: Pick<Source, 'format' | 'file'>, { architecture }: Stated): Converter | undefined {
  const isWeights = source.format === 'keras' && architecture !== undefined && !source.file.endsWith('.keras');
  return isWeights ? convertKerasApplication : CONVERTERS[source.format];
}
