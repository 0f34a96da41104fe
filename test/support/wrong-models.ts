/** Files that people take for models, by their first bytes as their formats have them. */
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';

export interface WrongModel {
  /** As people call such a file. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What file-kind.ts calls it. */
  readonly kind: string;
  /** What a person is told. */
  readonly words: RegExp;
}

/** Bytes that mean nothing, the same for a seed. */
export function noise(length: number, seed = 7): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A field of a protocol buffer with a length of less than 128 × 128 bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  const tag = number * 8 + 2;
  const head = [...(tag < 128 ? [tag] : [(tag % 128) + 128, Math.floor(tag / 128)])];
  const { length } = bytes;
  return Buffer.concat([Buffer.from([...head, (length % 128) + 128, Math.floor(length / 128)]), bytes]);
}

export interface ZipMember {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly isDeflated?: boolean;
  readonly isEncrypted?: boolean;
}

/** A zip archive. Its checksums are zero. */
export function zip(members: readonly ZipMember[]): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes, isDeflated = false, isEncrypted = false } of members) {
    const packed = isDeflated ? deflateRawSync(bytes) : Buffer.from(bytes);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(isEncrypted ? 1 : 0, 2);
    common.writeUInt16LE(isDeflated ? 8 : 0, 4);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const file = Buffer.concat([latin('PK\x03\x04'), common, Buffer.from(name), packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([latin('PK\x01\x02\x14\x00'), common, tail, Buffer.from(name)]));
    files.push(file);
    offset += file.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...files, entries, end]);
}

const rest = Buffer.alloc(200, 1);
const photo = readFileSync(new URL('../fixtures/photos/grace_hopper.jpg', import.meta.url));
const node = field(1, Buffer.concat([field(1, latin('input')), field(2, latin('Placeholder'))]));

export const WRONG_MODELS: readonly WrongModel[] = [
  {
    name: 'a TensorFlow Lite model',
    bytes: Buffer.concat([latin('\x1c\x00\x00\x00TFL3'), rest]),
    kind: 'tflite',
    words: /is a TensorFlow Lite model.*tf2onnx\.convert --tflite/,
  },
  {
    name: 'the graph of a SavedModel',
    bytes: Buffer.concat([Buffer.from([8, 1]), field(2, rest)]),
    kind: 'saved-model',
    words: /SavedModel.*tf2onnx\.convert --saved-model/,
  },
  {
    name: 'a frozen graph',
    bytes: Buffer.concat([node, node, field(4, Buffer.from([8, 100]))]),
    kind: 'frozen-graph',
    words: /frozen TensorFlow graph.*tf2onnx\.convert --graphdef/,
  },
  {
    name: 'a Core ML model',
    bytes: Buffer.concat([Buffer.from([8, 4]), field(2, rest), field(403, rest)]),
    kind: 'coreml',
    words: /Core ML model.*torch\.onnx\.export/,
  },
  {
    name: "OpenVINO's topology",
    bytes: Buffer.from('<?xml version="1.0"?>\n<net name="torch-jit-export" version="11">\n<layers></layers></net>'),
    kind: 'openvino',
    words: /OpenVINO model.*openvino2onnx/,
  },
  {
    name: 'a Caffe model',
    bytes: Buffer.concat([field(1, latin('net')), field(100, rest)]),
    kind: 'caffe',
    words: /Caffe model/,
  },
  {
    name: 'a PyTorch checkpoint',
    bytes: zip(['data.pkl', 'byteorder', 'data/0'].map((name) => ({ name: `net/${name}`, bytes: rest }))),
    kind: 'torch-zip',
    words: /is a PyTorch checkpoint/,
  },
  {
    name: 'a TorchScript program',
    bytes: zip(['data.pkl', 'code/__torch__.py'].map((name) => ({ name: `net/${name}`, bytes: rest }))),
    kind: 'torch-script',
    words: /TorchScript.*torch\.onnx\.export/,
  },
  {
    name: 'an old PyTorch checkpoint',
    bytes: Buffer.concat([latin('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'), rest]),
    kind: 'torch-legacy',
    words: /PyTorch checkpoint/,
  },
  {
    name: "joblib's pickle",
    bytes: Buffer.concat([latin('\x80\x04\x95\x10\x00\x00\x00'), rest]),
    kind: 'pickle',
    words: /Python pickle.*nothing is executed/,
  },
  {
    name: 'a Keras 3 file',
    bytes: zip(['metadata.json', 'config.json', 'model.weights.h5'].map((name) => ({ name, bytes: rest }))),
    kind: 'keras-zip',
    words: /Keras 3 file/,
  },
  { name: 'a zip archive of nothing', bytes: zip([]), kind: 'zip', words: /is a zip archive/ },
  {
    name: 'an encrypted zip archive',
    bytes: zip([{ name: 'model.onnx', bytes: rest, isEncrypted: true }]),
    kind: 'encrypted-zip',
    words: /encrypted.*with its password/,
  },
  {
    name: 'a zip archive that is cut off',
    bytes: zip([{ name: 'a', bytes: rest }]).subarray(0, 100),
    kind: 'zip, cut',
    words: /zip archive/,
  },
  { name: 'an empty file', bytes: Buffer.alloc(0), kind: 'empty', words: /is empty \(0 bytes\)/ },
  { name: 'a photo', bytes: photo, kind: 'image', words: /is an image/ },
  { name: 'random bytes', bytes: noise(2 ** 20), kind: 'unknown', words: /in no format that is known here/ },
  {
    name: 'a Git LFS pointer',
    bytes: Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'),
    kind: 'git-lfs',
    words: /Git LFS pointer.*git lfs pull/,
  },
  {
    name: 'a web page',
    bytes: Buffer.from('<!DOCTYPE html><html><title>Sign in</title></html>'),
    kind: 'html',
    words: /web page.*download it again/,
  },
  { name: 'JSON', bytes: Buffer.from('{"a": 1}'), kind: 'json', words: /is a JSON file/ },
  { name: 'a text', bytes: Buffer.from('Grüße\n'), kind: 'text', words: /is a text/ },
  { name: 'gzip', bytes: Buffer.concat([latin('\x1f\x8b\x08'), rest]), kind: 'gzip', words: /gzip.*unpack it first/ },
  { name: 'a program', bytes: Buffer.concat([latin('\x7fELF'), rest]), kind: 'program', words: /is a program/ },
];
