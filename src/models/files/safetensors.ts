/**
 * The safetensors format: a length (uint64), a JSON header of that length, then the tensors' bytes, little-endian and
 * row-major, at the offsets given by the header. Reading touches only the header, and trusts none of it: the returned
 * tensors lie inside the file, without overlaps or holes, and their lengths match their shapes.
 *
 * Source: huggingface/safetensors, README "Format".
 */
import type { FileHandle } from 'node:fs/promises';
import { byteSize } from '../../graph/constants.js';
import type { DataType } from '../../graph/graph.js';
import type { StoredTensor } from '../../graph/passes/bind-weights.js';
import { openModelFile, readExactly } from './file-access.js';
import { refusalOf } from './file-kind.js';
import { duplicateKey } from './json-keys.js';
import { excessOf } from './json-limits.js';
import { createFile, makeWhole } from '../../files.js';
import { ModelFileError } from './model-file-error.js';

export interface Safetensors {
  /** By name; offsets count from the start of the file. */
  readonly tensors: Map<string, StoredTensor>;
  /** The header's `__metadata__`; empty if it has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

const LENGTH_BYTES = 8;
/** Limit for the header; those of published models have some hundred kilobytes. */
const MAX_HEADER_BYTES = 2 ** 23;
/** The tensors of files written here begin at a multiple of this, so that every float is aligned. */
const ALIGNMENT = 64;

const DATA_TYPES = new Map<unknown, DataType>([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['I64', 'int64'],
  ['I32', 'int32'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
]);
const STORED_TYPES = new Map([...DATA_TYPES].map(([stored, dataType]) => [dataType, stored]));

/** Read the header of a file. Throws ModelFileError naming the faulty field or tensor. */
export async function readSafetensors(file: string): Promise<Safetensors> {
  const handle = await openModelFile(file);
  try {
    const { size } = await handle.stat();
    const length = await headerLength(handle, file, size);
    const header = parseHeader(await readExactly(handle, file, length, LENGTH_BYTES), file);
    return checkHeader(header, { file, start: LENGTH_BYTES + length, size });
  } finally {
    await handle.close();
  }
}

async function headerLength(handle: FileHandle, file: string, size: number): Promise<number> {
  const length = size < LENGTH_BYTES ? undefined : (await readExactly(handle, file, LENGTH_BYTES, 0)).readBigUInt64LE();
  // The first bytes of any other format are a length beyond that of the file.
  if (length === undefined || length > BigInt(size - LENGTH_BYTES)) throw await refusalOf(file, 'safetensors');
  if (length > MAX_HEADER_BYTES) {
    throw new ModelFileError(
      file,
      'header length',
      `${length.toString()} bytes, at most ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  return Number(length);
}

function parseHeader(bytes: Buffer, file: string): Readonly<Record<string, unknown>> {
  const excess = excessOf(bytes);
  if (excess !== undefined) throw new ModelFileError(file, 'header', excess);
  let header: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(file, 'header', 'is not JSON', { cause });
  }
  if (!isRecord(header)) throw new ModelFileError(file, 'header', 'is not an object');
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw new ModelFileError(file, duplicate, 'is given twice');
  return header;
}

/** The tensors' part of a file: from byte `start` to its end at `size`. */
interface DataRange {
  readonly file: string;
  readonly start: number;
  readonly size: number;
}

function checkHeader(header: Readonly<Record<string, unknown>>, range: DataRange): Safetensors {
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new ModelFileError(range.file, '__metadata__', 'is not an object of strings');
  }
  const tensors = new Map(Object.entries(entries).map(([name, entry]) => [name, checkTensor(name, entry, range)]));
  checkCoverage(tensors, range);
  return { tensors, metadata: metadata as Record<string, string> };
}

function checkTensor(name: string, entry: unknown, { file, start, size }: DataRange): StoredTensor {
  const fail = (field: string, detail: string) => new ModelFileError(file, `${name}.${field}`, detail);
  if (!isRecord(entry)) throw new ModelFileError(file, name, 'is not an object');
  const { dtype, shape, data_offsets: offsets } = entry;
  const dataType = DATA_TYPES.get(dtype);
  if (dataType === undefined) throw fail('dtype', `${JSON.stringify(dtype)} is not supported`);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail('shape', 'is not a list of sizes');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fail('data_offsets', 'is not a pair of offsets');
  }
  const [begin, end] = offsets as [number, number];
  const available = size - start;
  if (begin > end || end > available) {
    throw fail('data_offsets', `[${begin}, ${end}] lies outside the ${available} bytes of data`);
  }
  const expected = byteSize(dataType, shape);
  if (end - begin !== expected) {
    throw fail(
      'data_offsets',
      `span ${end - begin} bytes, but [${shape.join(', ')}] ${String(dtype)} takes ${expected}`,
    );
  }
  return { dataType, dims: shape, offset: start + begin, length: end - begin };
}

/** Checks that the tensors cover the data exactly: no overlaps, and no holes that could hide other data. */
function checkCoverage(tensors: ReadonlyMap<string, StoredTensor>, { file, start, size }: DataRange): void {
  let position = start;
  for (const [name, { offset, length }] of [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.length - b.length,
  )) {
    if (offset !== position) {
      const detail =
        offset < position ? 'overlaps another tensor' : `leaves ${offset - position} bytes before it unused`;
      throw new ModelFileError(file, `${name}.data_offsets`, detail);
    }
    position += length;
  }
  if (position !== size) throw new ModelFileError(file, 'file', `${size - position} bytes follow the last tensor`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A tensor to write. `values`, row-major, is called when the tensor is written; the result is not kept. */
export interface WritableTensor {
  readonly name: string;
  readonly dims: readonly number[];
  /** Default: float32. */
  readonly dataType?: DataType;
  readonly values: () => Float32Array | Buffer | Promise<Float32Array | Buffer>;
}

/**
 * Write tensors, one in memory at a time. The file appears whole or not at all. Throws Error if the number of a tensor's
 * values does not match its dimensions.
 */
export async function writeSafetensors(
  file: string,
  tensors: Iterable<WritableTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const list = [...tensors];
  await makeWhole(file, async (unfinished) => {
    const handle = await createFile(unfinished);
    try {
      await writeFully(handle, encodeHeader(list, metadata));
      for (const { name, dims, dataType = 'float32', values } of list) {
        const { buffer, byteOffset, byteLength } = await values();
        if (byteLength !== byteSize(dataType, dims)) {
          throw new Error(`tensor "${name}": ${byteLength} bytes do not make [${dims.join(', ')}] ${dataType}`);
        }
        await writeFully(handle, new Uint8Array(buffer, byteOffset, byteLength));
      }
    } finally {
      await handle.close();
    }
  });
}

function encodeHeader(tensors: readonly WritableTensor[], metadata: Readonly<Record<string, string>>): Buffer {
  let end = 0;
  const entries = tensors.map(({ name, dims, dataType = 'float32' }) => {
    const begin = end;
    end += byteSize(dataType, dims);
    return [name, { dtype: STORED_TYPES.get(dataType), shape: dims, data_offsets: [begin, end] }] as const;
  });
  const meta = Object.keys(metadata).length > 0 ? [['__metadata__', metadata] as const] : [];
  const json = Buffer.from(JSON.stringify(Object.fromEntries([...meta, ...entries])));
  const total = Math.ceil((LENGTH_BYTES + json.length) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(total, ' ');
  header.writeBigUInt64LE(BigInt(total - LENGTH_BYTES));
  json.copy(header, LENGTH_BYTES);
  return header;
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
    done += bytesWritten;
  }
}
