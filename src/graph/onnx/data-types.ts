/**
 * ONNX's codes for the data types that a graph may have, and back. A code of any other type gives undefined; the caller
 * refuses it by its name. Source: onnx.proto, TensorProto.DataType.
 */
import type { DataType } from '../graph.js';
import { TensorProto_DataType as Code } from './proto/onnx_pb.js';

export const DATA_TYPE_CODES: Readonly<Record<DataType, Code>> = {
  float32: Code.FLOAT,
  float16: Code.FLOAT16,
  float64: Code.DOUBLE,
  uint8: Code.UINT8,
  int8: Code.INT8,
  int32: Code.INT32,
  int64: Code.INT64,
  bool: Code.BOOL,
};

const BY_CODE = new Map<number, DataType>(
  Object.entries(DATA_TYPE_CODES).map(([dataType, code]) => [code, dataType as DataType]),
);

/** The data type of a code; undefined where graphs do not have it. */
export function dataTypeOf(code: number): DataType | undefined {
  return BY_CODE.get(code);
}

/** A code's name for messages, e.g. BFLOAT16. */
export function dataTypeName(code: number): string {
  return (Code as Readonly<Record<number, string>>)[code] ?? `number ${code}`;
}
