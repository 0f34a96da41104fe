import type { ByteSource } from '../../src/graph/onnx/outline.js';

/** A file with these bytes. */
export const fileOf = (bytes: Uint8Array): ByteSource => ({
  size: bytes.length,
  read: (position, length) => Promise.resolve(bytes.subarray(position, position + length)),
});
