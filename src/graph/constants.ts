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

/** Bytes of a tensor. Not a safe integer if `dims` are absurdly large, so check it before you allocate. */
export function byteSize(dataType: DataType, dims: readonly number[]): number {
  return elementCount(dims) * BYTES_PER_ELEMENT[dataType];
}

/** An inline initializer of `values`, row-major. */
export function inlineConstant(
  name: string,
  dataType: 'float32' | 'float16' | 'int64' | 'uint8',
  dims: readonly number[],
  values: ArrayLike<number>,
): Initializer {
  return { name, dataType, dims, data: { kind: 'inline', bytes: new Uint8Array(pack(dataType, values).buffer) } };
}

function pack(
  dataType: 'float32' | 'float16' | 'int64' | 'uint8',
  values: ArrayLike<number>,
): BigInt64Array<ArrayBuffer> | Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint8Array<ArrayBuffer> {
  switch (dataType) {
    case 'int64':
      return BigInt64Array.from(Array.from(values), BigInt);
    case 'float32':
      return Float32Array.from(values);
    case 'float16':
      return Uint16Array.from(values, halfBits);
    case 'uint8':
      return Uint8Array.from(values);
  }
}

/** The bits of a number as float16, rounded half away from zero; infinite from ±65520 on. IEEE 754 binary16. */
export function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  // Below 2⁻¹⁴ numbers are multiples of 2⁻²⁴; above, of 2^(exponent − 10). A mantissa that rounds up to the next power
  // of two carries into the exponent's bits, which is right.
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14);
  const mantissa = Math.round(magnitude * 2 ** (10 - exponent));
  return sign | (((exponent + 14) << 10) + mantissa);
}

/** The numbers in an array of little-endian float16 bytes. */
export function halfValues(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / 2 }, (_, index) => halfValue(view.getUint16(2 * index, true)));
}

/** The number that these float16 bits stand for. */
export function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The values of an inline float32 tensor that is not quantized; undefined for anything else. */
export function floatValues({ dataType, data, quantization }: Initializer): Float32Array<ArrayBuffer> | undefined {
  if (data.kind !== 'inline' || dataType !== 'float32' || quantization !== undefined) return undefined;
  return new Float32Array(data.bytes.slice().buffer);
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

/** An int64 as a number. Saturates: exporters use values beyond 2^53 only for "to the end", e.g. in Slice. */
export function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return Number.MAX_SAFE_INTEGER;
  if (value < BigInt(Number.MIN_SAFE_INTEGER)) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}
