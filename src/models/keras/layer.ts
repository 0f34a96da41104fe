/**
 * What the layers of Keras are written in (…-layers.ts): a class checks its options and adds nodes. Keras has channels
 * last, graphs here have them first, so a map's axes are told apart from those of everything else by its rank.
 *
 * Source: keras.io/api/layers, and TensorFlow.js's layers where they differ from Keras's.
 */
import { z } from 'zod';
import type { Attribute } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';

/** A value between layers. */
export interface Value {
  readonly name: string;
  /** With the batch. Of rank 4 it is a map, [N, C, H, W] here and [N, H, W, C] in Keras; other ranks are alike. */
  readonly rank: number;
}

/** What a call of a layer may do. Names of nodes and parameters begin with the layer's path. */
export interface LayerTools {
  /** The major version of Keras that wrote the model; TensorFlow.js's own counts as 2. */
  readonly keras: number;
  /** Add a node with one output, called after the layer and the operator; returns the output's name. */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  /** Add a small constant; returns its name. */
  constant(dataType: 'float32' | 'int64', dims: readonly number[], values: readonly number[]): string;
  /** The first of these weights that the file has for this layer: its name, and its dimensions, of this rank. */
  weight(rank: number, ...names: string[]): Weight;
  /** A parameter of the graph: the weight, its axes in the order `perm` (default: its own), as `dims`. */
  parameter(weight: Weight, dims: readonly number[], perm?: readonly number[]): string;
  /** An error about one of the layer's fields. */
  fail(field: string, detail: string): GraphError;
}

export interface Weight {
  readonly name: string;
  /** In the file. */
  readonly dims: readonly number[];
}

/** One call: the layer's options, not checked yet, and its inputs → its result. Throws GraphError. */
export type LayerClass = (config: unknown, tools: LayerTools, inputs: readonly Value[]) => Value;

/** A class of layers with these options. */
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
    if (rank !== 4) throw tools.fail('inbound_nodes', `its input has rank ${rank}, and is no map`);
    return emit(config, tools, name);
  });
}

export const map = (name: string): Value => ({ name, rank: 4 });

// ---- options -----------------------------------------------------------------------------------------------------

/** A field with a default, which a file may also give as null. */
export function optional<T>(schema: z.ZodType<T>, fallback: T): z.ZodType<T> {
  return schema.nullish().transform((value) => value ?? fallback);
}

const size = z
  .number()
  .int()
  .positive()
  .max(2 ** 31);

/** Height and width: two sizes, or one for both. */
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

/** Refuse an axis, counted as Keras does, that is not the last one: the channels. */
export function checkChannels(tools: LayerTools, axes: readonly number[], rank: number): void {
  const [axis, ...others] = axes;
  if (others.length === 0 && (axis === -1 || axis === rank - 1)) return;
  throw tools.fail('axis', `is [${axes.join(', ')}], only the last axis of ${rank} can be`);
}

/** An axis, or a list of them. */
export const axisList: z.ZodType<readonly number[]> = z.union([
  z.array(z.number().int()),
  z
    .number()
    .int()
    .transform((axis) => [axis]),
]);
