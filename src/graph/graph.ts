/**
 * The intermediate representation: an immutable graph over ONNX operators (default domain). Builders and the ONNX
 * reader make graphs, passes rewrite them, the writer serializes them. A graph does no I/O and holds no large weight:
 * an initializer either carries a few inline bytes or refers to its bytes in a file.
 *
 * Invariants (verify.ts checks them): each value is defined once (graph input, initializer or node output); nodes stand
 * in topological order; every used value is defined; every output is produced.
 */

export type DataType = 'float32' | 'float16' | 'float64' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool';

/** A dimension: a size, or the name of a size that is free until the graph runs, e.g. `N`, `H`. */
export type Dim = number | string;

/** A graph input or output. */
export interface ValueInfo {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly Dim[];
}

/** Where an initializer's bytes are: little-endian, row-major. */
export type InitializerData =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'external';
      /** Relative to the model's folder. */
      readonly file: string;
      readonly offset: number;
      readonly length: number;
      /** The type of the bytes in the file where it differs from the initializer's own; the writer adds a Cast. */
      readonly storedAs?: DataType;
      /**
       * The order of the bytes in the file where it differs from the initializer's own; the writer adds a Transpose.
       */
      readonly arrangement?: Arrangement;
    }
  /** A parameter whose weights have not been bound yet: enough to infer, count and measure, not to run. */
  | { readonly kind: 'unbound' };

/** Values stored row-major over `dims`. Transposed by `perm` and then reshaped, they are the initializer's values. */
export interface Arrangement {
  readonly dims: readonly number[];
  readonly perm: readonly number[];
}

export interface Initializer {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly data: InitializerData;
  /** Present if the bytes are integers that stand for float32 numbers; the writer adds a DequantizeLinear. */
  readonly quantization?: Quantization;
}

/** How integers stand for float32 numbers: number = scale · (integer − zero point). ONNX DequantizeLinear. */
export interface Quantization {
  /** Type of the bytes. */
  readonly storedAs: 'int8' | 'uint8' | 'int32';
  /** float32: a scalar, or one for each index of `axis`. */
  readonly scale: Initializer;
  /** Of type `storedAs` and the scale's dimensions; absent: 0. */
  readonly zeroPoint?: Initializer;
  readonly axis: number;
}

export type Attribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensor'; readonly value: Initializer };

export interface Node {
  /** Of ONNX; one of another domain is `domain:operator`. */
  readonly op: string;
  /** Unique in the graph; for messages and profiles. */
  readonly name: string;
  /** Value names; an empty string is an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly name: string;
  /** Version of the default operator set. */
  readonly opset: number;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly Node[];
  readonly initializers: ReadonlyMap<string, Initializer>;
}
