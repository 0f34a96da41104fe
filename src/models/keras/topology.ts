/**
 * Reads the topology of a Keras model from its JSON into one form: the calls of its layers, each after those whose
 * results it reads. Hides the dialects: `Sequential` and functional models, nested models, and how Keras 1 to 3 and
 * TensorFlow.js write a call. The options of layers are not read here (layer.ts).
 *
 * The JSON is hostile until proven otherwise: any fault in it is thrown as a GraphError that names the layer or field.
 */
import { z } from 'zod';
import { GraphError } from '../../graph/graph-error.js';

export interface KerasModel {
  readonly name: string;
  /** In an order in which they can be computed. */
  readonly calls: readonly Call[];
  readonly inputs: readonly TensorRef[];
  readonly outputs: readonly TensorRef[];
}

export interface KerasLayer {
  /** Unique within its model. */
  readonly name: string;
  readonly className: string;
  /** As in the file, not checked. */
  readonly config: unknown;
  /** Present if the layer is itself a model. */
  readonly model?: KerasModel;
}

/** One use of a layer; a shared layer has several. */
export interface Call {
  readonly layer: KerasLayer;
  /** Index of this call among the layer's calls, from 0. */
  readonly index: number;
  readonly inputs: readonly TensorRef[];
}

/** A result of a call. */
export interface TensorRef {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
}

export const INPUT_LAYER = 'InputLayer';

/** Limit for the depth of nested models; real ones have two or three levels. */
const MAX_NESTING = 16;

const MODEL_CLASSES: readonly string[] = ['Model', 'Functional', 'Sequential'];

const index = z.number().int().nonnegative();
const modelSchema = z.object({ class_name: z.string(), config: z.unknown() });
const refSchema = z.tuple([z.string(), index, index]).rest(z.unknown());
const tensorSchema = z.object({ config: z.object({ keras_history: refSchema }) });
const callSchema = z.union([
  refSchema.transform((ref) => [ref]),
  z.array(refSchema),
  // Keras 3.
  z.object({ args: z.array(z.union([tensorSchema, z.array(tensorSchema)])) }).transform(({ args }) => {
    return args.flat().map(({ config }) => config.keras_history);
  }),
]);
const layerSchema = z.object({
  class_name: z.string(),
  name: z.string().min(1).nullish(),
  config: z.unknown(),
  inbound_nodes: z.array(callSchema).nullish(),
});
const refsSchema = z.union([refSchema.transform((ref) => [ref]), z.array(refSchema)]);
const functionalSchema = z.object({
  name: z.string().nullish(),
  layers: z.array(layerSchema),
  input_layers: refsSchema,
  output_layers: refsSchema,
});
const sequentialSchema = z.object({
  name: z.string().nullish(),
  layers: z.array(layerSchema).min(1),
  build_input_shape: z.unknown().optional(),
});
const namedSchema = z.object({ name: z.string().min(1) });
const shapedSchema = z.object({ batch_input_shape: z.unknown().optional(), batch_shape: z.unknown().optional() });

/** Read a model: `{ class_name, config }`. Throws GraphError naming the faulty layer or field. */
export function readKerasModel(topology: unknown): KerasModel {
  const { class_name: className, config } = parse(modelSchema, topology, 'modelTopology.');
  if (!MODEL_CLASSES.includes(className)) {
    throw new GraphError(`modelTopology.class_name: "${className}" is not one of ${MODEL_CLASSES.join(', ')}`);
  }
  return readModel(className, config, { name: 'model', depth: 0 });
}

/**
 * The shape [N, H, W, C] that the options of an input or first layer declare: not checked; undefined if there is none.
 */
export function declaredShape(config: unknown): unknown {
  const { batch_input_shape: shape, batch_shape: shape3 } = shapedSchema.safeParse(config).data ?? {};
  return shape ?? shape3;
}

interface Place {
  /** Name of the model if its options give none. */
  readonly name: string;
  /** 0 for the outermost model. */
  readonly depth: number;
}

type LayerEntry = z.output<typeof layerSchema>;

function readModel(className: string, config: unknown, place: Place): KerasModel {
  if (place.depth > MAX_NESTING)
    throw new GraphError(`layer "${place.name}": models are nested deeper than ${MAX_NESTING}`);
  return className === 'Sequential' ? readSequential(config, place) : readFunctional(config, place);
}

function readFunctional(config: unknown, place: Place): KerasModel {
  const { layers, ...model } = parse(functionalSchema, config, fieldOf(place));
  const refsOf = (refs: readonly z.output<typeof refSchema>[]): TensorRef[] =>
    refs.map(([layer, call, tensor]) => ({ layer, call, tensor }));
  const used = layers.map((entry, position) => {
    const layer = readLayer(entry, position, place);
    const calls = (entry.inbound_nodes ?? []).map(refsOf);
    return { layer, calls: entry.class_name === INPUT_LAYER ? [[]] : calls };
  });
  return orderCalls(
    { name: model.name ?? place.name, inputs: refsOf(model.input_layers), outputs: refsOf(model.output_layers) },
    used,
  );
}

/** Each layer is called once, on the result of the layer before. */
function readSequential(config: unknown, place: Place): KerasModel {
  const listed: unknown = Array.isArray(config) ? { layers: config } : config;
  const model = parse(sequentialSchema, listed, fieldOf(place));
  const layers = model.layers.map((entry, position) => readLayer(entry, position, place));
  const [first] = layers as [KerasLayer, ...KerasLayer[]];
  if (first.className !== INPUT_LAYER) {
    const shape = declaredShape(first.config) ?? model.build_input_shape ?? (first.model && inputShape(first.model));
    layers.unshift({ name: `${first.name}.input`, className: INPUT_LAYER, config: { batch_input_shape: shape } });
  }
  const refTo = (layer: KerasLayer): TensorRef => ({ layer: layer.name, call: 0, tensor: 0 });
  const used = layers.map((layer, position) => ({
    layer,
    calls: [position === 0 ? [] : [refTo(layers[position - 1]!)]],
  }));
  const [inputs, outputs] = [[refTo(layers[0]!)], [refTo(layers.at(-1)!)]];
  return orderCalls({ name: model.name ?? place.name, inputs, outputs }, used);
}

function inputShape({ calls, inputs }: KerasModel): unknown {
  const input = calls.find(({ layer }) => layer.name === inputs[0]?.layer);
  return declaredShape(input?.layer.config);
}

function readLayer(entry: LayerEntry, position: number, place: Place): KerasLayer {
  const { class_name: className, config } = entry;
  const own = namedSchema.safeParse(config).data?.name;
  const name = entry.name ?? own ?? `${className.toLowerCase()}_${position}`;
  if (!MODEL_CLASSES.includes(className)) return { name, className, config };
  return { name, className, config, model: readModel(className, config, { name, depth: place.depth + 1 }) };
}

interface UsedLayer {
  readonly layer: KerasLayer;
  readonly calls: readonly (readonly TensorRef[])[];
}

/**
 * The model with its calls sorted topologically (Kahn 1962). Throws GraphError for cycles, duplicate names and missing
 * layers or calls.
 */
function orderCalls(model: Omit<KerasModel, 'calls'>, layers: readonly UsedLayer[]): KerasModel {
  const byName = new Map(layers.map((used) => [used.layer.name, used]));
  const twice = layers.find((used) => byName.get(used.layer.name) !== used);
  if (twice !== undefined) throw new GraphError(`layer "${twice.layer.name}": is given twice`);
  const refs = [...model.inputs, ...model.outputs, ...layers.flatMap(({ calls }) => calls.flat())];
  const firsts = firstCalls(refs);
  const resolve = (ref: TensorRef): TensorRef => {
    const used = byName.get(ref.layer);
    if (used === undefined) throw new GraphError(`layer "${ref.layer}": is read, but does not exist`);
    const call = used.layer.model === undefined ? ref.call : ref.call - (firsts.get(ref.layer) ?? 0);
    if (call >= used.calls.length) throw new GraphError(`layer "${ref.layer}": its call ${ref.call} does not exist`);
    return { ...ref, call };
  };

  const all = layers.flatMap(({ layer, calls }) =>
    calls.map((inputs, position): Call => ({ layer, index: position, inputs: inputs.map(resolve) })),
  );
  const calls = sortCalls(all);
  return { ...model, calls, inputs: model.inputs.map(resolve), outputs: model.outputs.map(resolve) };
}

/**
 * The number of the first call of each layer whose result is read. For a nested model it is 1, because Keras gives 0 to
 * the call that defined the model, but not every dialect does so.
 */
function firstCalls(refs: readonly TensorRef[]): ReadonlyMap<string, number> {
  const firsts = new Map<string, number>();
  for (const { layer, call } of refs) firsts.set(layer, Math.min(call, firsts.get(layer) ?? 1));
  return firsts;
}

function sortCalls(calls: readonly Call[]): Call[] {
  const keyOf = (layer: string, call: number): string => JSON.stringify([layer, call]);
  const readers = new Map<string, Call[]>();
  const missing = new Map<Call, number>();
  for (const call of calls) {
    const sources = new Set(call.inputs.map((input) => keyOf(input.layer, input.call)));
    missing.set(call, sources.size);
    for (const source of sources) {
      const known = readers.get(source);
      if (known === undefined) readers.set(source, [call]);
      else known.push(call);
    }
  }
  const sorted = calls.filter(({ inputs }) => inputs.length === 0);
  // `sorted` grows while the loop runs.
  for (const { layer, index: position } of sorted) {
    for (const reader of readers.get(keyOf(layer.name, position)) ?? []) {
      const left = missing.get(reader)! - 1;
      missing.set(reader, left);
      if (left === 0) sorted.push(reader);
    }
  }
  const circular = sorted.length < calls.length && calls.find((call) => missing.get(call)! > 0);
  if (circular) throw new GraphError(`layer "${circular.layer.name}": its inputs depend on its own result`);
  return sorted;
}

/** Prefix of paths in a model's options, for messages. */
function fieldOf({ name, depth }: Place): string {
  return depth === 0 ? 'modelTopology.config.' : `layer "${name}": `;
}

function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new GraphError(`${what}${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is invalid'}`);
}
