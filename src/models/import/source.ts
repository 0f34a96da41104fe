/** What can be imported, in words, and where it lies. */

/** The formats that are recognized. */
export const FORMATS = {
  onnx: 'an ONNX model',
  'tfjs-layers': 'a TensorFlow.js LayersModel',
  'tfjs-graph': 'a TensorFlow.js GraphModel',
  'teachable-machine': 'an image model of Teachable Machine',
  'hugging-face': 'a model folder of Hugging Face',
  safetensors: 'weights in a safetensors file',
  keras: 'a Keras model',
  pytorch: 'a PyTorch checkpoint',
  /** What is in it has a format of its own (unpack.ts). */
  zip: 'a zip archive',
} as const satisfies Readonly<Record<string, string>>;

export type FormatName = keyof typeof FORMATS;

/** Something that can be imported. Plain data. */
export interface Source {
  readonly format: FormatName;
  /** What the format's converter takes. */
  readonly file: string;
  /** Where files with the names of classes are looked for. */
  readonly folder: string;
  /** A name for the model, made of that of the file or folder. */
  readonly name: string;
}
