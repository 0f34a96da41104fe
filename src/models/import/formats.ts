/** The formats that can be imported, in words, with what converts each. */
import type { Converter } from './conversion.js';
import { convertHuggingFace } from './hugging-face.js';
import { convertOnnx } from './onnx.js';
import { convertSafetensors } from './safetensors.js';
import { convertTeachableMachine } from './teachable-machine.js';
import { convertTfjsLayers } from './tfjs-layers.js';

export interface Format {
  readonly what: string;
  /** Absent where the format is known, but nothing converts it yet. */
  readonly convert?: Converter;
}

export const FORMATS = {
  onnx: { what: 'an ONNX model', convert: convertOnnx },
  'tfjs-layers': { what: 'a TensorFlow.js LayersModel', convert: convertTfjsLayers },
  // Here comes convertTfjsGraph (tfjs-graph.ts).
  'tfjs-graph': { what: 'a TensorFlow.js GraphModel' },
  'teachable-machine': { what: 'an image model of Teachable Machine', convert: convertTeachableMachine },
  'hugging-face': { what: 'a model folder of Hugging Face', convert: convertHuggingFace },
  safetensors: { what: 'weights in a safetensors file', convert: convertSafetensors },
  // Here comes convertKeras (keras.ts), for .h5 and .keras.
  keras: { what: 'a Keras model' },
  // What is in it has a format of its own (unpack.ts).
  zip: { what: 'a zip archive' },
  // Here comes convertPytorch (pytorch.ts).
  pytorch: { what: 'a PyTorch checkpoint' },
} as const satisfies Readonly<Record<string, Format>>;

export type FormatName = keyof typeof FORMATS;

/** What converts a format; undefined if nothing does yet. */
export function converterOf(name: FormatName): Converter | undefined {
  return (FORMATS[name] as Format).convert;
}
