/** Every operator that the TensorFlow engine has, in every form of it that differs, against ONNX Runtime. */
import { beforeAll, describe, expect, it } from 'vitest';
import { float, int, ints } from '../../src/graph/attributes.js';
import type { GraphBuilder } from '../../src/graph/build.js';
import type { Attribute, DataType, Graph, ValueInfo } from '../../src/graph/graph.js';
import { DATA_TYPE_CODES } from '../../src/graph/onnx/data-types.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import { generatedUniform } from '../../src/models/networks/generated-weights.js';
import type { Engine } from '../../src/runtime/session.js';
import { OPERATORS } from '../../src/runtime/tensorflow/operators/index.js';
import { OTHER_ENGINES, TENSORFLOW_ENGINES } from '../support/engines.js';
import { runOn } from '../support/engines.js';
import { expectClose, randomTensor, runGraph } from '../support/ort.js';
import { graphOf, output } from '../support/tiny-graphs.js';

const text = (value: string): Attribute => ({ type: 'string', value });
type Attributes = Readonly<Record<string, Attribute>>;
type Make = (b: GraphBuilder, x: string) => ValueInfo[] | string;

interface Case {
  readonly op: string;
  readonly form: string;
  readonly make: Make;
  readonly dims: readonly number[];
  readonly opset: number | undefined;
}

/** Height and width differ, and neither divides by a stride. */
const MAP = [2, 4, 9, 7] as const;
const CHANNELS = MAP[1];

interface Form {
  readonly form?: string;
  readonly dims?: readonly number[];
  readonly opset?: number;
}

const cases: Case[] = [];

function check(op: string, make: Make, { form = 'as it is', dims = MAP, opset }: Form = {}): void {
  cases.push({ op, form, make, dims, opset });
}

/** A node with attributes alone, or with weights whose dimensions are given. */
function plain(op: string, attributes: Attributes = {}, form?: string, ...weights: (readonly number[])[]): void {
  const make: Make = (b, x) =>
    b.node(op, [x, ...weights.map((dims, index) => b.parameter(`w${index}.weight`, dims))], { attributes });
  check(op, make, form === undefined ? {} : { form });
}

// ---- windows and channels ----------------------------------------------------------------------------------------

const PADS = { pads: ints(1, 0, 2, 1) };
plain('Conv', { pads: ints(1, 1, 1, 1) }, 'padded', [6, 4, 3, 3], [6]);
plain('Conv', { ...PADS, strides: ints(2, 3) }, 'unequal pads and strides', [6, 4, 3, 2]);
plain('Conv', { dilations: ints(2, 3), ...PADS }, 'dilated', [6, 4, 3, 2]);
plain('Conv', { auto_pad: text('SAME_UPPER'), strides: ints(2, 2) }, 'SAME_UPPER', [6, 4, 4, 3]);
plain('Conv', { auto_pad: text('SAME_LOWER'), strides: ints(2, 2) }, 'SAME_LOWER', [6, 4, 4, 3]);
plain('Conv', { group: int(2), ...PADS }, 'two groups', [6, 2, 3, 3], [6]);
plain('Conv', { group: int(4), ...PADS, strides: ints(2, 2) }, 'depthwise', [4, 1, 3, 3], [4]);
plain('Conv', { group: int(4) }, 'depthwise, two outputs a channel', [8, 1, 3, 3]);
plain('Conv', { group: int(4), dilations: ints(2, 1), ...PADS }, 'depthwise, dilated', [4, 1, 3, 3]);
check(
  'Conv',
  (b, x) => b.node('Relu', [b.node('Conv', [x, b.parameter('weight', [6, 4, 3, 3]), b.parameter('bias', [6])])]),
  { form: 'with a ReLU' },
);
for (const op of ['MaxPool', 'AveragePool']) {
  const size = { kernel_shape: ints(3, 2), strides: ints(2, 2) };
  plain(op, size);
  plain(op, { ...size, pads: ints(1, 0, 1, 1) }, 'unequal pads');
  plain(op, { ...size, ceil_mode: int(1) }, 'a last, partial window');
  plain(op, { ...size, pads: ints(1, 0, 1, 1), ceil_mode: int(1) }, 'pads and a last, partial window');
  plain(op, { ...size, auto_pad: text('SAME_UPPER') }, 'SAME_UPPER');
  plain(op, { kernel_shape: ints(1, 1), strides: ints(2, 2) }, 'one cell');
  check(op, (b, x) => b.node(op, [x], { attributes: { ...size, dilations: ints(2, 3), pads: ints(1, 1, 1, 1) } }), {
    form: 'dilated',
    opset: 19,
  });
}
const COUNTED = { kernel_shape: ints(3, 3), pads: ints(1, 1, 1, 1), count_include_pad: int(1) };
plain('AveragePool', COUNTED, 'counting pads');
plain('AveragePool', { ...COUNTED, strides: ints(2, 3), ceil_mode: int(1) }, 'counting pads, a last, partial window');
plain('GlobalAveragePool');
plain('GlobalMaxPool');
plain('LRN', { size: int(3), alpha: float(0.3), beta: float(0.6), bias: float(2) });
const statistics = (b: GraphBuilder, channels: number): string[] =>
  ['weight', 'bias', 'running_mean', 'running_var'].map((name) => b.parameter(`bn.${name}`, [channels]));
check('BatchNormalization', (b, x) => b.node('BatchNormalization', [x, ...statistics(b, CHANNELS)]));
check('BatchNormalization', (b, x) => [output(b.node('BatchNormalization', [x, ...statistics(b, 5)]), 2)], {
  form: 'of a matrix',
  dims: [3, 5],
});
check(
  'BatchNormalization',
  (b, x) =>
    b.node('Relu', [
      b.node('BatchNormalization', [b.node('Conv', [x, b.parameter('weight', [6, 4, 3, 3])]), ...statistics(b, 6)]),
    ]),
  { form: 'folded into a convolution' },
);

// ---- matrices ----------------------------------------------------------------------------------------------------

const matrix = (op: string, attributes: Attributes, form: string, ...weights: (readonly number[])[]): void =>
  check(
    op,
    (b, x) => [
      output(
        b.node(op, [x, ...weights.map((dims, index) => b.parameter(`w${index}.weight`, dims))], { attributes }),
        2,
      ),
    ],
    { form, dims: [3, 5] },
  );
matrix('Gemm', {}, 'with a bias', [5, 2], [2]);
matrix('Gemm', { transB: int(1), alpha: float(0.5), beta: float(2) }, 'transposed and scaled', [2, 5], [2]);
matrix('Gemm', { transA: int(1) }, 'the first transposed', [3, 2]);
matrix('MatMul', {}, 'of matrices', [5, 2]);
check('MatMul', (b, x) => b.node('MatMul', [x, b.parameter('weight', [7, 3])]), { form: 'of many matrices' });
check('MatMul', (b, x) => [output(b.node('MatMul', [x, b.parameter('weight', [7])]), 3)], { form: 'with a vector' });
check('Gemm', (b, x) => [output(b.node('Gemm', [b.node('Flatten', [x]), b.parameter('weight', [252, 3])]), 2)], {
  form: 'behind a Flatten',
});

// ---- value by value ----------------------------------------------------------------------------------------------

for (const op of 'Abs Ceil Cos Erf Exp Floor HardSwish Identity Neg Relu Round Sigmoid Sign Sin Softplus Softsign Tanh'.split(
  ' ',
)) {
  plain(op);
}
for (const op of ['Log', 'Sqrt', 'Reciprocal']) {
  check(op, (b, x) => b.node(op, [b.node('Exp', [x])]));
}
plain('Elu');
plain('Elu', { alpha: float(0.3) }, 'another alpha');
plain('Selu');
plain('LeakyRelu', { alpha: float(0.2) });
plain('HardSigmoid', { alpha: float(0.3), beta: float(0.4) });
plain('ThresholdedRelu', { alpha: float(0.2) });
check('Mish', (b, x) => b.node('Mish', [x]), { opset: 18 });
check('Gelu', (b, x) => b.node('Gelu', [x]), { opset: 20 });
check('Gelu', (b, x) => b.node('Gelu', [x], { attributes: { approximate: text('tanh') } }), {
  form: 'tanh',
  opset: 20,
});
check('Dropout', (b, x) => b.node('Dropout', [x]));
check('Clip', (b, x) =>
  b.node('Clip', [x, b.constant('low', 'float32', [], [-0.2]), b.constant('high', 'float32', [], [0.4])]),
);
check('Clip', (b, x) => b.node('Clip', [x, '', b.constant('high', 'float32', [], [0.4])]), {
  form: 'without a minimum',
});
check('Clip', (b, x) => b.node('Clip', [x], { attributes: { min: float(-0.1), max: float(0.3) } }), {
  form: 'attributes',
  opset: 10,
});
for (const op of ['Add', 'Sub', 'Mul', 'Max', 'Min', 'PRelu']) {
  plain(op, {}, 'by channel', [4, 1, 1]);
  plain(op, {}, 'by column', [7]);
}
plain('Sum', {}, 'of three', [1, 4, 1, 1], [4, 9, 7]);
plain('Mean', {}, 'of three', [1, 4, 1, 1], [4, 9, 7]);
check('Div', (b, x) => b.node('Div', [x, b.node('Exp', [x])]));
check('Pow', (b, x) => b.node('Pow', [x, b.constant('two', 'float32', [], [2])]));
const COMPARISONS = ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'];
for (const op of [...COMPARISONS, 'Where']) {
  check(op, (b, x) => {
    const bound = b.parameter('bound', [4, 1, 1]);
    const holds = b.node(op === 'Where' ? 'Less' : op, [x, bound]);
    return b.node('Where', [holds, x, bound]);
  });
}
for (const op of ['And', 'Or', 'Not']) {
  check(op, (b, x) => {
    const [low, high] = ['low', 'high'].map((name) => b.node('Greater', [x, b.parameter(name, [1, 4, 1, 1])])) as [
      string,
      string,
    ];
    return b.node('Where', [b.node(op, op === 'Not' ? [low] : [low, high]), x, b.node('Neg', [x])]);
  });
}
check('Cast', (b, x) => {
  const whole = b.node('Cast', [b.node('Mul', [x, b.constant('ten', 'float32', [], [10])])], {
    attributes: { to: int(DATA_TYPE_CODES.int64) },
  });
  return [{ ...output(whole), dataType: 'int64' }];
});
check('DequantizeLinear', (b, x) => {
  const scale = b.constant('scale', 'float32', [4], [0.5, 0.25, 2, 1]);
  const whole = b.node('Cast', [b.node('Mul', [x, b.constant('ten', 'float32', [], [10])])], {
    attributes: { to: int(DATA_TYPE_CODES.int32) },
  });
  return b.node('DequantizeLinear', [whole, scale], { attributes: { axis: int(1) } });
});

// ---- over axes ---------------------------------------------------------------------------------------------------

for (const op of 'L1 L2 LogSumExp Max Mean Min Prod Sum SumSquare'.split(' ').map((name) => `Reduce${name}`)) {
  const along = (axes: readonly number[], keep: 0 | 1): Make => {
    const rank = keep === 1 ? 4 : 4 - axes.length;
    return (b, x) => [
      output(
        b.node(op, [x, b.constant('axes', 'int64', [axes.length], axes)], { attributes: { keepdims: int(keep) } }),
        rank,
      ),
    ];
  };
  check(op, along([2, 3], 1), { form: 'space, kept' });
  check(op, along([2, 3], 0), { form: 'space' });
  check(op, along([1], 0), { form: 'channels' });
  check(op, along([-2], 0), { form: 'rows' });
  check(op, (b, x) => [output(b.node(op, [x], { attributes: { keepdims: int(0) } }), 0)], { form: 'everything' });
}
check('ReduceMean', (b, x) => b.node('ReduceMean', [x], { attributes: { axes: ints(2, 3) } }), {
  form: 'axes as an attribute',
  opset: 13,
});
for (const axis of [1, 2, 3]) {
  const attributes = { axis: int(axis), keepdims: int(0) };
  check('ArgMax', (b, x) => [output(b.node('ArgMax', [x], { attributes }), 3, 'int64')], { form: `axis ${axis}` });
  check(
    'TopK',
    (b, x) => {
      const count = b.constant('k', 'int64', [1], [3]);
      const [values = '', indices = ''] = b.nodes('TopK', [x, count], 2, { attributes: { axis: int(axis) } });
      return [output(values), output(indices, 4, 'int64')];
    },
    { form: `axis ${axis}` },
  );
  for (const op of ['Softmax', 'LogSoftmax']) {
    plain(op, { axis: int(axis) }, `axis ${axis}`);
    check(op, (b, x) => b.node(op, [x], { attributes: { axis: int(axis) } }), { form: `from axis ${axis}`, opset: 12 });
  }
}
check('ArgMax', (b, x) => [output(b.node('ArgMax', [x], { attributes: { axis: int(1) } }), 4, 'int64')], {
  form: 'axis kept',
});

// ---- rearrangement -----------------------------------------------------------------------------------------------

const list = (b: GraphBuilder, name: string, values: readonly number[]): string =>
  b.constant(name, 'int64', [values.length], values);
check('Reshape', (b, x) => [output(b.node('Reshape', [x, list(b, 'target', [0, -1, 3])]), 3)]);
check('Flatten', (b, x) => [output(b.node('Flatten', [x]), 2)]);
check('Squeeze', (b, x) => [output(b.node('Squeeze', [b.node('GlobalMaxPool', [x]), list(b, 'axes', [2, 3])]), 2)]);
check('Unsqueeze', (b, x) => [output(b.node('Unsqueeze', [x, list(b, 'axes', [0, 3])]), 6)]);
for (const perm of [
  [0, 2, 3, 1],
  [0, 3, 1, 2],
  [0, 1, 3, 2],
  [3, 2, 1, 0],
]) {
  plain('Transpose', { perm: ints(...perm) }, perm.join());
}
for (const axis of [0, 1, 3]) {
  check('Concat', (b, x) => b.node('Concat', [x, b.node('Relu', [x])], { attributes: { axis: int(axis) } }), {
    form: `axis ${axis}`,
  });
}
check('Split', (b, x) =>
  b.nodes('Split', [x, list(b, 'sizes', [1, 3])], 2, { attributes: { axis: int(1) } }).map((name) => output(name)),
);
const slicing = (form: string, starts: number[], ends: number[], axes: number[], steps: number[]): void =>
  check(
    'Slice',
    (b, x) =>
      b.node('Slice', [
        x,
        list(b, 'starts', starts),
        list(b, 'ends', ends),
        list(b, 'axes', axes),
        list(b, 'steps', steps),
      ]),
    { form },
  );
slicing('a window', [1, -5], [-1, Number.MAX_SAFE_INTEGER], [2, 3], [1, 1]);
slicing('every other cell', [1, 0], [9, 7], [2, 3], [2, 3]);
slicing('channels backwards', [3], [Number.MIN_SAFE_INTEGER], [1], [-1]);
check('Pad', (b, x) =>
  b.node('Pad', [x, list(b, 'pads', [0, 1, 2, 0, 0, 0, 1, 3]), b.constant('v', 'float32', [], [0.5])]),
);
check('Pad', (b, x) => b.node('Pad', [x, list(b, 'pads', [1, 2, 0, 1]), '', list(b, 'axes', [2, 3])]), {
  form: 'axes',
});
check('Pad', (b, x) => b.node('Pad', [x, list(b, 'pads', [0, 0, -1, 2, 0, 0, -2, -1])]), { form: 'cutting' });
check(
  'Pad',
  (b, x) => b.node('Pad', [x, list(b, 'pads', [0, 0, 1, 2, 0, 0, 2, 1])], { attributes: { mode: text('reflect') } }),
  { form: 'reflecting' },
);
check('Expand', (b, x) => [output(b.node('Expand', [x, list(b, 'shape', [2, 1, 4, 1, 7])]), 5)], { dims: [4, 1, 7] });
check('Tile', (b, x) => b.node('Tile', [x, list(b, 'repeats', [1, 2, 1, 3])]));
check('Shape', (b, x) => [output(b.node('Shape', [x]), 1, 'int64')]);
check(
  'Shape',
  (b, x) => {
    const batch = b.node('Gather', [b.node('Shape', [x]), list(b, 'first', [0])]);
    const target = b.node('Concat', [batch, list(b, 'rest', [-1])], { attributes: { axis: int(0) } });
    return [output(b.node('Reshape', [x, target]), 2)];
  },
  { form: 'as the target of a Reshape' },
);
check('ConstantOfShape', (b, x) => b.node('Add', [x, b.node('ConstantOfShape', [b.node('Shape', [x])])]));

// ---- indexing ----------------------------------------------------------------------------------------------------

for (const axis of [0, 1, 3]) {
  check(
    'Gather',
    (b, x) => b.node('Gather', [x, list(b, 'indices', [1, 0, -1])], { attributes: { axis: int(axis) } }),
    {
      form: `axis ${axis}`,
    },
  );
}
check(
  'Gather',
  (b, x) => [
    output(
      b.node('Gather', [x, b.constant('indices', 'int64', [2, 2], [0, 3, 1, -1])], { attributes: { axis: int(1) } }),
      5,
    ),
  ],
  { form: 'a matrix of indices' },
);
check(
  'Gather',
  (b, x) => [output(b.node('Gather', [x, b.constant('index', 'int64', [], [2])], { attributes: { axis: int(1) } }), 3)],
  {
    form: 'one index',
  },
);
check(
  'GatherElements',
  (b, x) => [
    output(
      b.node('GatherElements', [x, b.constant('indices', 'int64', [2, 3], [0, 4, -1, 2, 2, 1])], {
        attributes: { axis: int(1) },
      }),
      2,
    ),
  ],
  { dims: [2, 5] },
);
check('GatherND', (b, x) =>
  b.node('GatherND', [x, b.constant('indices', 'int64', [2, 3, 1], [0, 2, 3, 1, 1, 0])], {
    attributes: { batch_dims: int(1) },
  }),
);
check('GatherND', (b, x) => b.node('GatherND', [x, b.constant('indices', 'int64', [3, 1], [1, 0, 1])]), {
  form: 'without a batch',
});
for (const aligned of [0, 1]) {
  // Places beyond the map, on its edges, between its cells.
  const places = Array.from(generatedUniform('places', 2 * 5 * 6 * 2), (u) => 1.4 * u);
  places.splice(0, 6, -1, -1, 1, 1, 0, 0);
  check(
    'GridSample',
    (b, x) => {
      const grid = b.constant('grid', 'float32', [2, 5, 6, 2], places);
      return b.node('GridSample', [x, grid], { attributes: { mode: text('bilinear'), align_corners: int(aligned) } });
    },
    { form: aligned === 1 ? 'corners aligned' : 'edges aligned' },
  );
}
check(
  'GridSample',
  (b, x) => b.node('GridSample', [x, b.constant('grid', 'float32', [2, 1, 1, 2], [0, 0, 0.3, 0.9])], {}),
  {
    form: 'linear, as newer operator sets call it',
    opset: 20,
  },
);

// ------------------------------------------------------------------------------------------------------------------

function graphOfCase({ make, dims, opset }: Case, isBehindConv: boolean): Graph {
  const graph = graphOf(dims, (b, x) => {
    if (!isBehindConv) return make(b, x);
    const weight = b.parameter('ahead.weight', [CHANNELS, CHANNELS, 1, 1]);
    return make(b, b.node('Conv', [x, weight], { name: 'ahead' }));
  });
  return opset === undefined ? graph : { ...graph, opset };
}

describe.each(OTHER_ENGINES)('$name', ({ start }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await start();
  });

  describe.each(cases)('$op, $form', (each) => {
    const isMap = each.dims === MAP;
    it.each(isMap ? [false, true] : [false])(
      'is what ONNX Runtime computes (behind a convolution: %s)',
      async (isBehind) => {
        const graph = graphOfCase(each, isBehind);
        const x = randomTensor(each.dims);
        const expected = await runGraph(graph, { x });
        const found = await runOn(engine, { model: writeOnnx(graph) }, { x });
        expect(Object.keys(found)).toEqual(Object.keys(expected));
        for (const [name, value] of Object.entries(expected)) {
          expectClose(found[name], value);
          expect(found[name]!.data.constructor).toBe(value.data.constructor);
        }
      },
    );
  });
});

it('no operator is without a test', () => {
  const tested = new Set(cases.map(({ op }) => op));
  expect([...OPERATORS.keys()].filter((op) => !tested.has(op))).toEqual([]);
});

describe('what the TensorFlow engine does not have', () => {
  const refusal = async (graph: Graph): Promise<unknown> => {
    const engine = await TENSORFLOW_ENGINES[0]!.start();
    return engine.open({ id: 'test', model: writeOnnx(graph) });
  };
  const one = (op: string, attributes: Attributes = {}, ...weights: (readonly number[])[]): Graph =>
    graphOf(MAP, (b, x) =>
      b.node(op, [x, ...weights.map((dims, index) => b.parameter(`w${index}.weight`, dims))], {
        name: 'odd',
        attributes,
      }),
    );

  it.each([
    [one('GlobalLpPool'), 'node "odd" (GlobalLpPool): the tensorflow engine has no such operator'],
    [one('LRN', { size: int(4) }), 'node "odd" (LRN): a window of 4 channels'],
    [
      one('Conv', { group: int(4), strides: ints(1, 2) }, [4, 1, 3, 3]),
      'node "odd" (Conv): a depthwise convolution with the',
    ],
    [
      graphOf(MAP, (b, x) => {
        const grid = b.constant('grid', 'float32', [2, 1, 1, 2], [0, 0, 0, 0]);
        return b.node('GridSample', [x, grid], { name: 'odd', attributes: { padding_mode: text('border') } });
      }),
      'node "odd" (GridSample): the padding border is not',
    ],
    [one('Pad', { mode: text('edge'), pads: ints(0, 0, 1, 1, 0, 0, 1, 1) }), 'node "odd" (Pad): the mode edge is not'],
    [
      graphOf(MAP, (b, x) => {
        const scale = b.constant('scale', 'float32', [], [0.1]);
        const q = b.node('QuantizeLinear', [x, scale], { name: 'odd' });
        return b.node('DequantizeLinear', [q, scale]);
      }),
      'node "odd" (QuantizeLinear): TensorFlow.js has no 8-bit kernels; serve quantized models with FULLCONV_ENGINE=onnxruntime',
    ],
  ])('is refused by name when a session is opened (%#)', async (graph, message) => {
    await expect(refusal(graph)).rejects.toThrow(message);
  });

  it('leaves no tensor of a model that it refuses', async () => {
    const { tf } = await import('../support/tfjs.js');
    await TENSORFLOW_ENGINES[0]!.start();
    const before = tf.memory().numTensors;
    const weights: DataType = 'float32';
    const graph = graphOf(MAP, (b, x) => {
      const map = b.node('Conv', [x, b.parameter('weight', [4, 4, 3, 3])]);
      return [
        { name: b.node('LRN', [map], { attributes: { size: int(4) } }), dataType: weights, dims: ['a', 'b', 'c', 'd'] },
      ];
    });
    await expect(refusal(graph)).rejects.toThrow('LRN');
    expect(tf.memory().numTensors).toBe(before);
  });
});
