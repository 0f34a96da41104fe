/**
 * What an ONNX file says of itself beside its graph: who wrote it, and its `metadata_props`, where exporters keep the
 * names of classes. Source: onnx.proto, ModelProto (producer_name 2, producer_version 3, metadata_props 14);
 * Ultralytics, engine/exporter.py (`names`, `imgsz`, `task`).
 */
import type { FileHandle } from 'node:fs/promises';
import { openModelFile, readExactly } from '../files/file-access.js';
import { protobufFields, varintAt } from '../files/protobuf-fields.js';

export interface OnnxMetadata {
  /** `pytorch 2.5.1`; empty if the file does not say. */
  readonly producer: string;
  readonly properties: ReadonlyMap<string, string>;
}

/** Limits in bytes: of a property, and of all. The names of a thousand classes take some tens of kilobytes. */
const MAX_PROPERTY = 2 ** 20;
const MAX_PROPERTIES = 2 ** 22;

const MAX_PRODUCER = 200;

/** Outermost fields that are looked at. */
const MAX_FIELDS = 10_000;

/** Read the outermost fields of a file that is known to be ONNX. Throws ModelFileError if it cannot be read. */
export async function readOnnxMetadata(file: string): Promise<OnnxMetadata> {
  const handle = await openModelFile(file);
  try {
    return await readFields(handle, file);
  } finally {
    await handle.close();
  }
}

async function readFields(handle: FileHandle, file: string): Promise<OnnxMetadata> {
  const { size } = await handle.stat();
  const producer = ['', ''];
  const properties = new Map<string, string>();
  let bytes = 0;
  for await (const field of protobufFields(handle, size, MAX_FIELDS)) {
    if (field === undefined || field.offset + field.length > size) break;
    const { number, type, offset, length } = field;
    if (type !== 'bytes') continue;
    if (number === 14 && length <= MAX_PROPERTY && (bytes += length) <= MAX_PROPERTIES) {
      const [key, value] = entryOf(await readExactly(handle, file, length, offset));
      properties.set(key, value);
    } else if ((number === 2 || number === 3) && length <= MAX_PRODUCER) {
      producer[number - 2] = (await readExactly(handle, file, length, offset)).toString('utf8');
    }
  }

  return {
    producer: producer
      .join(' ')
      .replace(/[\x00-\x1f\x7f]/g, ' ')
      .trim(),
    properties,
  };
}

/** Key and value of a StringStringEntryProto. */
function entryOf(bytes: Buffer): readonly [key: string, value: string] {
  const texts = ['', ''];
  for (let at = 0; at < bytes.length;) {
    const tag = varintAt(bytes, at);
    const length = tag && varintAt(bytes, tag.end);
    if (tag === undefined || length === undefined || tag.value % 8 !== 2) break;
    at = length.end + length.value;
    const index = Math.floor(tag.value / 8) - 1;
    if (index === 0 || index === 1) texts[index] = bytes.subarray(length.end, at).toString('utf8');
  }
  return [texts[0]!, texts[1]!];
}
