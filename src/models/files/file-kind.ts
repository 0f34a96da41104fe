/**
 * Tells by its bytes what a file is, whatever it is called, and whether it is cut off. Nothing is decoded: a few bytes are
 * read in a few places. file-kinds.ts has the words.
 */
import type { FileHandle } from 'node:fs/promises';
import { openModelFile } from './file-access.js';
import { adviceOn, FILE_KINDS, type FileKindName } from './file-kinds.js';
import { ModelFileError } from './model-file-error.js';
import { protobufFields, varintAt, type ProtobufField } from './protobuf-fields.js';
import { openZip } from './zip.js';

export interface FileKind {
  readonly name: FileKindName;
  /** Whether the file ends before what it announces. */
  readonly isCut: boolean;
  readonly size: number;
}

/** Enough for every magic number, the first lines of a text, and a tar's `ustar`. */
const HEAD_BYTES = 4096;

/** Longest header of safetensors that is believed. */
const MAX_HEADER_BYTES = 2 ** 27;

/** Outermost fields of a protocol buffer that are looked at: ONNX has tens, a frozen graph thousands. */
const MAX_FIELDS = 1000;

/** Formats by what they begin with, as Latin-1, at byte `at` (default 0). The first that matches counts. */
const MAGIC: readonly (readonly [name: FileKindName, bytes: string, at?: number])[] = [
  ['hdf5', '\x89HDF\r\n\x1a\n'],
  ['zip', 'PK\x03\x04'],
  ['zip', 'PK\x05\x06'],
  // Protocol 2, then the long integer 0x1950a86a20f9469cfc6c: torch/serialization.py, MAGIC_NUMBER.
  ['torch-legacy', '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19'],
  ['pickle', '\x80\x02'],
  ['pickle', '\x80\x03'],
  ['pickle', '\x80\x04\x95'],
  ['pickle', '\x80\x05\x95'],
  ['tflite', 'TFL3', 4],
  ['ort', 'ORTM', 4],
  ['executorch', 'ET1', 4],
  ['gguf', 'GGUF'],
  ['ncnn', '7767517'],
  ['numpy', '\x93NUMPY'],
  ['git-lfs', 'version https://git-lfs.github.com/spec/'],
  ['gzip', '\x1f\x8b\x08'],
  ['bzip2', 'BZh'],
  ['xz', '\xfd7zXZ\x00'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['7z', "7z\xbc\xaf'\x1c"],
  ['rar', 'Rar!\x1a\x07'],
  ['image', '\xff\xd8\xff'],
  ['image', '\x89PNG\r\n\x1a\n'],
  ['image', 'GIF8'],
  ['image', 'WEBP', 8],
  ['image', 'II*\x00'],
  ['image', 'MM\x00*'],
  ['image', 'ftypavif', 4],
  ['image', 'ftyphei', 4],
  ['pdf', '%PDF-'],
  ['program', '\x7fELF'],
  ['tar', 'ustar', 257],
];

/** What the file is. Throws ModelFileError if it cannot be read. */
export async function kindOfFile(file: string): Promise<FileKind> {
  const handle = await openModelFile(file);
  try {
    const { size } = await handle.stat();
    return { size, ...(await kindOf(file, handle, size)) };
  } finally {
    await handle.close();
  }
}

/**
 * The error for a file that a reader of the format `wanted` can make nothing of: what the file is, what is wrong with it,
 * and what to do. Never what the reader met inside.
 */
export async function refusalOf(
  file: string,
  wanted: FileKindName,
  options?: { cause?: unknown },
): Promise<ModelFileError> {
  const kind = await kindOfFile(file);
  const detail =
    kind.name !== wanted
      ? describeOther(file, kind, wanted)
      : kind.isCut
        ? describeCut(kind)
        : `begins as ${FILE_KINDS[wanted].what} does, but is damaged behind that; copy or download it again`;
  return new ModelFileError(file, 'file', detail, options);
}

/** `is a TensorFlow Lite model, and not an ONNX model; convert it: …`. */
function describeOther(file: string, { name }: FileKind, wanted: FileKindName): string {
  return `is ${FILE_KINDS[name].what}, and not ${FILE_KINDS[wanted].what}; ${adviceOn(name, file)}`;
}

/** The predicate of a file that ends too early. */
export function describeCut({ name, size }: FileKind): string {
  return `is ${FILE_KINDS[name].what} that is cut off after ${size} bytes; copy or download it again`;
}

type Found = Pick<FileKind, 'name' | 'isCut'>;

const whole = (name: FileKindName): Found => ({ name, isCut: false });

async function kindOf(file: string, handle: FileHandle, size: number): Promise<Found> {
  if (size === 0) return whole('empty');
  const bytes = Buffer.alloc(Math.min(size, HEAD_BYTES));
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
  const head = bytes.subarray(0, bytesRead);
  const text = head.toString('latin1');
  const magic = MAGIC.find(([, magicBytes, at = 0]) => text.startsWith(magicBytes, at));
  if (magic !== undefined) return refine({ file, handle, head, size }, magic[0]);
  return safetensors(head, size) ?? (await protobuf(handle, size)) ?? textual(head) ?? whole('unknown');
}

interface Opened {
  readonly file: string;
  readonly handle: FileHandle;
  /** Its first bytes. */
  readonly head: Buffer;
  readonly size: number;
}

/** Formats that share a magic number, and those whose length can be checked. */
async function refine({ file, handle, head, size }: Opened, name: FileKindName): Promise<Found> {
  switch (name) {
    case 'hdf5': {
      const end = hdf5End(head);
      return { name, isCut: end !== undefined && end > size };
    }
    case 'zip':
      if (!(await hasZipEnd(handle, size))) return { name, isCut: true };
      return whole(isEncrypted(head) ? 'encrypted-zip' : await kindOfArchive(file));
    case 'tar':
      // torch before 0.1.10 wrote the members sys_info, pickle, storages and tensors.
      return whole(/^(sys_info|pickle|storages|tensors)\0/.test(head.toString('latin1')) ? 'torch-tar' : 'tar');
    default:
      return whole(name);
  }
}

/** The length that an HDF5 file should have; undefined if this form does not say. Source: HDF5 File Format 3.0, II.A. */
function hdf5End(head: Buffer): number | undefined {
  const version = head[8];
  const at = version === 0 ? 40 : version === 1 ? 44 : version === 2 || version === 3 ? 28 : undefined;
  const offsetBytes = version === 0 || version === 1 ? head[13] : head[9];
  if (at === undefined || offsetBytes !== 8 || head.length < at + 8) return undefined;
  return Number(head.readBigUInt64LE(at));
}

/** Whether the end of the file has the record that closes a zip archive; a comment may follow it. */
async function hasZipEnd(handle: FileHandle, size: number): Promise<boolean> {
  const length = Math.min(size, 22 + 65535);
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await handle.read(bytes, 0, length, size - length);
  return bytes.subarray(0, bytesRead).lastIndexOf('PK\x05\x06', undefined, 'latin1') >= 0;
}

/** Whether the first file of a zip archive is encrypted: a flag of its header. */
function isEncrypted(head: Buffer): boolean {
  return head.length > 7 && head[2] === 3 && (head[6]! & 1) === 1;
}

/** What an archive is, by the files that are in it. One whose list is faulty is a zip archive. */
async function kindOfArchive(file: string): Promise<FileKindName> {
  const zip = await openZip(file).catch(() => undefined);
  const names = [...(zip?.entries.keys() ?? [])];
  await zip?.close();
  // torch puts all files into one folder, whose name is that of the archive.
  const inFolder = new Set(names.map((name) => name.replace(/^[^/]*\//, '')));
  if (inFolder.has('data.pkl')) {
    const isProgram = [...inFolder].some((name) => name.startsWith('code/') || name === 'constants.pkl');
    return isProgram ? 'torch-script' : 'torch-zip';
  }
  if (names.includes('config.json') && names.includes('model.weights.h5')) return 'keras-zip';
  if (names.length > 0 && names.every((name) => name.endsWith('.npy'))) return 'numpy-zip';
  if (names.some((name) => /(^|\/)[^/]+\.mlpackage\/|(^|\/)com\.apple\.CoreML\//.test(name))) return 'coreml';
  return names.includes('META-INF/MANIFEST.MF') ? 'program' : 'zip';
}

function safetensors(head: Buffer, size: number): Found | undefined {
  if (head.length < 9 || head[8] !== 0x7b) return undefined;
  const header = head.readBigUInt64LE(0);
  if (header < 2n || header > MAX_HEADER_BYTES) return undefined;
  return { name: 'safetensors', isCut: 8 + Number(header) > size };
}

/** The outermost fields of the formats that are protocol buffers, and of which type they are. */
const ONNX_FIELDS = new Map([
  ...[1, 5].map((number) => [number, 'number'] as const),
  ...[2, 3, 4, 6, 7, 8, 14, 20, 25, 26].map((number) => [number, 'bytes'] as const),
]);
const SAVED_MODEL_FIELDS = new Map([
  [1, 'number'],
  [2, 'bytes'],
] as const);
const GRAPH_FIELDS = new Map([
  [1, 'bytes'],
  [2, 'bytes'],
  [3, 'number'],
  [4, 'bytes'],
  [5, 'bytes'],
] as const);

async function protobuf(handle: FileHandle, size: number): Promise<Found | undefined> {
  const fields: ProtobufField[] = [];
  let isFaulty = false;
  for await (const field of protobufFields(handle, size, MAX_FIELDS)) {
    if (field === undefined) isFaulty = true;
    else fields.push(field);
  }
  const [first] = fields;
  if (first === undefined) return undefined;
  const last = fields.at(-1)!;
  const isCut = isFaulty || last.offset + last.length > size;
  const has = (number: number): boolean => fields.some((field) => field.number === number);
  const fits = (known: ReadonlyMap<number, ProtobufField['type']>): boolean =>
    fields.every(({ number, type }) => known.get(number) === type);
  const numbers = new Map(fields.filter(({ type }) => type === 'number').map(({ number, value }) => [number, value]));

  const version = numbers.get(1) ?? 0;
  if (fits(ONNX_FIELDS) && has(7) && version > 0 && version < 100) return { name: 'onnx', isCut };
  if (fits(SAVED_MODEL_FIELDS) && version === 1 && has(2)) return { name: 'saved-model', isCut };
  if (fits(GRAPH_FIELDS) && (await isNodeDef(handle, first))) return { name: 'frozen-graph', isCut };
  // Core ML: the version of the specification, a description, and a model of one of the types 200 to 3000.
  const isTyped = fields.some(({ number, type }) => number >= 200 && number < 4000 && type === 'bytes');
  if (version > 0 && version < 100 && isTyped && !isFaulty) return { name: 'coreml', isCut };
  // Caffe: a name, and layers in field 100, or 2 in the old form.
  if (first.number === 1 && first.type === 'bytes' && has(100) && !isFaulty) return { name: 'caffe', isCut };
  return undefined;
}

/** Whether a field holds a node of a TensorFlow graph: a message that begins with a name and an operator. */
async function isNodeDef(handle: FileHandle, field: ProtobufField): Promise<boolean> {
  if (field.number !== 1) return false;
  const bytes = Buffer.alloc(Math.min(field.length, 512));
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, field.offset);
  const head = bytes.subarray(0, bytesRead);
  const name = head[0] === 0x0a ? varintAt(head, 1) : undefined;
  if (name === undefined) return false;
  const at = name.end + name.value;
  const op = head[at] === 0x12 ? varintAt(head, at + 1) : undefined;
  return op !== undefined && /^[A-Za-z_]\w*$/.test(head.subarray(op.end, op.end + op.value).toString('latin1'));
}

function textual(head: Buffer): Found | undefined {
  const text = head.toString('utf8').replace(/^\ufeff/, '');
  // The last character may be cut.
  const checked = head.length < HEAD_BYTES ? text : text.slice(0, -4);

  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]/.test(checked)) return undefined;
  const begin = text.trimStart();
  if (/^<!doctype html|^<html/i.test(begin)) return whole('html');
  if (begin.startsWith('<?xml') || begin.startsWith('<net')) return whole(/<net[\s>]/.test(begin) ? 'openvino' : 'xml');
  if (/^[{[]/.test(begin)) return whole(/"(modelTopology|weightsManifest)"/.test(begin) ? 'tfjs-json' : 'json');
  return whole('text');
}
