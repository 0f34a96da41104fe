/**
 * TensorFlow's operators as nodes of ONNX. Each takes the values that a node reads and gives those that it computes.
 * An operator that is not here is refused by its name.
 *
 * Source: tensorflow/core/ops/*.cc, and tfjs-converter's op_list, which has all operators that a GraphModel may hold.
 */
import { float, int, ints } from '../../graph/attributes.js';
import { windowAttributes } from '../keras/windows.js';
import { isMap, PLANAR_AXIS, type TfTools, type TfValue } from './tfjs-values.js';

export type TfOperator = (tools: TfTools, inputs: readonly TfValue[]) => readonly TfValue[];

/** An operator with one input and one output. */
const onOne =
  (emit: (tools: TfTools, x: TfValue, rest: readonly TfValue[]) => TfValue): TfOperator =>
  (tools, [x, ...rest]) => {
    if (x === undefined) throw tools.node.fail('has no input');
    return [emit(tools, x, rest)];
  };

const like = (x: TfValue, name: string): TfValue => ({ name, rank: x.rank, type: x.type });

// ---- element by element ------------------------------------------------------------------------------------------

/** Made of the name of a value: another name. */
type Function = (tools: TfTools, x: string) => string;

const operator =
  (op: string): Function =>
  (tools, x) =>
    tools.emit(op, [x]);

const elementwise = (apply: Function): TfOperator =>
  onOne((tools, x) => like(x, apply(tools, tools.materialized(x).name)));

const FUNCTIONS: Readonly<Record<string, Function>> = {
  Relu: operator('Relu'),
  Relu6: (tools, x) => tools.clip(x, 0, 6),
  Elu: operator('Elu'),
  Selu: operator('Selu'),
  Sigmoid: operator('Sigmoid'),
  Tanh: operator('Tanh'),
  Softplus: operator('Softplus'),
  Softsign: operator('Softsign'),
  Exp: operator('Exp'),
  Log: operator('Log'),
  Sqrt: operator('Sqrt'),
  Rsqrt: (tools, x) => tools.emit('Reciprocal', [tools.emit('Sqrt', [x])]),
  Reciprocal: operator('Reciprocal'),
  Inv: operator('Reciprocal'),
  Square: (tools, x) => tools.emit('Mul', [x, x]),
  Neg: operator('Neg'),
  Abs: operator('Abs'),
  Erf: operator('Erf'),
  Floor: operator('Floor'),
  Ceil: operator('Ceil'),
  Round: operator('Round'),
  LeakyRelu: (tools, x) => tools.leakyRelu(x, tools.node.attributes.float('alpha', 0.2)),
};

const identity = onOne((_, x) => x);

/** Both operands broadcast to the larger rank. */
function binary(emit: (tools: TfTools, a: string, b: string) => string): TfOperator {
  return (tools, [a, b]) => {
    if (a === undefined || b === undefined) throw tools.node.fail('does not have two inputs');
    if (a.type !== b.type) throw tools.node.fail('its inputs have different types');
    const rank = Math.max(a.rank, b.rank);
    return [{ name: emit(tools, tools.operand(a, rank), tools.operand(b, rank)), rank, type: a.type }];
  };
}

const pair = (op: string): TfOperator => binary((tools, a, b) => tools.emit(op, [a, b]));

const squaredDifference = binary((tools, a, b) => {
  const difference = tools.emit('Sub', [a, b]);
  return tools.emit('Mul', [difference, difference]);
});

const addN: TfOperator = (tools, inputs) => {
  const [first] = inputs;
  if (first === undefined) throw tools.node.fail('has no inputs');
  const names = inputs.map((input) => tools.operand(input, first.rank));
  return [
    like(
      first,
      names.reduce((sum, name) => tools.emit('Add', [sum, name])),
    ),
  ];
};

const prelu = onOne((tools, x, [alpha]) => like(x, preluOf(tools, x, alpha)));

function preluOf(tools: TfTools, x: TfValue, alpha: TfValue | undefined): string {
  if (alpha === undefined) throw tools.node.fail('its slopes are missing');
  return tools.emit('PRelu', [tools.materialized(x).name, tools.operand(alpha, x.rank)]);
}

const clipByValue = onOne((tools, x, [low, high]) => {
  const [bottom = NaN] = tools.numbers(low, 'lower bound');
  const [top = NaN] = tools.numbers(high, 'upper bound');
  return like(x, tools.clip(tools.materialized(x).name, bottom, top));
});

const softmax = (op: 'Softmax' | 'LogSoftmax'): TfOperator =>
  onOne((tools, x) => like(x, tools.emit(op, [tools.materialized(x).name], { axis: int(isMap(x) ? 1 : -1) })));

const biasAdd = onOne((tools, x, [bias]) => like(x, withBias(tools, x, bias)));

function withBias(tools: TfTools, x: TfValue, bias: TfValue | undefined): string {
  if (bias === undefined) throw tools.node.fail('its bias is missing');
  checkLayout(tools);
  return tools.emit('Add', [tools.materialized(x).name, tools.operand(bias, x.rank)]);
}

/** Channels last are TensorFlow's default, and all that its CPU kernels and TensorFlow.js take. */
function checkLayout(tools: TfTools): void {
  const layout = tools.node.attributes.text('data_format', 'NHWC');
  if (layout !== 'NHWC') throw tools.node.fail(`has the layout ${layout.slice(0, 10)}; only NHWC can be read`);
}

// ---- layers ------------------------------------------------------------------------------------------------------

function windowOf(tools: TfTools, kernel: readonly [number, number], withDilation = true) {
  checkLayout(tools);
  const { attributes } = tools.node;
  const spatial = (name: string): readonly [number, number] => {
    const [, height = 1, width = 1] = attributes.ints(name);
    return [height, width];
  };
  const padding = attributes.text('padding', 'VALID');
  if (!['SAME', 'VALID', 'EXPLICIT'].includes(padding)) throw tools.node.fail('its padding is not known');
  const { dilations, ...window } = windowAttributes({
    kernel,
    strides: spatial('strides'),
    dilation: withDilation ? spatial('dilations') : [1, 1],
    padding: padding === 'SAME' ? 'same' : 'valid',
  });
  const [, , top = 0, bottom = 0, left = 0, right = 0] = attributes.ints('explicit_paddings');
  return {
    ...window,
    ...(withDilation && dilations !== undefined ? { dilations } : {}),
    ...(padding === 'EXPLICIT' ? { pads: ints(top, left, bottom, right) } : {}),
  };
}

function checkMap(tools: TfTools, x: TfValue): string {
  if (!isMap(x)) throw tools.node.fail(`its input has rank ${x.rank} and is not a map`);
  return tools.materialized(x).name;
}

function filterOf(tools: TfTools, filter: TfValue | undefined, rank: number) {
  const { constant } = filter ?? {};
  if (constant?.dims.length !== rank) throw tools.node.fail('its filter is no constant of the right rank');
  return { constant, dims: constant.dims };
}

/** A convolution with what is fused into it: [h, w, in, out], or [h, w, C, M] for each channel apart. */
function convolution(isDepthwise: boolean): TfOperator {
  return onOne((tools, x, [filter, ...args]) => {
    const name = checkMap(tools, x);
    const { constant, dims } = filterOf(tools, filter, 4);
    const [h, w, channels, out] = dims as [number, number, number, number];
    const weight = isDepthwise
      ? tools.parameter(constant, [channels * out, 1, h, w], [2, 3, 0, 1])
      : tools.parameter(constant, [out, channels, h, w], [3, 2, 0, 1]);
    const attributes = { ...windowOf(tools, [h, w]), group: int(isDepthwise ? channels : 1) };
    const { bias, rest, steps } = fusedBias(tools, args);
    const biases = bias === undefined ? [] : [tools.parameter(bias, bias.dims)];
    const y: TfValue = { name: tools.emit('Conv', [name, weight, ...biases], attributes), rank: 4, type: 'float32' };
    return fused(tools, y, { steps, args: rest });
  });
}

/** The bias that is fused into a layer, if it comes first and is a constant vector; the other steps and operands. */
function fusedBias(tools: TfTools, args: readonly TfValue[]) {
  const [first, ...steps] = tools.node.attributes.texts('fused_ops');
  const [operand, ...rest] = args;
  const bias = first === 'BiasAdd' ? operand?.constant : undefined;
  if (bias?.dims.length === 1) return { bias, rest, steps };
  return { bias: undefined, rest: args, steps: first === undefined ? [] : [first, ...steps] };
}

/** The steps that are fused behind a layer, each with its operands. */
function fused(
  tools: TfTools,
  y: TfValue,
  { steps, args }: { readonly steps: readonly string[]; readonly args: readonly TfValue[] },
): TfValue {
  let result = y;
  let given = args;
  // TensorFlow.js' converter writes NoOp where there is no bias.
  for (const step of steps.filter((known) => known !== 'NoOp')) {
    const [operand, ...rest] = given;
    if (step === 'BiasAdd' || step === 'Add') {
      if (operand === undefined) throw tools.node.fail('the operand of what is fused into it is missing');
      result = like(result, tools.emit('Add', [result.name, tools.operand(operand, result.rank)]));
      given = rest;
    } else if (step === 'Prelu') {
      result = like(result, preluOf(tools, result, operand));
      given = rest;
    } else if (step === 'FusedBatchNorm') {
      result = like(result, normalize(tools, result.name, given));
      given = given.slice(4);
    } else if (step === 'LeakyRelu') {
      result = like(result, tools.leakyRelu(result.name, tools.node.attributes.float('leakyrelu_alpha', 0.2)));
    } else {
      const apply = Object.hasOwn(FUNCTIONS, step) ? FUNCTIONS[step] : undefined;
      if (apply === undefined) throw tools.node.fail(`"${step.slice(0, 40)}", which is fused into it, cannot be read`);
      result = like(result, apply(tools, result.name));
    }
  }
  return result;
}

function normalize(tools: TfTools, x: string, moments: readonly TfValue[]): string {
  const names = moments.slice(0, 4).map(({ constant }) => {
    if (constant?.dims.length !== 1) throw tools.node.fail('its moments are no constant vectors');
    return tools.parameter(constant, constant.dims);
  });
  if (names.length !== 4) throw tools.node.fail('its moments are missing');
  const epsilon = float(tools.node.attributes.float('epsilon', 1e-4));
  return tools.emit('BatchNormalization', [x, ...names], { epsilon });
}

const batchNorm: TfOperator = (tools, [x, ...moments]) => {
  if (tools.node.attributes.bool('is_training', true)) throw tools.node.fail('is that of a training');
  checkLayout(tools);
  return [like(x!, normalize(tools, checkMap(tools, x!), moments))];
};

const matMul = onOne((tools, x, [other, ...args]) => {
  const { attributes } = tools.node;
  if (x.rank !== 2 || other?.rank !== 2) throw tools.node.fail('its inputs are no matrices');
  if (attributes.bool('transpose_a', false)) throw tools.node.fail('transposes its first input');
  const isTransposed = attributes.bool('transpose_b', false);
  const { constant, dims } = filterOf(tools, other, 2);
  const { bias, rest, steps } = fusedBias(tools, args);
  const weight = isTransposed
    ? tools.parameter(constant, dims)
    : tools.parameter(constant, [dims[1]!, dims[0]!], [1, 0]);
  const biases = bias === undefined ? [] : [tools.parameter(bias, bias.dims)];
  const { name } = tools.materialized(x);
  // Only with its weight in this order a product becomes one with the Add that follows it.
  const product =
    bias === undefined && !isTransposed
      ? tools.emit('MatMul', [name, tools.parameter(constant, dims)])
      : tools.emit('Gemm', [name, weight, ...biases], { transB: int(1) });
  return fused(tools, { name: product, rank: 2, type: 'float32' }, { steps, args: rest });
});

function pooling(op: 'MaxPool' | 'AveragePool'): TfOperator {
  return onOne((tools, x) => {
    const [, height = 1, width = 1] = tools.node.attributes.ints('ksize');
    return like(x, tools.emit(op, [checkMap(tools, x)], windowOf(tools, [height, width], false)));
  });
}

// ---- reductions --------------------------------------------------------------------------------------------------

function reduction(op: string, global?: string): TfOperator {
  return onOne((tools, x, [axesGiven]) => {
    const axes = axesOf(tools, tools.numbers(axesGiven, 'list of axes'), x.rank);
    const keeps = tools.node.attributes.bool('keep_dims', false);
    const overMap = isMap(x) && [...axes].sort().join() === '1,2';
    const rank = keeps ? x.rank : x.rank - axes.length;
    if (overMap && global !== undefined) {
      const pooled = tools.emit(global, [tools.materialized(x).name]);
      return keeps ? like(x, pooled) : { ...x, name: tools.emit('Flatten', [pooled], { axis: int(1) }), rank: 2 };
    }
    const reduced = tools.emit(op, [tools.last(x), tools.ints(axes)], { keepdims: int(keeps ? 1 : 0) });
    return tools.fromLast(reduced, rank, x.type);
  });
}

/** Axes counted from the front, each once. */
function axesOf(tools: TfTools, axes: readonly number[], rank: number): readonly number[] {
  const positive = [...new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)))];
  const wrong = positive.find((axis) => !(axis >= 0 && axis < rank));
  if (wrong !== undefined) throw tools.node.fail(`has no axis ${wrong}`);
  return positive;
}

// ---- shapes ------------------------------------------------------------------------------------------------------

/** The rank that a value of sizes stands for: how many there are. */
const reshape = onOne((tools, x, [shape]) => {
  if (shape === undefined) throw tools.node.fail('its shape is missing');
  const sizes = shape.constant?.values ?? undefined;
  const rank = sizes?.length ?? tools.lengthOf(shape);
  if (rank === undefined) throw tools.node.fail('the rank of its result is not known');
  const reshaped = tools.emit('Reshape', [tools.last(x), tools.materialized(shape).name]);
  return tools.fromLast(reshaped, rank, x.type);
});

const squeeze = onOne((tools, x) => {
  const given = tools.node.attributes.ints('squeeze_dims');
  const axes = axesOf(tools, given.length > 0 ? given : tools.node.attributes.ints('axis'), x.rank);
  if (axes.length === 0) throw tools.node.fail('does not say which axes it removes');
  const name = tools.last(x);
  return tools.fromLast(tools.emit('Squeeze', [name, tools.ints(axes)]), x.rank - axes.length, x.type);
});

const expandDims = onOne((tools, x, [axis]) => {
  const axes = axesOf(tools, tools.numbers(axis, 'axis'), x.rank + 1);
  return tools.fromLast(tools.emit('Unsqueeze', [tools.last(x), tools.ints(axes)]), x.rank + 1, x.type);
});

const transpose = onOne((tools, x, [given]) => {
  const perm = axesOf(tools, tools.numbers(given, 'permutation'), x.rank);
  if (perm.length !== x.rank) throw tools.node.fail('its permutation is none of its axes');
  return tools.fromLast(tools.transpose(tools.last(x), perm), x.rank, x.type);
});

const concat: TfOperator = (tools, inputs) => {
  const [first, ...others] = inputs.slice(0, -1);
  if (first === undefined) throw tools.node.fail('has no inputs');
  if (others.some(({ rank, type }) => rank !== first.rank || type !== first.type)) {
    throw tools.node.fail('its inputs differ in rank or type');
  }
  const [axis = 0] = axesOf(tools, tools.numbers(inputs.at(-1), 'axis'), first.rank);
  const names = [first, ...others].map((input) => tools.materialized(input).name);
  const joined = tools.emit('Concat', names, { axis: int(isMap(first) ? PLANAR_AXIS[axis]! : axis) });
  const lengths = [first, ...others].map((input) => tools.lengthOf(input));
  const total = lengths.every((length) => length !== undefined)
    ? lengths.reduce((sum, length) => sum + length, 0)
    : undefined;
  return [tools.withLength(like(first, joined), total)];
};

const pack: TfOperator = (tools, inputs) => {
  const [first] = inputs;
  if (first === undefined || inputs.some(({ rank }) => rank !== first.rank)) {
    throw tools.node.fail('its inputs differ in rank');
  }
  const [axis = 0] = axesOf(tools, [tools.node.attributes.int('axis', 0)], first.rank + 1);
  const parts = inputs.map((input) => tools.emit('Unsqueeze', [tools.last(input), tools.ints([axis])]));
  const packed = tools.fromLast(tools.emit('Concat', parts, { axis: int(axis) }), first.rank + 1, first.type);
  return [tools.withLength(packed, first.rank === 0 ? inputs.length : undefined)];
};

/** The sizes in TensorFlow's order. */
const shapeOf = onOne((tools, x) => {
  const sizes = tools.emit('Shape', [tools.materialized(x).name]);
  const name = isMap(x) ? tools.emit('Gather', [sizes, tools.ints(PLANAR_AXIS)], { axis: int(0) }) : sizes;
  return tools.withLength({ name, rank: 1, type: 'int64' }, x.rank);
});

const END = Number.MAX_SAFE_INTEGER;

const stridedSlice = onOne((tools, x, [first, last, step]) => {
  const { attributes } = tools.node;
  const [begins, ends] = [tools.numbers(first, 'begin'), tools.numbers(last, 'end')];
  const steps = tools.numbers(step, 'stride');
  if (attributes.int('ellipsis_mask', 0) !== 0 || attributes.int('new_axis_mask', 0) !== 0) {
    throw tools.node.fail('adds or leaves out axes, which cannot be read');
  }
  if (begins.length > x.rank || ends.length !== begins.length || steps.length !== begins.length) {
    throw tools.node.fail('has more bounds than its input has axes');
  }
  const has = (mask: string, axis: number): boolean => ((attributes.int(mask, 0) >> axis) & 1) === 1;
  const shrunk = begins.flatMap((_, axis) => (has('shrink_axis_mask', axis) ? [axis] : []));
  const cuts = begins.map((begin, axis) => {
    const stride = steps[axis]!;
    if (shrunk.includes(axis)) return { begin, end: begin === -1 ? END : begin + 1, stride: 1 };
    const from = has('begin_mask', axis) ? (stride > 0 ? 0 : END) : begin;
    const to = has('end_mask', axis) ? (stride > 0 ? END : -END) : ends[axis]!;
    return { begin: from, end: to, stride };
  });
  return slice(tools, x, cuts, shrunk);
});

interface Cut {
  readonly begin: number;
  readonly end: number;
  readonly stride: number;
}

function slice(tools: TfTools, x: TfValue, cuts: readonly Cut[], shrunk: readonly number[] = []): TfValue {
  const whole = ({ begin, end, stride }: Cut): boolean => begin === 0 && end === END && stride === 1;
  const axes = cuts.flatMap((cut, axis) => (whole(cut) ? [] : [axis]));
  const bounds = axes.map((axis) => cuts[axis]!);
  const keeps = shrunk.length === 0;
  const source = keeps ? tools.materialized(x).name : tools.last(x);
  const sliced =
    axes.length === 0
      ? source
      : tools.emit('Slice', [
          source,
          tools.ints(bounds.map(({ begin }) => begin)),
          tools.ints(bounds.map(({ end }) => end)),
          tools.ints(axes.map((axis) => (keeps && isMap(x) ? PLANAR_AXIS[axis]! : axis))),
          tools.ints(bounds.map(({ stride }) => stride)),
        ]);
  if (keeps) return tools.withLength(like(x, sliced), lengthAfter(tools.lengthOf(x), cuts[0]));
  return tools.fromLast(tools.emit('Squeeze', [sliced, tools.ints(shrunk)]), x.rank - shrunk.length, x.type);
}

function lengthAfter(length: number | undefined, cut: Cut | undefined): number | undefined {
  if (length === undefined || cut === undefined || cut.stride <= 0) return undefined;
  const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + length : at, 0), length);
  return Math.ceil(Math.max(0, bound(cut.end) - bound(cut.begin)) / cut.stride);
}

const sliceOf = onOne((tools, x, [first, sizes]) => {
  const [begins, lengths] = [tools.numbers(first, 'begin'), tools.numbers(sizes, 'size')];
  const cuts = begins.map((begin, axis) => {
    const length = lengths[axis] ?? -1;
    return { begin, end: length < 0 ? END : begin + length, stride: 1 };
  });
  return slice(tools, x, cuts);
});

function pad(mode: 'constant' | 'mirror'): TfOperator {
  return onOne((tools, x, [amounts, value]) => {
    const flat = tools.numbers(amounts, 'padding');
    if (flat.length !== 2 * x.rank) throw tools.node.fail('does not pad each axis');
    const pads = Array<number>(2 * x.rank).fill(0);
    for (let axis = 0; axis < x.rank; axis += 1) {
      const to = isMap(x) ? PLANAR_AXIS[axis]! : axis;
      pads[to] = flat[2 * axis]!;
      pads[to + x.rank] = flat[2 * axis + 1]!;
    }
    const inputs = [tools.materialized(x).name, tools.ints(pads)];
    if (mode === 'mirror') {
      if (tools.node.attributes.text('mode', 'REFLECT') !== 'REFLECT') throw tools.node.fail('its mode cannot be read');
      return like(x, tools.emit('Pad', inputs, { mode: { type: 'string', value: 'reflect' } }));
    }
    const [filler = 0] = value === undefined ? [] : tools.numbers(value, 'value');
    return like(x, tools.emit('Pad', filler === 0 ? inputs : [...inputs, tools.scalar(filler)]));
  });
}

function split(
  sizesOf: (
    tools: TfTools,
    inputs: readonly TfValue[],
  ) => { x?: TfValue; axis?: TfValue; parts: number; sizes?: readonly number[] },
): TfOperator {
  return (tools, inputs) => {
    const { x, axis: given, parts, sizes } = sizesOf(tools, inputs);
    if (x === undefined || !(parts >= 1 && parts <= MAX_PARTS))
      throw tools.node.fail('does not say into how many parts');
    const [axis = 0] = axesOf(tools, tools.numbers(given, 'axis'), x.rank);
    const from = [tools.materialized(x).name, ...(sizes === undefined ? [] : [tools.ints(sizes)])];
    const attributes = {
      axis: int(isMap(x) ? PLANAR_AXIS[axis]! : axis),
      ...(sizes === undefined ? { num_outputs: int(parts) } : {}),
    };
    const names = tools.builder.nodes('Split', from, parts, { name: tools.node.name, attributes });
    return names.map((name) => like(x, name));
  };
}

const MAX_PARTS = 1024;

const gather = onOne((tools, x, [indices, axisGiven]) => {
  if (indices?.type !== 'int64') throw tools.node.fail('its indices are missing');
  const [axis = 0] = axisGiven === undefined ? [0] : axesOf(tools, tools.numbers(axisGiven, 'axis'), x.rank);
  if (tools.node.attributes.int('batch_dims', 0) !== 0) throw tools.node.fail('gathers for each image apart');
  const gathered = tools.emit('Gather', [tools.last(x), tools.materialized(indices).name], { axis: int(axis) });
  const result = tools.fromLast(gathered, x.rank - 1 + indices.rank, x.type);
  return tools.withLength(result, x.rank === 1 && indices.rank === 1 ? tools.lengthOf(indices) : undefined);
});

const prod = onOne((tools, x, [axis]) => {
  const axes = axesOf(tools, tools.numbers(axis, 'list of axes'), x.rank);
  const keeps = tools.node.attributes.bool('keep_dims', false);
  // Sizes are known where they are only multiplied, sliced and joined.
  const length = tools.lengthOf(x);
  if (x.type === 'int64' && x.rank === 1 && length !== undefined && !keeps) {
    const items = Array.from({ length }, (_, index) =>
      tools.emit(
        'Gather',
        [tools.materialized(x).name, tools.builder.constant(`${tools.node.name}.index`, 'int64', [], [index])],
        { axis: int(0) },
      ),
    );
    const [first, ...others] = items;
    if (first === undefined) throw tools.node.fail('has nothing to multiply');
    return {
      name: others.reduce((product, item) => tools.emit('Mul', [product, item]), first),
      rank: 0,
      type: 'int64',
    };
  }
  const reduced = tools.emit('ReduceProd', [tools.last(x), tools.ints(axes)], { keepdims: int(keeps ? 1 : 0) });
  return tools.fromLast(reduced, keeps ? x.rank : x.rank - axes.length, x.type);
});

/** ONNX's codes of types. */
const [FLOAT, INT64] = [1, 7];

const cast = onOne((tools, x) => {
  const wanted = tools.node.attributes.type('DstT', 'DT_FLOAT');
  const type = wanted === 'DT_FLOAT' || wanted === 'DT_HALF' ? 'float32' : 'int64';
  if (!['DT_FLOAT', 'DT_HALF', 'DT_INT32', 'DT_INT64'].includes(wanted))
    throw tools.node.fail(`makes ${wanted.slice(0, 20)}`);
  if (type === x.type) return x;
  const name = tools.emit('Cast', [tools.last(x)], { to: int(type === 'float32' ? FLOAT : INT64) });
  return tools.fromLast(name, x.rank, type);
});

export const TF_OPERATORS: ReadonlyMap<string, TfOperator> = new Map<string, TfOperator>([
  ...Object.entries(FUNCTIONS).map(([op, apply]): [string, TfOperator] => [op, elementwise(apply)]),
  ...['Identity', 'StopGradient', 'Snapshot', 'PreventGradient', 'CheckNumerics'].map((op): [string, TfOperator] => [
    op,
    identity,
  ]),
  ['Add', pair('Add')],
  ['AddV2', pair('Add')],
  ['AddN', addN],
  ['Sub', pair('Sub')],
  ['Mul', pair('Mul')],
  ['RealDiv', pair('Div')],
  ['Div', pair('Div')],
  ['FloorDiv', pair('Div')],
  ['Maximum', pair('Max')],
  ['Minimum', pair('Min')],
  ['Pow', pair('Pow')],
  ['SquaredDifference', squaredDifference],
  ['BiasAdd', biasAdd],
  ['Prelu', prelu],
  ['ClipByValue', clipByValue],
  ['Softmax', softmax('Softmax')],
  ['LogSoftmax', softmax('LogSoftmax')],

  ['Conv2D', convolution(false)],
  ['_FusedConv2D', convolution(false)],
  ['DepthwiseConv2dNative', convolution(true)],
  ['DepthwiseConv2d', convolution(true)],
  ['FusedDepthwiseConv2dNative', convolution(true)],
  ['MatMul', matMul],
  ['_FusedMatMul', matMul],
  ['FusedBatchNorm', batchNorm],
  ['FusedBatchNormV2', batchNorm],
  ['FusedBatchNormV3', batchNorm],
  ['MaxPool', pooling('MaxPool')],
  ['AvgPool', pooling('AveragePool')],

  ['Mean', reduction('ReduceMean', 'GlobalAveragePool')],
  ['Max', reduction('ReduceMax', 'GlobalMaxPool')],
  ['Min', reduction('ReduceMin')],
  ['Sum', reduction('ReduceSum')],
  ['Prod', prod],

  ['Reshape', reshape],
  ['Squeeze', squeeze],
  ['ExpandDims', expandDims],
  ['Transpose', transpose],
  ['ConcatV2', concat],
  ['Pack', pack],
  ['Shape', shapeOf],
  ['StridedSlice', stridedSlice],
  ['Slice', sliceOf],
  ['Pad', pad('constant')],
  ['PadV2', pad('constant')],
  ['MirrorPad', pad('mirror')],
  [
    'Split',
    split((tools, [axis, x]) => ({
      ...(x && { x }),
      ...(axis && { axis }),
      parts: tools.node.attributes.int('num_split', 0),
    })),
  ],
  [
    'SplitV',
    split((tools, [x, sizes, axis]) => {
      const given = tools.numbers(sizes, 'list of sizes');
      return { ...(x && { x }), ...(axis && { axis }), parts: given.length, sizes: given };
    }),
  ],
  ['Gather', gather],
  ['GatherV2', gather],
  ['Cast', cast],
]);

/** Operators that choose at run time what is computed. */
export const CONTROL_FLOW =
  /^(Switch|Merge|Enter|Exit|NextIteration|LoopCond|(Stateless)?(If|While|Case)|(Stateful)?PartitionedCall|TensorArray\w*|TensorList\w*)$/;
