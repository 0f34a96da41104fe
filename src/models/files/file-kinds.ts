/**
 * The kinds of files that people take for models, in words: what each is called, and what can be done with it. file-kind.ts
 * tells them apart.
 */
import { basename, dirname } from 'node:path';
import { shellWord } from './shell-word.js';

export interface FileKindWords {
  /** With its article: `an ONNX model`. */
  readonly what: string;
  /** What to do with it instead. FILE stands for its name, FOLDER for that of its folder. */
  readonly todo: string;
}

const IMPORT = 'fullconv import makes a model folder of it';
const NOT_A_MODEL = 'models are files such as model.onnx, model.safetensors or model.h5';
const UNPACK = 'unpack it first';
const TF2ONNX = 'python -m tf2onnx.convert';
const INSTALL_TF2ONNX = '(pip install tf2onnx tensorflow)';

export const FILE_KINDS = {
  // Formats that are read.
  onnx: { what: 'an ONNX model', todo: IMPORT },
  safetensors: { what: 'a safetensors file', todo: IMPORT },
  hdf5: { what: 'an HDF5 file', todo: IMPORT },
  'torch-zip': { what: 'a PyTorch checkpoint', todo: IMPORT },
  'torch-legacy': { what: 'a PyTorch checkpoint in the form before 1.6', todo: IMPORT },
  'torch-tar': { what: 'a PyTorch checkpoint in the form before 0.1.10', todo: IMPORT },
  'keras-zip': { what: 'a Keras 3 file (.keras)', todo: IMPORT },
  'tfjs-json': { what: 'the model.json of a TensorFlow.js model', todo: IMPORT },
  // Formats of models that are not read.
  'torch-script': {
    what: 'a TorchScript program, which holds code beside its weights',
    todo: 'export the net to ONNX where it was made: torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "model.onnx")',
  },
  tflite: {
    what: 'a TensorFlow Lite model',
    todo: `convert it: ${TF2ONNX} --tflite FILE --output model.onnx ${INSTALL_TF2ONNX}`,
  },
  'saved-model': {
    what: 'the graph of a TensorFlow SavedModel',
    todo: `convert its folder: ${TF2ONNX} --saved-model FOLDER --output model.onnx ${INSTALL_TF2ONNX}`,
  },
  'frozen-graph': {
    what: 'a frozen TensorFlow graph',
    todo:
      `convert it: ${TF2ONNX} --graphdef FILE --inputs INPUT:0 --outputs OUTPUT:0 --output model.onnx ${INSTALL_TF2ONNX}; ` +
      'netron.app shows what its input and output are called',
  },
  openvino: {
    what: 'the topology of an OpenVINO model (IR)',
    todo: 'convert it: openvino2onnx FILE (pip install openvino2onnx "onnx<1.19")',
  },
  coreml: {
    what: 'a Core ML model',
    todo:
      'convert the model that it was made of, with the exporter of its framework; in PyTorch: ' +
      'torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "model.onnx")',
  },
  caffe: {
    what: 'a Caffe model',
    todo:
      'convert it: python -m caffe2onnx.convert --prototxt deploy.prototxt --caffemodel FILE --onnx model.onnx ' +
      '(pip install --no-deps caffe2onnx "onnx<1.18" "protobuf<3.21" numpy)',
  },
  ort: {
    what: "a model in ONNX Runtime's own format",
    todo: 'use the ONNX file that it was made of',
  },
  executorch: {
    what: 'an ExecuTorch program',
    todo: 'export the net to ONNX where it was made: torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "model.onnx")',
  },
  gguf: { what: 'a GGUF file, a format of language models', todo: 'it holds no image classifier' },
  ncnn: {
    what: 'the topology of an ncnn model',
    todo: 'use the ONNX file or the PyTorch net that it was made of',
  },
  pickle: {
    what: 'a Python pickle, but no PyTorch checkpoint',
    todo: 'nothing is executed from a file; export the net to ONNX with the library that made it',
  },
  // Files around models.
  json: { what: 'a JSON file', todo: NOT_A_MODEL },
  'git-lfs': {
    what: 'a Git LFS pointer, a few lines in the place of the file itself',
    todo: 'fetch the file: git lfs pull',
  },
  html: {
    what: 'a web page',
    todo: 'the download gave a page in the place of the file, perhaps because it wants a login; download it again',
  },
  zip: { what: 'a zip archive', todo: UNPACK },
  'encrypted-zip': { what: 'a zip archive that is encrypted', todo: 'unpack it with its password: unzip FILE' },
  numpy: { what: 'a NumPy array', todo: NOT_A_MODEL },
  'numpy-zip': { what: 'an archive of NumPy arrays (.npz)', todo: NOT_A_MODEL },
  gzip: { what: 'compressed by gzip', todo: `${UNPACK}: gunzip FILE, or tar -xzf FILE` },
  bzip2: { what: 'compressed by bzip2', todo: `${UNPACK}: bunzip2 FILE, or tar -xjf FILE` },
  xz: { what: 'compressed by xz', todo: `${UNPACK}: unxz FILE, or tar -xJf FILE` },
  zstd: { what: 'compressed by Zstandard', todo: `${UNPACK}: unzstd FILE` },
  tar: { what: 'a tar archive', todo: `${UNPACK}: tar -xf FILE` },
  '7z': { what: 'a 7-Zip archive', todo: `${UNPACK}: 7z x FILE` },
  rar: { what: 'a RAR archive', todo: `${UNPACK}: unrar x FILE` },
  image: { what: 'an image', todo: NOT_A_MODEL },
  pdf: { what: 'a PDF document', todo: NOT_A_MODEL },
  program: { what: 'a program', todo: NOT_A_MODEL },
  xml: { what: 'an XML file', todo: NOT_A_MODEL },
  text: { what: 'a text', todo: NOT_A_MODEL },
  empty: { what: 'empty (0 bytes)', todo: 'copy or download it again' },
  unknown: { what: 'in no format that is known here', todo: NOT_A_MODEL },
} as const satisfies Readonly<Record<string, FileKindWords>>;

export type FileKindName = keyof typeof FILE_KINDS;

/** The predicate of a file of that kind, and what to do with it: `is a TensorFlow Lite model; convert it: …`. */
export function describeKind(name: FileKindName, file: string): string {
  return `is ${FILE_KINDS[name].what}; ${adviceOn(name, file)}`;
}

/** What to do with a file of that kind. */
export function adviceOn(name: FileKindName, file: string): string {
  const words = { FILE: basename(file), FOLDER: basename(dirname(file)) };
  return FILE_KINDS[name].todo.replaceAll(/\b(?:FILE|FOLDER)\b/g, (word) =>
    shellWord(words[word as keyof typeof words]),
  );
}
