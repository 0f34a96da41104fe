/**
 * The values of a TensorFlow graph while it becomes ONNX. TensorFlow's maps have channels last, [N, H, W, C]; graphs here
 * have them first. So every floating-point value of rank 4 is kept as [N, C, H, W], and all others as they are. What
 * needs TensorFlow's own order gets it by a Transpose; Transposes that follow each other are merged, and those that move
 * nothing are left out.
 */
import { float, ints } from '../../graph/attributes.js';
import type { GraphBuilder } from '../../graph/build.js';
import type { Attribute } from '../../graph/graph.js';
import { elementCount } from '../../tensor.js';
import type { TfNode } from './tfjs-nodes.js';

/** A value that a node computes. */
export interface TfValue {
  /** Its name in the graph; a floating-point value of rank 4 has channels first. */
  readonly name: string;
  readonly rank: number;
  readonly type: 'float32' | 'int64';
  /** Present for a constant. */
  readonly constant?: TfConstant;
}

export interface TfConstant {
  /** The name of the weight. */
  readonly weight: string;
  /** In TensorFlow's order. */
  readonly dims: readonly number[];
  /** Row-major; only of small constants. */
  readonly values?: readonly number[];
}

/** A parameter of the graph: the weight, its axes ordered by `perm`, under the dimensions `dims`. */
export interface TfParameter {
  readonly name: string;
  readonly weight: string;
  /** Dimensions of the weight; with fewer axes than `perm`, the first ones are of size 1. */
  readonly stored: readonly number[];
  readonly dims: readonly number[];
  readonly perm?: readonly number[];
}

/** The axes of [N, C, H, W], in the order of [N, H, W, C], and back. */
const TO_LAST = [0, 2, 3, 1];
const TO_FIRST = [0, 3, 1, 2];

/** Where an axis of [N, H, W, C] is in [N, C, H, W]. */
export const PLANAR_AXIS = [0, 2, 3, 1] as const;

export class TfTools {
  readonly builder: GraphBuilder;
  readonly node: TfNode;
  readonly #shared: TfShared;

  constructor(shared: TfShared, node: TfNode) {
    this.#shared = shared;
    this.builder = shared.builder;
    this.node = node;
  }

  /** Add a node with one output, named after the TensorFlow node; returns the output's name. */
  emit(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.builder.node(op, inputs, { name: this.node.name, attributes });
  }

  ints(values: readonly number[]): string {
    return this.builder.constant(`${this.node.name}.constant`, 'int64', [values.length], values);
  }

  scalar(value: number): string {
    return this.builder.constant(`${this.node.name}.constant`, 'float32', [], [value]);
  }

  /** A Transpose, merged with the one that made the value. */
  transpose(name: string, perm: readonly number[]): string {
    const { origins } = this.#shared;
    const origin = origins.get(name);
    const from = origin?.from ?? name;
    const merged = origin === undefined ? perm : perm.map((axis) => origin.perm[axis]!);
    if (merged.every((axis, index) => axis === index)) return from;
    const transposed = this.emit('Transpose', [from], { perm: ints(...merged) });
    origins.set(transposed, { from, perm: merged });
    return transposed;
  }

  /** The name of a value in TensorFlow's order of axes. */
  last(value: TfValue): string {
    const known = this.materialized(value);
    return isMap(known) ? this.transpose(known.name, TO_LAST) : known.name;
  }

  /** A value from a name in TensorFlow's order of axes. */
  fromLast(name: string, rank: number, type: TfValue['type']): TfValue {
    return { name: rank === 4 && type === 'float32' ? this.transpose(name, TO_FIRST) : name, rank, type };
  }

  /** The value with a name in the graph: a constant gets a parameter or an inline constant, once. */
  materialized(value: TfValue): TfValue {
    const { constant } = value;
    if (constant === undefined || value.name !== '') return value;
    if (value.type === 'int64') {
      if (constant.values === undefined) throw this.node.fail(`its constant "${constant.weight}" is too large`);
      const name = this.builder.constant(constant.weight, 'int64', constant.dims, constant.values);
      return { ...value, name };
    }
    return { ...value, name: this.parameter(constant, ...planar(constant.dims)) };
  }

  /** Declare a parameter: the constant, its axes ordered by `perm`, under the dimensions `dims`. Returns its name. */
  parameter({ weight, dims: given }: TfConstant, dims: readonly number[], perm?: readonly number[]): string {
    const { parameters } = this.#shared;
    const key = JSON.stringify([weight, dims, perm]);
    const known = parameters.get(key);
    if (known !== undefined) return known.name;
    const taken = [...parameters.values()].filter((parameter) => parameter.weight === weight).length;
    const name = this.builder.parameter(taken === 0 ? weight : `${weight}#${taken}`, dims);
    const stored = [...Array<number>(Math.max(0, (perm?.length ?? 0) - given.length)).fill(1), ...given];
    parameters.set(key, { name, weight, stored, dims, ...(perm === undefined ? {} : { perm }) });
    return name;
  }

  /**
   * An operand that broadcasts to `rank`, as TensorFlow aligns it: by its last axes. Beside a map, a vector is one number
   * for each channel.
   */
  operand(value: TfValue, rank: number): string {
    const { constant } = value;
    if (constant !== undefined && value.type === 'float32') {
      if (constant.dims.length > rank) throw this.node.fail('its constant has more axes than its value');
      const filled = [...Array<number>(rank - constant.dims.length).fill(1), ...constant.dims];
      const [dims, perm] = rank === 4 ? planar(filled) : [filled, undefined];
      const isScalar = elementCount(filled) === 1;
      return this.parameter(constant, isScalar ? [] : dims, isVector(filled) ? undefined : perm);
    }
    const { name } = this.materialized(value);
    if (value.rank === rank || value.rank === 0 || value.type === 'int64') return name;
    if (rank === 4 && value.rank === 1) return this.emit('Unsqueeze', [name, this.ints([1, 2])]);
    if (rank === 4) throw this.node.fail(`a value of rank ${value.rank} cannot join one of rank 4`);
    return name;
  }

  /** The small whole numbers of a constant. */
  numbers(value: TfValue | undefined, what: string): readonly number[] {
    const values = value?.constant?.values;
    if (values === undefined) throw this.node.fail(`its ${what} is no constant`);
    return values;
  }

  /** How many numbers a vector has, if that is known. */
  lengthOf({ name, rank, constant }: TfValue): number | undefined {
    if (rank !== 1) return undefined;
    return constant?.dims[0] ?? this.#shared.lengths.get(name);
  }

  /** The value, with the number of its elements noted. */
  withLength(value: TfValue, length: number | undefined): TfValue {
    if (value.rank === 1 && length !== undefined) this.#shared.lengths.set(value.name, length);
    return value;
  }

  clip(x: string, low: number, high: number): string {
    return this.emit('Clip', [x, this.scalar(low), this.scalar(high)]);
  }

  leakyRelu(x: string, slope: number): string {
    return this.emit('LeakyRelu', [x], { alpha: float(slope) });
  }
}

/** What all nodes of a graph share. */
export interface TfShared {
  readonly builder: GraphBuilder;
  readonly parameters: Map<string, TfParameter>;
  /** The number of elements of vectors. */
  readonly lengths: Map<string, number>;
  /** For each result of a Transpose, what it was made of. */
  readonly origins: Map<string, { readonly from: string; readonly perm: readonly number[] }>;
}

export function isMap({ rank, type }: TfValue): boolean {
  return rank === 4 && type === 'float32';
}

/** Dimensions and order of a constant as the graph has it. */
function planar(dims: readonly number[]): [dims: readonly number[], perm: readonly number[] | undefined] {
  return dims.length === 4 ? [TO_FIRST.map((axis) => dims[axis]!), TO_FIRST] : [dims, undefined];
}

/** Whether at most one axis is larger than 1, so that no order of the axes moves a number. */
function isVector(dims: readonly number[]): boolean {
  return dims.filter((size) => size !== 1).length <= 1;
}
