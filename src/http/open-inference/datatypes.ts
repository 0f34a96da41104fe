/**
 * The datatypes of the protocol: the bytes of an element. All are known, so that a refusal can say what is taken instead.
 * Source: Open Inference Protocol, "Tensor data types"; BF16 is Triton's.
 */
export const ELEMENT_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  /** Each with its length before it. */
  BYTES: undefined,
} as const;

export type Datatype = keyof typeof ELEMENT_BYTES;

export function isDatatype(word: string): word is Datatype {
  return Object.hasOwn(ELEMENT_BYTES, word);
}
