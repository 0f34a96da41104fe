/**
 * The tensors that sessions take and return: a data type, dimensions, and row-major values in a typed array. Nothing is
 * copied here. The holder of a tensor owns its buffer until the tensor is handed to a session or a worker.
 */

export interface TypedArrays {
  uint8: Uint8Array;
  int32: Int32Array;
  int64: BigInt64Array;
  float32: Float32Array;
}

export type TensorType = keyof TypedArrays;

export const TYPED_ARRAYS: {
  [T in TensorType]: {
    new (length: number): TypedArrays[T];
    new (buffer: ArrayBuffer, byteOffset: number, length: number): TypedArrays[T];
  };
} = {
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
};

export function isSessionType(type: string): type is TensorType {
  return type in TYPED_ARRAYS;
}

export interface Tensor<T extends TensorType = TensorType> {
  readonly type: T;
  readonly dims: readonly number[];
  /** Row-major; its length is the product of `dims`. */
  readonly data: TypedArrays[T];
}

/** Tensors by the name of the graph's input or output. */
export type TensorMap = Readonly<Record<string, Tensor>>;

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/**
 * The tensor called `name`, checked to be of `type`. Throws when it is absent or of another type: a broken invariant.
 */
export function expectTensor<T extends TensorType>(tensors: TensorMap, name: string, type: T): Tensor<T> {
  const tensor = tensors[name];
  if (tensor?.type !== type) throw new Error(`expected a ${type} tensor ${name}, got ${tensor?.type ?? 'none'}`);
  return tensor as Tensor<T>;
}
