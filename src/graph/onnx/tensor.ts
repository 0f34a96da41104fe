/**
 * TensorProto → initializer. A tensor's values are in one of three places: `raw_data`, the typed field of its data type
 * (where narrow types ride in wider fields: float16 bits, int8, uint8 and bool in int32_data), or an external file.
 * Source: onnx.proto, TensorProto; ONNX "External data".
 */
import { elementCount } from '../../tensor.js';
import { byteSize, safeInteger } from '../constants.js';
import type { DataType, Initializer, InitializerData } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { dataTypeName, dataTypeOf } from './data-types.js';
import { TensorProto_DataLocation, type TensorProto } from './proto/onnx_pb.js';

/**
 * The initializer of a message, with a copy of the data that the message has. Throws GraphError naming the tensor if its
 * type is not supported or its sizes disagree.
 */
export function decodeTensor(proto: TensorProto, name: string): Initializer {
  const fail = (detail: string): GraphError => new GraphError(`tensor "${name}": ${detail}`);
  const dataType = dataTypeOf(proto.dataType);
  if (dataType === undefined) throw fail(`data type ${dataTypeName(proto.dataType)} is not supported`);
  if (proto.segment !== undefined) throw fail('segmented tensors are not supported');
  const dims = proto.dims.map(safeInteger);
  if (dims.some((size) => size < 0)) throw fail(`the dimensions [${dims.join(', ')}] are not sizes`);
  if (!Number.isSafeInteger(byteSize(dataType, dims))) throw fail(`the dimensions [${dims.join(', ')}] are too large`);

  const data =
    proto.dataLocation === TensorProto_DataLocation.EXTERNAL
      ? externalData(proto, byteSize(dataType, dims), fail)
      : inlineData(proto, dataType, elementCount(dims), fail);
  return { name, dataType, dims, data };
}

function externalData(proto: TensorProto, expected: number, fail: (detail: string) => GraphError): InitializerData {
  const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
  const file = entries.get('location') ?? '';
  if (file === '' || file.startsWith('/') || file.includes('\\') || file.split('/').includes('..')) {
    throw fail(`the location "${file}" of its external data is not a file below the model's folder`);
  }
  const size = (key: string, fallback: number): number => {
    const text = entries.get(key);
    const value = text === undefined ? fallback : Number(text);
    if ((text !== undefined && !/^\d+$/.test(text)) || !Number.isSafeInteger(value)) {
      throw fail(`the ${key} "${text ?? ''}" of its external data is not a size`);
    }
    return value;
  };
  return { kind: 'external', file, offset: size('offset', 0), length: size('length', expected) };
}

function inlineData(
  proto: TensorProto,
  dataType: DataType,
  count: number,
  fail: (detail: string) => GraphError,
): InitializerData {
  const typed = typedValues(proto, dataType);
  if (proto.rawData.length > 0) {
    if (typed.length > 0) throw fail('its data is given twice, raw and typed');
    return { kind: 'inline', bytes: proto.rawData.slice() };
  }
  if (typed.length !== count) throw fail(`${typed.length} values, but its dimensions take ${count}`);
  const limits = INTEGER_LIMITS[dataType];
  if (limits !== undefined && typed.some((value) => value < limits[0] || value > limits[1])) {
    throw fail(`a value is outside of ${dataType}`);
  }
  return { kind: 'inline', bytes: packValues(dataType, typed) };
}

/** Types that ride in int32_data, and their limits. */
const INTEGER_LIMITS: Readonly<Partial<Record<DataType, readonly [number, number]>>> = {
  float16: [0, 0xffff],
  uint8: [0, 255],
  int8: [-128, 127],
  bool: [0, 1],
};

function typedValues(proto: TensorProto, dataType: DataType): readonly (number | bigint)[] {
  switch (dataType) {
    case 'float32':
      return proto.floatData;
    case 'float64':
      return proto.doubleData;
    case 'int64':
      return proto.int64Data;
    default:
      return proto.int32Data;
  }
}

function packValues(dataType: DataType, values: readonly (number | bigint)[]): Uint8Array {
  const numbers = values as readonly number[];
  switch (dataType) {
    case 'float32':
      return bytesOf(Float32Array.from(numbers));
    case 'float64':
      return bytesOf(Float64Array.from(numbers));
    case 'int64':
      return bytesOf(BigInt64Array.from(values as readonly bigint[]));
    case 'int32':
      return bytesOf(Int32Array.from(numbers));
    case 'float16':
      return bytesOf(Uint16Array.from(numbers));
    case 'int8':
      return bytesOf(Int8Array.from(numbers));
    case 'uint8':
    case 'bool':
      return Uint8Array.from(numbers);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
