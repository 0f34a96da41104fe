/**
 * The outermost fields of a protocol buffer, without its messages: enough to tell formats apart, and to find one small
 * field of a large file. Reads a few bytes for each field, and skips the rest. Source: Protocol Buffers, "Encoding".
 */
import type { FileHandle } from 'node:fs/promises';

export interface ProtobufField {
  readonly number: number;
  /** `number`: a varint; `bytes`: a text, a message or packed numbers; `fixed`: four or eight bytes. */
  readonly type: 'number' | 'bytes' | 'fixed';
  /** Of a number; those beyond 2^53 are not exact. */
  readonly value: number;
  /** Where the bytes begin in the file, and how many there are. The file may be shorter. */
  readonly offset: number;
  readonly length: number;
}

/** Tag and length of a field, or tag and number, at their longest. */
const HEAD_BYTES = 20;

/**
 * The fields of a file of `size` bytes, up to `limit` of them. The last one may go beyond the end of the file; what cannot
 * be a field ends the list with undefined.
 */
export async function* protobufFields(
  handle: FileHandle,
  size: number,
  limit: number,
): AsyncGenerator<ProtobufField | undefined> {
  const head = Buffer.alloc(HEAD_BYTES);
  for (let position = 0, count = 0; position < size && count < limit; count += 1) {
    const { bytesRead } = await handle.read(head, 0, HEAD_BYTES, position);
    const field = fieldAt(head.subarray(0, bytesRead), position);
    yield field;
    if (field === undefined) return;
    position = field.offset + field.length;
  }
}

function fieldAt(head: Buffer, position: number): ProtobufField | undefined {
  const tag = varintAt(head, 0);
  if (tag === undefined) return undefined;
  const number = Math.floor(tag.value / 8);
  if (number === 0) return undefined;
  const offset = position + tag.end;
  switch (tag.value % 8) {
    case 0: {
      const varint = varintAt(head, tag.end);
      return varint && { number, type: 'number', value: varint.value, offset, length: varint.end - tag.end };
    }
    case 1:
      return { number, type: 'fixed', value: 0, offset, length: 8 };
    case 2: {
      const length = varintAt(head, tag.end);
      return length && { number, type: 'bytes', value: 0, offset: position + length.end, length: length.value };
    }
    case 5:
      return { number, type: 'fixed', value: 0, offset, length: 4 };
    default:
      return undefined;
  }
}

/** The varint at `begin`, and the place behind it; undefined if it has no end. */
export function varintAt(
  bytes: Uint8Array,
  begin: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 10; index += 1) {
    const byte = bytes[begin + index];
    if (byte === undefined) return undefined;
    value += (byte & 127) * 128 ** index;
    if (byte < 128) return { value, end: begin + index + 1 };
  }
  return undefined;
}
