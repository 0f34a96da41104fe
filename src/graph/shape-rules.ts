/**
 * The shape rule of each operator: shapes (and the values of small integer tensors) of the inputs → those of the
 * outputs. Source: the ONNX operator specifications, opset 18; where older opsets have an attribute in place of an
 * input (Squeeze, ReduceMean, Pad, Slice, …), both are read. One table, grouped by what an operator does to a shape.
 */
import { elementCount } from '../tensor.js';
import { attribute, requiredAttribute } from './attributes.js';
import { integerValues } from './constants.js';
import type { Node } from './graph.js';
import { nodeError } from './graph-error.js';
import { operatorsOfKind, type OperatorKind } from './operators.js';
import { castType } from './value-types.js';
import { outputSize, windowsOf } from './windows.js';

/** What is known of a value before the graph runs. */
export interface Known {
  readonly dims: readonly number[];
  /** Row-major; present for small tensors of sizes, and of what is computed from sizes: no value of the graph's input is in it. */
  readonly values?: readonly number[] | undefined;
  /** The values are of a floating-point type. */
  readonly isFloat?: boolean | undefined;
}

interface Context {
  readonly node: Node;
  /** By position; undefined where an optional input is absent. */
  readonly inputs: readonly (Known | undefined)[];
}

type Dims = readonly number[];
type Rule = (context: Context) => readonly Known[];

/** Rules by operator name. */
export const SHAPE_RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  // As the first input.
  ...ofKind(
    (context) => [{ dims: input(context, 0).dims }],
    ...(['elementwise', 'by-channel', 'across-channels', 'along-axis', 'over-map', 'normalization'] as const),
  ),
  ...ofKind((context) => [input(context, 0)], 'identity'),
  ['Cast', cast],
  ['Ceil', onNumbers(Math.ceil)],
  ['Floor', onNumbers(Math.floor)],
  ['Clip', clip],
  ['BatchNormalization', batchNormalization],
  ['Dropout', (context) => [input(context, 0), { dims: input(context, 0).dims }]],

  // Broadcast over all inputs.
  ...ofKind((context) => [{ dims: broadcastAll(context) }], 'broadcast'),
  ['Add', arithmetic((a, b) => a + b)],
  ['Sub', arithmetic((a, b) => a - b)],
  ['Mul', arithmetic((a, b) => a * b)],
  ['Div', divide],

  // Windows and channels.
  ...ofKind((context) => [{ dims: pool(context) }, { dims: pool(context) }], 'window'),
  ['Conv', (context) => [{ dims: convolve(context) }]],
  ...ofKind((context) => [{ dims: input(context, 0).dims.map((size, axis) => (axis < 2 ? size : 1)) }], 'global-pool'),
  ['GridSample', (context) => [{ dims: sampleGrid(context) }]],
  ['Gemm', (context) => [{ dims: gemm(context) }]],
  ['MatMul', (context) => [{ dims: matMul(context) }]],

  // Reductions.
  ...ofKind((context) => [{ dims: reduce(context) }], 'reduction'),
  ...ofKind((context) => [{ dims: argReduce(context) }], 'ranking'),
  ['TopK', topK],

  // Rearrangement.
  ['Flatten', flatten],
  ['Reshape', reshape],
  ['Transpose', transpose],
  ['Squeeze', squeeze],
  ['Unsqueeze', unsqueeze],
  ['Concat', concat],
  ['Split', split],
  ['Slice', slice],
  ['Pad', pad],
  ['Tile', tile],
  ['Expand', (context) => [{ dims: broadcast(context.node, input(context, 0).dims, values(context, 1)) }]],

  // Indexing.
  ['Gather', gather],
  ['GatherElements', (context) => [{ dims: input(context, 1).dims }]],
  ['GatherND', gatherND],

  // Sources of values.
  ['Constant', constant],
  ['ConstantOfShape', constantOfShape],
  ['Range', range],
  ['Shape', shape],
]);

/**
 * One rule for all operators of these kinds. A later entry of the table replaces it for an operator with its own rule.
 */
function ofKind(rule: Rule, ...kinds: OperatorKind[]): [string, Rule][] {
  return operatorsOfKind(...kinds).map((op) => [op, rule]);
}

// ---- what a rule may ask for -------------------------------------------------------------------------------------

function input({ node, inputs }: Context, index: number): Known {
  const found = inputs[index];
  if (found === undefined) throw nodeError(node, `input ${index} is missing`);
  return found;
}

/** The values of an input that must be known before the graph runs. */
function values(context: Context, index: number): readonly number[] {
  const found = input(context, index).values;
  if (found === undefined)
    throw nodeError(context.node, `input ${index} is not constant, so the output's shape is not known`);
  return found;
}

/** Integers given by an input in newer opsets and by an attribute in older ones; undefined if both are absent. */
function inputOrAttribute(context: Context, index: number, name: string): readonly number[] | undefined {
  return context.inputs[index] === undefined ? attribute(context.node, name, 'ints') : values(context, index);
}

/** A possibly negative axis as an index below `rank`. */
function axisIndex(node: Node, axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis;
  if (!(Number.isInteger(index) && index >= 0 && index < rank)) {
    throw nodeError(node, `axis ${axis} is outside of rank ${rank}`);
  }
  return index;
}

function axisAttribute(node: Node, fallback: number, rank: number): number {
  return axisIndex(node, attribute(node, 'axis', 'int') ?? fallback, rank);
}

function disagreement(node: Node, ...shapes: Dims[]): Error {
  return nodeError(node, `the sizes disagree: ${shapes.map((dims) => `[${dims.join(', ')}]`).join(' and ')}`);
}

// ---- broadcasting ------------------------------------------------------------------------------------------------

function broadcast(node: Node, a: Dims, b: Dims): Dims {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw disagreement(node, a, b);
    return x === 1 ? y : x;
  });
}

function broadcastAll(context: Context): Dims {
  return context.inputs
    .filter((known) => known !== undefined)
    .reduce<Dims>((dims, known) => broadcast(context.node, dims, known.dims), []);
}

/** Element-wise arithmetic; evaluated where both sides are known and have one element or the same shape. */
function arithmetic(compute: (a: number, b: number) => number): Rule {
  return (context) => {
    const dims = broadcastAll(context);
    const [a, b] = [input(context, 0).values, input(context, 1).values];
    const count = elementCount(dims);
    if (!a || !b || ![a, b].every(({ length }) => length === 1 || length === count)) return [{ dims }];
    const at = (list: readonly number[], index: number): number => list[list.length === 1 ? 0 : index]!;
    return [{ dims, values: Array.from({ length: count }, (_, index) => compute(at(a, index), at(b, index))) }];
  };
}

function divide(context: Context): readonly Known[] {
  const round = input(context, 0).isFloat ? Math.fround : Math.trunc;
  return arithmetic((a, b) => round(a / b))(context);
}

/** In training mode it also gives the mean and the variance of each channel. */
function batchNormalization(context: Context): readonly Known[] {
  const { dims } = input(context, 0);
  const byChannel = { dims: [dims[1] ?? 1] };
  return [{ dims }, byChannel, byChannel];
}

// ---- numbers by themselves ---------------------------------------------------------------------------------------

function onNumbers(compute: (value: number) => number): Rule {
  return (context) => {
    const { dims, values: numbers } = input(context, 0);
    return [{ dims, values: numbers?.map(compute) }];
  };
}

/** A type of whole numbers cuts off fractions. */
function cast(context: Context): readonly Known[] {
  const isFloat = castType(context.node)?.startsWith('float') ?? false;
  return onNumbers(isFloat ? Number : Math.trunc)(context).map((known) => (isFloat ? { ...known, isFloat } : known));
}

function clip(context: Context): readonly Known[] {
  const bound = (index: number, name: string, none: number): number | undefined => {
    const given = context.inputs[index];
    return given === undefined ? (attribute(context.node, name, 'float') ?? none) : given.values?.[0];
  };
  const [low, high] = [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)];
  if (low === undefined || high === undefined) return [{ dims: input(context, 0).dims }];
  return onNumbers((value) => Math.min(Math.max(value, low), high))(context);
}

// ---- windows, channels, matrices ---------------------------------------------------------------------------------

function convolve(context: Context): Dims {
  const { node } = context;
  const [x, weight] = [input(context, 0).dims, input(context, 1).dims];
  const [batch, channels, ...sizes] = x;
  const [out, perGroup, ...kernel] = weight;
  const group = attribute(node, 'group', 'int') ?? 1;
  if (sizes.length !== kernel.length || sizes.length === 0 || channels !== perGroup! * group) {
    throw disagreement(node, x, weight);
  }
  return [batch!, out!, ...windowsOf(node, kernel).map((window, axis) => outputSize(window, sizes[axis]!))];
}

function pool(context: Context): Dims {
  const [batch, channels, ...sizes] = input(context, 0).dims;
  const windows = windowsOf(context.node);
  if (sizes.length !== windows.length)
    throw nodeError(context.node, `the kernel does not fit rank ${sizes.length + 2}`);
  return [batch!, channels!, ...windows.map((window, axis) => outputSize(window, sizes[axis]!))];
}

/** A place in the grid for each cell of the result: two numbers for a map, three for a volume. */
function sampleGrid({ node, ...context }: Context): Dims {
  const [x, grid] = [input({ node, ...context }, 0).dims, input({ node, ...context }, 1).dims];
  const [batch, channels, ...sizes] = x;
  const fits = sizes.length > 0 && grid.length === x.length && grid[0] === batch && grid.at(-1) === sizes.length;
  if (!fits) throw disagreement(node, x, grid);
  return [batch!, channels!, ...grid.slice(1, -1)];
}

function gemm(context: Context): Dims {
  const { node } = context;
  const matrix = (index: number, transposed: string): Dims => {
    const { dims } = input(context, index);
    if (dims.length !== 2) throw nodeError(node, `input ${index} is not a matrix: [${dims.join(', ')}]`);
    return attribute(node, transposed, 'int') ? dims.toReversed() : dims;
  };
  const [a, b] = [matrix(0, 'transA'), matrix(1, 'transB')];
  if (a[1] !== b[0]) throw disagreement(node, a, b);
  const dims = [a[0]!, b[1]!];
  const bias = context.inputs[2]?.dims ?? [];
  if (broadcast(node, dims, bias).some((size, axis) => size !== dims[axis])) throw disagreement(node, dims, bias);
  return dims;
}

function matMul(context: Context): Dims {
  const [a, b] = [input(context, 0).dims, input(context, 1).dims];
  if (a.length === 0 || b.length === 0) throw disagreement(context.node, a, b);
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  if (left.at(-1) !== right.at(-2)) throw disagreement(context.node, a, b);
  return [
    ...broadcast(context.node, left.slice(0, -2), right.slice(0, -2)),
    ...(a.length === 1 ? [] : [left.at(-2)!]),
    ...(b.length === 1 ? [] : [right.at(-1)!]),
  ];
}

// ---- reductions --------------------------------------------------------------------------------------------------

function reduce(context: Context): Dims {
  const { node } = context;
  const { dims } = input(context, 0);
  const axes = inputOrAttribute(context, 1, 'axes') ?? [];
  if (axes.length === 0 && attribute(node, 'noop_with_empty_axes', 'int')) return dims;
  const reduced = new Set(axes.map((axis) => axisIndex(node, axis, dims.length)));
  return dropAxes(dims, axes.length === 0 ? new Set(dims.keys()) : reduced, keepsDims(node));
}

function argReduce({ node, ...context }: Context): Dims {
  const { dims } = input({ node, ...context }, 0);
  return dropAxes(dims, new Set([axisAttribute(node, 0, dims.length)]), keepsDims(node));
}

function keepsDims(node: Node): boolean {
  return attribute(node, 'keepdims', 'int') !== 0;
}

function dropAxes(dims: Dims, axes: ReadonlySet<number>, keep: boolean): Dims {
  return keep ? dims.map((size, axis) => (axes.has(axis) ? 1 : size)) : dims.filter((_, axis) => !axes.has(axis));
}

function topK(context: Context): Known[] {
  const { dims } = input(context, 0);
  const k = context.inputs[1] === undefined ? requiredAttribute(context.node, 'k', 'int') : values(context, 1)[0];
  const axis = axisAttribute(context.node, -1, dims.length);
  if (k === undefined || k > dims[axis]!) throw nodeError(context.node, `k = ${k ?? ''} is more than ${dims[axis]}`);
  const result = { dims: dims.with(axis, k) };
  return [result, result];
}

// ---- rearrangement -----------------------------------------------------------------------------------------------

function flatten(context: Context): Known[] {
  const { dims } = input(context, 0);
  const axis = attribute(context.node, 'axis', 'int') ?? 1;
  const split = axis === dims.length ? axis : axisIndex(context.node, axis, dims.length);
  return [{ dims: [elementCount(dims.slice(0, split)), elementCount(dims.slice(split))] }];
}

function reshape(context: Context): Known[] {
  const { node } = context;
  const source = input(context, 0);
  const target = inputOrAttribute(context, 1, 'shape');
  if (target === undefined) throw nodeError(node, 'the target shape is missing');
  const zeroCopies = !attribute(node, 'allowzero', 'int');
  const sizes = target.map((size, axis) => (size === 0 && zeroCopies ? (source.dims[axis] ?? 0) : size));
  const rest = elementCount(sizes.filter((size) => size !== -1));
  const free = sizes.indexOf(-1);
  const dims = free < 0 ? sizes : sizes.with(free, rest === 0 ? 0 : elementCount(source.dims) / rest);
  if (!dims.every((size) => Number.isInteger(size) && size >= 0) || elementCount(dims) !== elementCount(source.dims)) {
    throw disagreement(node, source.dims, target);
  }
  return [{ dims, values: source.values }];
}

function transpose(context: Context): Known[] {
  const source = input(context, 0);
  const { dims } = source;
  const order = attribute(context.node, 'perm', 'ints') ?? [...dims.keys()].reverse();
  if (order.length !== dims.length || new Set(order).size !== dims.length)
    throw disagreement(context.node, dims, order);
  const axes = order.map((axis) => axisIndex(context.node, axis, dims.length));
  const moved = axes.map((axis) => dims[axis]!);
  const strides = stridesOf(dims);
  return [
    {
      dims: moved,
      values: pick(
        source.values,
        moved,
        axes.map((axis) => strides[axis]!),
        0,
      ),
    },
  ];
}

/** How far apart neighbours along each axis lie, row-major. */
function stridesOf(dims: Dims): number[] {
  return dims.map((_, axis) => elementCount(dims.slice(axis + 1)));
}

/** The values at offset + Σ index · stride, for all indices below `dims`. */
function pick(
  source: readonly number[] | undefined,
  dims: Dims,
  strides: readonly number[],
  offset: number,
): readonly number[] | undefined {
  if (source === undefined) return undefined;
  const steps = stridesOf(dims);
  return Array.from({ length: elementCount(dims) }, (_, position) => {
    const at = dims.reduce(
      (sum, size, axis) => sum + (Math.floor(position / steps[axis]!) % size) * strides[axis]!,
      offset,
    );
    return source[at]!;
  });
}

function squeeze(context: Context): Known[] {
  const source = input(context, 0);
  const axes = inputOrAttribute(context, 1, 'axes')?.map((axis) => axisIndex(context.node, axis, source.dims.length));
  if (axes?.some((axis) => source.dims[axis] !== 1)) throw nodeError(context.node, 'squeezes an axis that is not 1');
  return [{ ...source, dims: source.dims.filter((size, axis) => (axes ? !axes.includes(axis) : size !== 1)) }];
}

function unsqueeze(context: Context): Known[] {
  const source = input(context, 0);
  const axes = inputOrAttribute(context, 1, 'axes') ?? [];
  const rank = source.dims.length + axes.length;
  const added = new Set(axes.map((axis) => axisIndex(context.node, axis, rank)));
  if (added.size !== axes.length) throw nodeError(context.node, `the axes [${axes.join(', ')}] repeat`);
  const rest = source.dims.values();
  return [{ ...source, dims: Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.next().value!)) }];
}

function concat(context: Context): Known[] {
  const { node } = context;
  const parts = node.inputs.map((_, index) => input(context, index));
  const first = input(context, 0).dims;
  const axis = axisIndex(node, requiredAttribute(node, 'axis', 'int'), first.length);
  for (const { dims } of parts) {
    const fits = dims.length === first.length && dims.every((size, other) => other === axis || size === first[other]);
    if (!fits) throw disagreement(node, first, dims);
  }
  const joined =
    first.length === 1 && parts.every((part) => part.values) ? parts.flatMap((part) => part.values!) : undefined;
  return [
    {
      dims: first.with(
        axis,
        parts.reduce((sum, { dims }) => sum + dims[axis]!, 0),
      ),
      values: joined,
    },
  ];
}

function split(context: Context): Known[] {
  const { node } = context;
  const { dims } = input(context, 0);
  const axis = axisAttribute(node, 0, dims.length);
  const even = Math.ceil(dims[axis]! / node.outputs.length);
  const sizes =
    inputOrAttribute(context, 1, 'split') ??
    node.outputs.map((_, index) => Math.max(0, Math.min(even, dims[axis]! - index * even)));
  if (sizes.reduce((sum, size) => sum + size, 0) !== dims[axis]) throw disagreement(node, dims, sizes);
  return sizes.map((size) => ({ dims: dims.with(axis, size) }));
}

function tile(context: Context): Known[] {
  const { dims } = input(context, 0);
  const repeats = values(context, 1);
  if (repeats.length !== dims.length) throw disagreement(context.node, dims, repeats);
  return [{ dims: dims.map((size, axis) => size * repeats[axis]!) }];
}

function slice(context: Context): Known[] {
  const { node } = context;
  const source = input(context, 0);
  const rank = source.dims.length;
  const starts = inputOrAttribute(context, 1, 'starts') ?? [];
  const ends = inputOrAttribute(context, 2, 'ends') ?? [];
  const axes = inputOrAttribute(context, 3, 'axes') ?? starts.map((_, index) => index);
  const steps = context.inputs[4] === undefined ? starts.map(() => 1) : values(context, 4);
  if (![ends, axes, steps].every(({ length }) => length === starts.length))
    throw disagreement(node, starts, ends, axes);

  const dims = [...source.dims];
  const strides = stridesOf(dims);
  let offset = 0;
  for (const [position, given] of axes.entries()) {
    const axis = axisIndex(node, given, rank);
    const [size, step] = [source.dims[axis]!, steps[position]!];
    if (step === 0) throw nodeError(node, 'a step is 0');
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const clamp = (index: number): number => Math.min(Math.max(index < 0 ? index + size : index, low), high);
    const start = Math.max(clamp(starts[position]!), 0);
    const count = Math.max(0, Math.ceil((clamp(ends[position]!) - start) / step));
    dims[axis] = count;
    offset += start * strides[axis]!;
    strides[axis]! *= step;
  }
  return [{ dims, values: pick(source.values, dims, strides, offset) }];
}

function pad(context: Context): Known[] {
  const { node } = context;
  const { dims } = input(context, 0);
  const pads = inputOrAttribute(context, 1, 'pads') ?? [];
  const axes = (context.inputs[3] === undefined ? [...dims.keys()] : values(context, 3)).map((axis) =>
    axisIndex(node, axis, dims.length),
  );
  if (pads.length !== 2 * axes.length) throw disagreement(node, dims, pads);
  const amount = (axis: number): number => {
    const position = axes.indexOf(axis);
    return position < 0 ? 0 : pads[position]! + pads[position + axes.length]!;
  };
  return [{ dims: dims.map((size, axis) => Math.max(0, size + amount(axis))) }];
}

// ---- indexing ----------------------------------------------------------------------------------------------------

function gather(context: Context): Known[] {
  const { node } = context;
  const [source, indices] = [input(context, 0), input(context, 1)];
  const axis = axisAttribute(node, 0, source.dims.length);
  const dims = [...source.dims.slice(0, axis), ...indices.dims, ...source.dims.slice(axis + 1)];
  if (source.dims.length !== 1 || !source.values || !indices.values) return [{ dims }];
  const picked = indices.values.map((index) => source.values!.at(index));
  if (picked.some((value) => value === undefined)) throw nodeError(node, 'an index is outside of the tensor');
  return [{ dims, values: picked as number[] }];
}

function gatherND(context: Context): Known[] {
  const [data, indices] = [input(context, 0).dims, input(context, 1).dims];
  const batchDims = attribute(context.node, 'batch_dims', 'int') ?? 0;
  const depth = indices.at(-1);
  const batched = data.slice(0, batchDims).every((size, axis) => size === indices[axis]);
  if (depth === undefined || batchDims >= indices.length || batchDims + depth > data.length || !batched) {
    throw disagreement(context.node, data, indices);
  }
  return [{ dims: [...indices.slice(0, -1), ...data.slice(batchDims + depth)] }];
}

// ---- sources of values -------------------------------------------------------------------------------------------

function constant({ node }: Context): Known[] {
  const scalar = attribute(node, 'value_int', 'int');
  if (scalar !== undefined) return [{ dims: [], values: [scalar] }];
  const list = attribute(node, 'value_ints', 'ints');
  if (list !== undefined) return [{ dims: [list.length], values: list }];
  if (attribute(node, 'value_float', 'float') !== undefined) return [{ dims: [] }];
  const floats = attribute(node, 'value_floats', 'floats');
  if (floats !== undefined) return [{ dims: [floats.length] }];
  const tensor = requiredAttribute(node, 'value', 'tensor');
  return [{ dims: tensor.dims, values: integerValues(tensor) }];
}

function constantOfShape(context: Context): Known[] {
  const dims = values(context, 0);
  const value = attribute(context.node, 'value', 'tensor');
  const [number] = (value && integerValues(value)) ?? [];
  const isSmall = elementCount(dims) <= MAX_RANGE;
  return [
    { dims, values: number === undefined || !isSmall ? undefined : Array<number>(elementCount(dims)).fill(number) },
  ];
}

/** A longer range is data, not sizes. */
const MAX_RANGE = 1024;

function range(context: Context): Known[] {
  const [start, limit, step] = [0, 1, 2].map((index) => values(context, index)[0]!) as [number, number, number];
  if (step === 0) throw nodeError(context.node, 'the step is 0');
  const count = Math.max(0, Math.ceil((limit - start) / step));
  if (count > MAX_RANGE) return [{ dims: [count] }];
  return [{ dims: [count], values: Array.from({ length: count }, (_, index) => start + index * step) }];
}

function shape(context: Context): Known[] {
  const { dims } = input(context, 0);
  const sizes = dims.slice(attribute(context.node, 'start', 'int') ?? 0, attribute(context.node, 'end', 'int'));
  return [{ dims: [sizes.length], values: sizes }];
}
