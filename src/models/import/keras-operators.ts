/**
 * Operators that functional models call on their values without a layer. Keras 2 writes them as layers of the class
 * `TFOpLambda` with the name of a function, Keras 3 as the operation's own class in `keras.src.ops`. Arithmetic with
 * constants is a Rescaling, arithmetic of two values the layer of that name, and activations are activations.
 */
import { z } from 'zod';
import { GraphError } from '../../graph/graph-error.js';
import type { LayerEntry } from './keras-entry.js';

type Arithmetic = 'Add' | 'Subtract' | 'Multiply' | 'Divide';

/** Names in TensorFlow (`TFOpLambda`, config.function) and in Keras 3 (class_name). */
const ARITHMETIC: ReadonlyMap<string, Arithmetic> = new Map<string, Arithmetic>([
  ...['math.add', '__operators__.add', 'Add'].map((name): [string, Arithmetic] => [name, 'Add']),
  ...['math.subtract', '__operators__.sub', 'Subtract'].map((name): [string, Arithmetic] => [name, 'Subtract']),
  ...['math.multiply', '__operators__.mul', 'Multiply'].map((name): [string, Arithmetic] => [name, 'Multiply']),
  ...['math.truediv', 'math.divide', 'realdiv', '__operators__.truediv', 'TrueDivide', 'Divide'].map(
    (name): [string, Arithmetic] => [name, 'Divide'],
  ),
]);

const activation = (name: string): Pick<Layer, 'class_name' | 'config'> => ({
  class_name: 'Activation',
  config: { activation: name },
});
const ACTIVATIONS = new Map([
  ['cast', activation('linear')],
  ['Cast', activation('linear')],
  ['identity', activation('linear')],
  ['nn.relu', activation('relu')],
  ['Relu', activation('relu')],
  ['nn.relu6', activation('relu6')],
  ['Relu6', activation('relu6')],
  ['math.sigmoid', activation('sigmoid')],
  ['Sigmoid', activation('sigmoid')],
  ['math.tanh', activation('tanh')],
  ['Tanh', activation('tanh')],
  ['nn.silu', activation('silu')],
  ['nn.swish', activation('silu')],
  ['Silu', activation('silu')],
  ['nn.softmax', activation('softmax')],
  ['Softmax', activation('softmax')],
  ['HardSigmoid', activation('hard_sigmoid')],
  ['HardSilu', activation('hard_silu')],
]);

/** A value, which another layer gives, or a constant: one number, or one for each channel. */
type Operand = { readonly value: unknown } | { readonly constant: readonly number[] };

const numbers = z.union([z.number().transform((number) => [number]), z.array(z.number()).min(1)]);
const reference = z.tuple([z.string(), z.number(), z.number()]).rest(z.unknown());
const tensor = z.looseObject({ config: z.looseObject({ keras_history: reference }) });
const array = z.object({ class_name: z.literal('__numpy__'), config: z.object({ value: numbers }) });
const operation = z.looseObject({ args: z.array(z.unknown()) });
const axisOf = z.looseObject({ axis: z.number().nullish() });
const functionOf = z.object({ function: z.string() });

const CONSTANT = '_CONSTANT_VALUE';

/** The layer that does what an operator does; undefined if the entry is a layer. Throws GraphError naming the layer. */
export function layerOfOperator(entry: LayerEntry, name: string): LayerEntry | undefined {
  const isLambda = entry.class_name === 'TFOpLambda';
  if (!isLambda && !isOperation(entry)) return undefined;
  const called = isLambda ? (functionOf.safeParse(entry.config).data?.function ?? '') : entry.class_name;
  const fail = (detail: string): GraphError => new GraphError(`layer "${name}" (${entry.class_name}): ${detail}`);
  const { calls = [] } = z.object({ calls: z.array(z.unknown()) }).safeParse({ calls: entry.inbound_nodes }).data ?? {};
  if (calls.length !== 1) throw fail(`is called ${calls.length} times, not once`);
  const operands = isLambda ? operandsOfFunction(calls[0]) : operandsOfOperation(calls[0]);
  if (operands === undefined) throw fail('its inputs are neither values nor numbers');

  const arithmetic = ARITHMETIC.get(called);
  if (arithmetic !== undefined) {
    const layer = arithmeticLayer(arithmetic, operands);
    if (layer === undefined) throw fail(`"${called}" cannot be read with these inputs`);
    return { ...entry, ...layer, config: { ...layer.config, name }, name };
  }
  const [x] = operands;
  const known = ACTIVATIONS.get(called);
  if (known === undefined || x === undefined || !('value' in x)) {
    throw fail(`the operator "${called.slice(0, 80)}" cannot be read`);
  }
  const { axis = -1 } = axisOf.safeParse(entry.config).data ?? {};
  if (axis !== null && axis !== -1) throw fail(`its axis is ${axis}, not the last one`);
  return { ...entry, ...known, config: { ...known.config, name }, name, inbound_nodes: [callOn([x.value])] };
}

/** Keras 3 says the module of a class in `.keras`, not in `.h5`. Its operations have no options that all layers have. */
function isOperation({ module, config, inbound_nodes: calls }: LayerEntry): boolean {
  if (module != null) return /^keras\.(src\.)?ops\b/.test(module);
  if (['layers', 'trainable', 'dtype', 'batch_shape'].some((option) => option in config)) return false;
  return Array.isArray(calls) && calls.length > 0 && calls.every((call) => operation.safeParse(call).success);
}

interface Layer {
  readonly class_name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly inbound_nodes: unknown;
}

function arithmeticLayer(operation: Arithmetic, [a, b]: readonly Operand[]): Layer | undefined {
  if (a === undefined || b === undefined) return undefined;
  if ('value' in a && 'value' in b) {
    if (operation === 'Divide') return undefined;
    return { class_name: operation, config: {}, inbound_nodes: [callOn([a.value, b.value])] };
  }
  if ('value' in a && 'constant' in b) return rescaling(a.value, termsWithConstant(operation, b.constant));
  if ('constant' in a && 'value' in b) return rescaling(b.value, termsOfConstant(operation, a.constant));
  return undefined;
}

interface Terms {
  readonly scale: number | readonly number[];
  readonly offset: number | readonly number[];
}

function rescaling(value: unknown, terms: Terms | undefined): Layer | undefined {
  return (
    terms && {
      class_name: 'Rescaling',
      config: { scale: terms.scale, offset: terms.offset },
      inbound_nodes: [callOn([value])],
    }
  );
}

/** x ∘ c. */
function termsWithConstant(operation: Arithmetic, constant: readonly number[]): Terms {
  switch (operation) {
    case 'Add':
      return { scale: 1, offset: constant };
    case 'Subtract':
      return { scale: 1, offset: constant.map((number) => -number) };
    case 'Multiply':
      return { scale: constant, offset: 0 };
    case 'Divide':
      return { scale: constant.map((number) => 1 / number), offset: 0 };
  }
}

/** c ∘ x. */
function termsOfConstant(operation: Arithmetic, constant: readonly number[]): Terms | undefined {
  if (operation === 'Subtract') return { scale: -1, offset: constant };
  return operation === 'Divide' ? undefined : termsWithConstant(operation, constant);
}

/** A call in the form of Keras 2 for its references, and of Keras 3 for its tensors. */
function callOn(values: readonly unknown[]): unknown {
  return values.every(Array.isArray) ? values : { args: values };
}

/** Keras 2: `[layer, call, tensor, { y: number | [layer, call, tensor] }]`, or `['_CONSTANT_VALUE', -1, number, { y }]`. */
function operandsOfFunction(call: unknown): Operand[] | undefined {
  const isList = Array.isArray(call) && call.length === 1;
  const single: unknown = isList ? call[0] : call;
  const { data } = z.tuple([z.string(), z.number(), z.unknown()]).rest(z.unknown()).safeParse(single);
  if (data === undefined) return undefined;
  const [layer, position, third, named] = data;
  const first = layer === CONSTANT ? constantOf(third) : { value: [layer, position, third, {}] };
  const { y } = z.looseObject({ y: z.unknown() }).safeParse(named).data ?? {};
  if (first === undefined || y === undefined || y === null) return first && [first];
  const second = reference.safeParse(y).success ? { value: [...(y as unknown[]).slice(0, 3), {}] } : constantOf(y);
  return second && [first, second];
}

/** Keras 3: `{ args: [tensor | number, …] }`. */
function operandsOfOperation(call: unknown): Operand[] | undefined {
  const { args } = operation.safeParse(call).data ?? {};
  const operands = args?.map((arg) => (tensor.safeParse(arg).success ? { value: arg } : constantOf(arg)));
  return operands?.every((operand) => operand !== undefined) === true ? operands : undefined;
}

function constantOf(value: unknown): Operand | undefined {
  const { data } = z.union([numbers, array.transform(({ config }) => config.value)]).safeParse(value);
  return data && { constant: data };
}
