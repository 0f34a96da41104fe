/**
 * The nodes of a TensorFlow graph in JSON, hostile until proven otherwise, in an order in which they can be computed.
 * Attributes are protobuf's JSON: whole numbers may be texts, and texts are base64. Any fault is thrown as a GraphError
 * that names the node.
 *
 * Source: tensorflow/core/framework/node_def.proto and attr_value.proto; tfjs-converter's operation_mapper.ts.
 */
import { z } from 'zod';
import { GraphError } from '../../graph/graph-error.js';

export interface TfNode {
  readonly name: string;
  readonly op: string;
  /** Outputs of other nodes, without control dependencies. */
  readonly inputs: readonly TfOutput[];
  readonly attributes: TfAttributes;
  /** An error about the node: `node "x" (Op): …`. */
  fail(detail: string): GraphError;
}

/** An output of a node: `name:index`. */
export interface TfOutput {
  readonly node: string;
  readonly index: number;
}

export interface TfAttributes {
  int(name: string, fallback: number): number;
  ints(name: string): readonly number[];
  float(name: string, fallback: number): number;
  bool(name: string, fallback: boolean): boolean;
  text(name: string, fallback: string): string;
  texts(name: string): readonly string[];
  /** The name of a type, `DT_FLOAT`. */
  type(name: string, fallback: string): string;
  /** Sizes, −1 for those that are free; undefined if the rank is not known. */
  shape(name: string): readonly number[] | undefined;
}

/** Limit for nodes; the deepest published nets have a few thousand. */
const MAX_NODES = 20_000;

const nodeSchema = z.object({
  name: z.string().min(1),
  op: z.string().min(1),
  input: z.array(z.string()).nullish(),
  attr: z.record(z.string(), z.unknown()).nullish(),
});

/** The nodes that `outputs` are computed from, by name, each after those it reads. Throws GraphError. */
export function readTfNodes(
  listed: readonly unknown[],
  outputsOf: (nodes: ReadonlyMap<string, TfNode>) => readonly string[],
): {
  readonly nodes: readonly TfNode[];
  readonly outputs: readonly string[];
} {
  if (listed.length > MAX_NODES) throw new GraphError(`modelTopology.node: has more than ${MAX_NODES} nodes`);
  const nodes = new Map<string, TfNode>();
  for (const [index, entry] of listed.entries()) {
    const { data, error } = nodeSchema.safeParse(entry);
    if (data === undefined) {
      throw new GraphError(`modelTopology.node.${index}.${error.issues[0]?.path.join('.') ?? ''}: is invalid`);
    }
    if (nodes.has(data.name)) throw new GraphError(`node "${data.name}": is given twice`);
    const fail = (detail: string): GraphError =>
      new GraphError(`node "${data.name}" (${data.op.replace(/\W/g, '')}): ${detail}`);
    const inputs = (data.input ?? []).filter((name) => !name.startsWith('^')).map(parseOutput);
    nodes.set(data.name, {
      name: data.name,
      op: data.op,
      inputs,
      attributes: attributesOf(data.attr ?? {}, fail),
      fail,
    });
  }
  const outputs = outputsOf(nodes);
  return { nodes: sorted(nodes, outputs), outputs };
}

/** `name` or `name:index`. */
export function parseOutput(text: string): TfOutput {
  const [, node = text, index = '0'] = /^(.*?)(?::(\d+))?$/.exec(text) ?? [];
  return { node, index: Number(index) };
}

/** Depth first, without recursion: chains of nodes are as long as nets are deep. */
function sorted(nodes: ReadonlyMap<string, TfNode>, outputs: readonly string[]): TfNode[] {
  const order: TfNode[] = [];
  const states = new Map<string, 'open' | 'done'>();
  const stack = outputs.map((name) => ({ name, reader: undefined as TfNode | undefined }));
  while (stack.length > 0) {
    const { name, reader } = stack.at(-1)!;
    const node = nodes.get(name);
    if (node === undefined) {
      throw reader?.fail(`reads "${name}", which does not exist`) ?? new GraphError(`output "${name}": does not exist`);
    }
    const waiting =
      states.get(name) === undefined ? node.inputs.filter((input) => states.get(input.node) !== 'done') : [];
    if (states.get(name) === undefined && waiting.length > 0) {
      const circular = waiting.find((input) => states.get(input.node) === 'open');
      if (circular !== undefined) throw node.fail('its inputs depend on its own result');
      states.set(name, 'open');
      for (const input of waiting) stack.push({ name: input.node, reader: node });
      continue;
    }
    stack.pop();
    if (states.get(name) === 'done') continue;
    states.set(name, 'done');
    order.push(node);
  }
  return order;
}

const whole = z.union([
  z.number().int(),
  z
    .string()
    .regex(/^-?\d{1,15}$/)
    .transform(Number),
]);
const number = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?[\d.eE+-]{1,30}$/)
    .transform(Number),
]);
/** Base64, or a list of bytes. */
const text = z
  .union([z.string(), z.array(z.number())])
  .transform((value) =>
    typeof value === 'string' ? Buffer.from(value, 'base64').toString() : Buffer.from(value).toString(),
  );
const SCHEMAS = {
  int: z.object({ i: whole }).transform(({ i }) => i),
  ints: z.object({ list: z.object({ i: z.array(whole).optional() }) }).transform(({ list }) => list.i ?? []),
  float: z.object({ f: number }).transform(({ f }) => f),
  bool: z.object({ b: z.boolean() }).transform(({ b }) => b),
  text: z.object({ s: text }).transform(({ s }) => s),
  texts: z.object({ list: z.object({ s: z.array(text).optional() }) }).transform(({ list }) => list.s ?? []),
  type: z.object({ type: z.union([z.string(), z.number()]) }).transform(({ type }) => TYPES.get(type) ?? String(type)),
  shape: z
    .object({
      shape: z.object({
        dim: z.array(z.object({ size: whole.optional() })).optional(),
        unknownRank: z.boolean().optional(),
      }),
    })
    .transform(({ shape }) =>
      shape.unknownRank === true ? undefined : (shape.dim ?? []).map(({ size }) => size ?? 0),
    ),
};
/** Types by number, as some writers have them. */
const TYPES = new Map<string | number, string>([
  [1, 'DT_FLOAT'],
  [3, 'DT_INT32'],
  [9, 'DT_INT64'],
  [10, 'DT_BOOL'],
]);

function attributesOf(given: Readonly<Record<string, unknown>>, fail: (detail: string) => GraphError): TfAttributes {
  const read = <T>(name: string, schema: z.ZodType<T>, fallback: T): T => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined || value === null) return fallback;
    const result = schema.safeParse(value);
    if (!result.success) throw fail(`attribute "${name}" is invalid`);
    return result.data;
  };
  return {
    int: (name, fallback) => read(name, SCHEMAS.int, fallback),
    ints: (name) => read<readonly number[]>(name, SCHEMAS.ints, []),
    float: (name, fallback) => read(name, SCHEMAS.float, fallback),
    bool: (name, fallback) => read(name, SCHEMAS.bool, fallback),
    text: (name, fallback) => read(name, SCHEMAS.text, fallback),
    texts: (name) => read<readonly string[]>(name, SCHEMAS.texts, []),
    type: (name, fallback) => read(name, SCHEMAS.type, fallback),
    shape: (name) => read<readonly number[] | undefined>(name, SCHEMAS.shape, undefined),
  };
}
