/**
 * The tools that Keras's layers are written with (…-layers.ts): a class of layers checks its options and adds nodes.
 * Keras has channels last, graphs here have them first. Only values of rank 4 (maps) differ in this, so the rank of
 * each value is kept.
 *
 * Source: keras.io/api/layers, and TensorFlow.js's layers where they differ from Keras's.
 */
import { z } from 'zod';
import type { Attribute } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';

/** A value between layers. */
export interface Value {
  readonly name: string;
  /**
   * Counts the batch axis. A value of rank 4 is a map, [N, C, H, W] here and [N, H, W, C] in Keras; the axes of others
   * do not differ.
   */
  readonly rank: number;
}

/** The operations that a call of a layer may use. Names of nodes and constants begin with the layer's path. */
export interface LayerTools {
  /** Major version of the Keras that wrote the model; TensorFlow.js counts as 2. */
  readonly keras: number;
  /** Add a node with one output, named after the layer and the operator; returns the output's name. */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  /** Add a small constant; returns its name. */
  constant(dataType: 'float32' | 'int64', dims: readonly number[], values: readonly number[]): string;
  /** The layer's first weight by these names, which must have this rank. Throws GraphError otherwise. */
  weight(rank: number, ...names: string[]): Weight;
  /**
   * Declare a parameter of shape `dims`: the weight, its axes ordered by `perm` (default: as stored). Returns its name.
   */
  parameter(weight: Weight, dims: readonly number[], perm?: readonly number[]): string;
  /** An error about one of the layer's fields. */
  fail(field: string, detail: string): GraphError;
}

export interface Weight {
  readonly name: string;
  /** Dimensions in the file. */
  readonly dims: readonly number[];
}

/** One call: the layer's unchecked options and its inputs → its result. Throws GraphError. */
export type LayerClass = (config: unknown, tools: LayerTools, inputs: readonly Value[]) => Value;

/** A class of layers whose options match a schema. */
export function layer<T>(
  schema: z.ZodType<T>,
  emit: (config: T, tools: LayerTools, inputs: readonly Value[]) => Value,
): LayerClass {
  return (config, tools, inputs) => {
    const result = schema.safeParse(config);
    if (result.success) return emit(result.data, tools, inputs);
    const [issue] = result.error.issues;
    throw tools.fail(issue?.path.join('.') ?? '', issue?.message ?? 'is invalid');
  };
}

/** A class of layers that have one input. */
export function layerOnOne<T>(
  schema: z.ZodType<T>,
  emit: (config: T, tools: LayerTools, x: Value) => Value,
): LayerClass {
  return layer(schema, (config, tools, [x, ...others]) => {
    if (x === undefined || others.length > 0)
      throw tools.fail('inbound_nodes', `has ${others.length + (x ? 1 : 0)} inputs, not one`);
    return emit(config, tools, x);
  });
}

/** A class of layers on one map. */
export function layerOnMap<T>(
  schema: z.ZodType<T>,
  emit: (config: T, tools: LayerTools, x: string) => Value,
): LayerClass {
  return layerOnOne(schema, (config, tools, { name, rank }) => {
    if (rank !== 4) throw tools.fail('inbound_nodes', `its input has rank ${rank} and is not a map`);
    return emit(config, tools, name);
  });
}

export const map = (name: string): Value => ({ name, rank: 4 });

// ---- options -----------------------------------------------------------------------------------------------------

/** A field with a default, which also replaces null. */
export function optional<T>(schema: z.ZodType<T>, fallback: T): z.ZodType<T> {
  return schema.nullish().transform((value) => value ?? fallback);
}

const size = z
  .number()
  .int()
  .positive()
  .max(2 ** 31);

/** Height and width: two sizes, or one size for both. */
export const extent: z.ZodType<readonly [height: number, width: number]> = z.union([
  z.tuple([size, size]),
  z.tuple([size]).transform(([side]) => [side, side] as const),
  size.transform((side) => [side, side] as const),
]);

export const padding = optional(z.enum(['valid', 'same']), 'valid');

export const channelsLast = z.literal('channels_last', 'only channels_last can be read').nullish();

/** The name of an activation; Keras 3 writes `{ class_name: 'function', config: name }`. */
export const activationName = optional(
  z.union([z.string(), z.object({ config: z.string() }).transform(({ config }) => config)]),
  'linear',
);

/** Refuse all axes (in Keras's numbering) except the last one, the channels. */
export function checkChannels(tools: LayerTools, axes: readonly number[], rank: number): void {
  const [axis, ...others] = axes;
  if (others.length === 0 && (axis === -1 || axis === rank - 1)) return;
  throw tools.fail('axis', `is [${axes.join(', ')}], but must be the last of ${rank} axes`);
}

/** An axis, or a list of them. */
export const axisList: z.ZodType<readonly number[]> = z.union([
  z.array(z.number().int()),
  z
    .number()
    .int()
    .transform((axis) => [axis]),
]);
