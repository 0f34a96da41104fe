/**
 * Small constants: the few bytes that a graph carries itself. Little-endian and row-major, as ONNX's raw_data is.
 */
import { elementCount } from '../tensor.js';
import type { DataType, Initializer } from './graph.js';

export const BYTES_PER_ELEMENT: Readonly<Record<DataType, number>> = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  float16: 2,
  uint8: 1,
  int8: 1,
  bool: 1,
};

/** Bytes of a tensor; not a safe integer when `dims` are absurd, so compare rather than allocate. */
export function byteSize(dataType: DataType, dims: readonly number[]): number {
  return elementCount(dims) * BYTES_PER_ELEMENT[dataType];
}

/** An inline initializer of `values`, row-major. */
export function inlineConstant(
  name: string,
  dataType: 'float32' | 'int64',
  dims: readonly number[],
  values: readonly number[],
): Initializer {
  const array = dataType === 'float32' ? Float32Array.from(values) : BigInt64Array.from(values, BigInt);
  return { name, dataType, dims, data: { kind: 'inline', bytes: new Uint8Array(array.buffer) } };
}

/** The values of an inline int64 or int32 tensor, saturated to safe integers; undefined for anything else. */
export function integerValues({ dataType, data }: Initializer): readonly number[] | undefined {
  if (data.kind !== 'inline' || (dataType !== 'int64' && dataType !== 'int32')) return undefined;
  const { bytes } = data;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = BYTES_PER_ELEMENT[dataType];
  return Array.from({ length: bytes.byteLength / width }, (_, index) =>
    dataType === 'int64' ? safeInteger(view.getBigInt64(index * width, true)) : view.getInt32(index * width, true),
  );
}

/** An int64 as a number. Saturates: beyond 2^53 exporters only mean "to the end", e.g. in Slice. */
export function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}
