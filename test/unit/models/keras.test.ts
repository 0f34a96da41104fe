/**
 * What Keras writes and TensorFlow.js does not: other dialects of a topology, and options of layers that it has not. The
 * rest of the layers is held against TensorFlow.js in tfjs-conformance.test.ts.
 */
import { describe, expect, it } from 'vitest';
import type { Graph, Initializer } from '../../../src/graph/graph.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { elementCount } from '../../../src/tensor.js';
import { transposeValues } from '../../../src/graph/weights.js';
import { generatedUniform } from '../../../src/models/networks/generated-weights.js';
import { buildKerasGraph } from '../../../src/models/keras/build-graph.js';
import { readKerasModel } from '../../../src/models/keras/topology.js';
import { expectClose, randomTensor, runGraph, type Value } from '../../support/ort.js';

type Weights = Readonly<Record<string, { readonly dims: readonly number[]; readonly data: Float32Array<ArrayBuffer> }>>;

/** Generated weights of these dimensions, by name. */
const generated = (dims: Readonly<Record<string, readonly number[]>>): Weights =>
  Object.fromEntries(
    Object.entries(dims).map(([name, size]) => [
      name,
      { dims: size, data: Float32Array.from(generatedUniform(name, elementCount(size))) },
    ]),
  );

/** The graph of a topology, its weights inline. */
function graphOf(topology: unknown, weights: Weights = {}, keras = 2): Graph {
  const dims = new Map(Object.entries(weights).map(([name, weight]) => [name, weight.dims]));
  const { graph, parameters } = buildKerasGraph(readKerasModel(topology), { dims, keras });
  const initializers = new Map<string, Initializer>(graph.initializers);
  for (const { name, dims: size, perm } of parameters) {
    const { data, dims: stored } = weights[name]!;
    const values = perm === undefined ? data : transposeValues(data, stored, perm);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    initializers.set(name, { name, dataType: 'float32', dims: size, data: { kind: 'inline', bytes } });
  }
  return { ...graph, initializers };
}

async function run(graph: Graph, x: Value): Promise<Value> {
  return Object.values(await runGraph(graph, { [graph.inputs[0]!.name]: x }))[0]!;
}

const layer = (className: string, config: object = {}) => ({ class_name: className, config });
const sequential = (...layers: object[]) => layer('Sequential', { name: 'net', layers });
const IMAGE = layer('InputLayer', { name: 'photo', batch_input_shape: [null, 4, 4, 3] });
const X = randomTensor([2, 3, 4, 4]);

const CONV = layer('Conv2D', { name: 'conv', filters: 2, kernel_size: [3, 3], padding: 'same', activation: 'relu' });
const CONV_WEIGHTS = generated({ 'conv/kernel': [3, 3, 3, 2], 'conv/bias': [2] });

describe('a topology', () => {
  const expected = graphOf(sequential(IMAGE, CONV), CONV_WEIGHTS);
  const keras2 = [
    { ...IMAGE, name: 'photo', inbound_nodes: [] },
    { ...CONV, name: 'conv', inbound_nodes: [[['photo', 0, 0, {}]]] },
  ];
  const tensor = { class_name: '__keras_tensor__', config: { shape: [null, 4, 4, 3], keras_history: ['photo', 0, 0] } };
  const keras3 = [
    { ...layer('InputLayer', { name: 'photo', batch_shape: [null, 4, 4, 3] }), name: 'photo', inbound_nodes: [] },
    { ...CONV, name: 'conv', inbound_nodes: [{ args: [tensor], kwargs: { training: false } }] },
  ];
  const functional = (className: string, layers: object[], rest: object) =>
    layer(className, { name: 'net', layers, ...rest });
  const ends = { input_layers: [['photo', 0, 0]], output_layers: [['conv', 0, 0]] };

  it.each<[string, object]>([
    ['a list of layers', layer('Sequential', [IMAGE, CONV] as object)],
    [
      'a first layer that says the shape',
      sequential(layer('Conv2D', { ...CONV.config, batch_input_shape: [null, 4, 4, 3] })),
    ],
    ['a shape beside the layers', layer('Sequential', { layers: [CONV], build_input_shape: [null, 4, 4, 3] })],
    ['a functional model', functional('Model', keras2, ends)],
    ['layers in any order', functional('Functional', keras2.toReversed(), ends)],
    [
      'one input and one output without a list',
      functional('Functional', keras2, { input_layers: ['photo', 0, 0], output_layers: ['conv', 0, 0] }),
    ],
    [
      'a call without a list',
      functional('Functional', [keras2[0]!, { ...CONV, name: 'conv', inbound_nodes: [['photo', 0, 0, {}]] }], ends),
    ],
    ['Keras 3', functional('Functional', keras3, ends)],
  ])('may be %s', async (_, topology) => {
    const graph = graphOf(topology, CONV_WEIGHTS);
    expect(graph.inputs[0]!.dims).toEqual(['N', 3, 4, 4]);
    expectClose(await run(graph, X), await run(expected, X));
  });

  it.each([0, 1])('may count the calls of a model inside of it from %i', async (first) => {
    const twice = [
      { ...IMAGE, name: 'photo', inbound_nodes: [] },
      {
        ...sequential(layer('Activation', { name: 'bent', activation: 'softsign' })),
        name: 'inner',
        inbound_nodes: [[['photo', 0, 0]], [['inner', first, 0]]],
      },
    ];
    const ends = { input_layers: [['photo', 0, 0]], output_layers: [['inner', first + 1, 0]] };
    const bent = layer('Activation', { activation: 'softsign' });
    const expected = graphOf(sequential(IMAGE, { ...bent, name: 'a' }, { ...bent, name: 'b' }));
    expectClose(await run(graphOf(functional('Model', twice, ends)), X), await run(expected, X));
  });
});

describe('a weight', () => {
  const nested = sequential(IMAGE, { ...layer('Sequential', [CONV] as object), name: 'inner' });
  const named = (kernel: string, bias: string): Weights => ({
    [kernel]: CONV_WEIGHTS['conv/kernel']!,
    [bias]: CONV_WEIGHTS['conv/bias']!,
  });

  it.each([
    ['its layer', named('conv/kernel', 'conv/bias')],
    ['its layer and the models around it', named('inner/conv/kernel', 'inner/conv/bias')],
    ['its layer and a part more', named('conv/cell/kernel', 'conv/cell/bias')],
  ])('may be called after %s', async (_, weights) => {
    expectClose(await run(graphOf(nested, weights), X), await run(graphOf(sequential(IMAGE, CONV), CONV_WEIGHTS), X));
  });

  it('is not given to two layers of one name', () => {
    const again = {
      ...layer('Sequential', [layer('Conv2D', { ...CONV.config, name: 'conv' })] as object),
      name: 'other',
    };
    expect(() => graphOf(sequential(IMAGE, nested, again), CONV_WEIGHTS)).toThrow(GraphError);
    expect(() => graphOf(sequential(IMAGE, nested, again), CONV_WEIGHTS)).toThrow(
      /^weight "conv\/kernel": belongs to both "net\/inner\/conv" and "other\/conv"$/,
    );
  });
});

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const clip = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

describe('element by element', () => {
  it.each<[string, object, (x: number) => number, number?]>([
    [
      'ReLU between two slopes',
      layer('ReLU', { negative_slope: 0.1, max_value: 0.5 }),
      (x) => Math.min(x < 0 ? 0.1 * x : x, 0.5),
    ],
    ['ReLU with a slope', layer('ReLU', { negative_slope: [0.25][0] }), (x) => (x < 0 ? 0.25 * x : x)],
    ['ReLU with a threshold', layer('ReLU', { threshold: 0.3 }), (x) => (x >= 0.3 ? x : 0)],
    [
      'ReLU with a threshold and a bound',
      layer('ReLU', { threshold: 0.3, max_value: 0.6 }),
      (x) => (x >= 0.3 ? Math.min(x, 0.6) : 0),
    ],
    ['LeakyReLU of Keras 3', layer('LeakyReLU', { negative_slope: 0.2 }), (x) => (x < 0 ? 0.2 * x : x)],
    ['ELU', layer('ELU', { alpha: 0.5 }), (x) => (x < 0 ? 0.5 * Math.expm1(x) : x)],
    ['leaky_relu', layer('Activation', { activation: 'leaky_relu' }), (x) => (x < 0 ? 0.2 * x : x)],
    ['exponential', layer('Activation', { activation: 'exponential' }), Math.exp],
    ['silu', layer('Activation', { activation: 'silu' }), (x) => x * sigmoid(x)],
    ['hard_sigmoid', layer('Activation', { activation: 'hard_sigmoid' }), (x) => clip(0.2 * x + 0.5, 0, 1)],
    ['hard_sigmoid of Keras 3', layer('Activation', { activation: 'hard_sigmoid' }), (x) => clip(x / 6 + 0.5, 0, 1), 3],
    [
      'hard_silu of Keras 3',
      layer('Activation', { activation: { class_name: 'function', config: 'hard_silu' } }),
      (x) => x * clip(x / 6 + 0.5, 0, 1),
      3,
    ],
    ['Rescaling', layer('Rescaling', { scale: 2, offset: -1 }), (x) => 2 * x - 1],
    ['RandomFlip', layer('RandomFlip', { mode: 'horizontal' }), (x) => x],
  ])('%s', async (_, tested, f, keras = 2) => {
    const four = { dims: X.dims, data: Float32Array.from(X.data as Float32Array, (x) => 4 * x) };
    // A graph in which nothing is left to do has no output of its own.
    const graph = graphOf(sequential(IMAGE, tested, layer('Rescaling', { scale: 1 })), {}, keras);
    const expected = Float32Array.from(four.data, (x) => f(x));
    expectClose(await run(graph, four), { dims: X.dims, data: expected });
  });

  it('refuses a ReLU with a slope below a threshold', () => {
    const both = layer('ReLU', { name: 'bent', negative_slope: 0.1, threshold: 1 });
    expect(() => graphOf(sequential(IMAGE, both))).toThrow(/^layer "bent" \(ReLU\): threshold cannot be combined/);
  });
});

describe('channel by channel', () => {
  const [mean, variance] = [
    [0.1, 0.2, 0.3],
    [4, 0.25, 0],
  ];
  const expected = (): Value => {
    const data = Float32Array.from(X.data as Float32Array, (x, index) => {
      const channel = Math.floor(index / 16) % 3;
      return (x - mean[channel]!) / Math.max(Math.sqrt(variance[channel]!), 1e-7);
    });
    return { dims: X.dims, data };
  };

  it('Normalization has its moments in its options', async () => {
    expectClose(
      await run(graphOf(sequential(IMAGE, layer('Normalization', { axis: -1, mean, variance }))), X),
      expected(),
    );
  });

  it('Normalization has its moments among the weights', async () => {
    const weights = {
      'normal/mean': { dims: [3], data: Float32Array.from(mean) },
      'normal/variance': { dims: [3], data: Float32Array.from(variance) },
      'normal/count': { dims: [], data: Float32Array.of(7) },
    };
    const graph = graphOf(sequential(IMAGE, layer('Normalization', { name: 'normal', axis: [-1] })), weights);
    expectClose(await run(graph, X), expected());
  });

  it('Rescaling has a scale and an offset for each channel', async () => {
    const [scale, offset] = [variance.map((value) => 1 / Math.max(Math.sqrt(value), 1e-7)), [0, 0, 0]];
    const scaled = expected();
    const shifted = X.data as Float32Array;
    const graph = graphOf(sequential(IMAGE, layer('Rescaling', { scale, offset })));
    const centred = Float32Array.from(shifted, (x, index) => x - mean[Math.floor(index / 16) % 3]!);
    expectClose(await run(graph, { dims: X.dims, data: centred }), scaled);
  });
});

it('Conv2D in groups is one whose kernel is zero between them', async () => {
  const grouped = generated({ 'conv/kernel': [3, 3, 2, 4] })['conv/kernel']!;
  const whole = new Float32Array(3 * 3 * 4 * 4);
  for (let place = 0; place < 9; place += 1) {
    for (let input = 0; input < 4; input += 1) {
      for (let out = 0; out < 4; out += 1) {
        if (Math.floor(input / 2) !== Math.floor(out / 2)) continue;
        whole[(place * 4 + input) * 4 + out] = grouped.data[(place * 2 + (input % 2)) * 4 + out]!;
      }
    }
  }
  const image = layer('InputLayer', { name: 'photo', batch_input_shape: [null, 5, 5, 4] });
  const conv = (groups: number) => layer('Conv2D', { name: 'conv', kernel_size: 3, groups, use_bias: false });
  const x = randomTensor([1, 4, 5, 5]);
  const expected = graphOf(sequential(image, conv(1)), { 'conv/kernel': { dims: [3, 3, 4, 4], data: whole } });
  expectClose(await run(graphOf(sequential(image, conv(2)), { 'conv/kernel': grouped }), x), await run(expected, x));
});

it('Subtract takes two, and a global pooling may keep its axes', async () => {
  const call = (name: string, ...inputs: string[]) => ({
    name,
    inbound_nodes: [inputs.map((input) => [input, 0, 0, {}])],
  });
  const layers = [
    { ...IMAGE, name: 'photo', inbound_nodes: [] },
    { ...layer('GlobalAveragePooling2D', { keepdims: true }), ...call('mean', 'photo') },
    { ...layer('Subtract'), ...call('centred', 'photo', 'mean') },
    { ...layer('GlobalAveragePooling2D'), ...call('rest', 'centred') },
  ];
  const ends = { input_layers: [['photo', 0, 0]], output_layers: [['rest', 0, 0]] };
  const rest = await run(graphOf(layer('Functional', { layers, ...ends })), X);
  expectClose(rest, { dims: [2, 3], data: new Float32Array(6) });
});

it('a layer shared by a vector and by a list of vectors is refused: its weight cannot have two orders', () => {
  const layers = [
    { ...layer('InputLayer', { batch_input_shape: [null, 2] }), name: 'x', inbound_nodes: [] },
    { ...layer('Reshape', { target_shape: [1, 2] }), name: 'list', inbound_nodes: [[['x', 0, 0]]] },
    { ...layer('Dense'), name: 'fc', inbound_nodes: [[['x', 0, 0]], [['list', 0, 0]]] },
  ];
  const ends = { input_layers: [['x', 0, 0]], output_layers: [['fc', 1, 0]] };
  const weights = generated({ 'fc/kernel': [2, 2], 'fc/bias': [2] });
  expect(() => graphOf(layer('Functional', { layers, ...ends }), weights)).toThrow(/"fc" .*different rank/);
});

it('what the calls of nested models read is counted, however few layers they are', () => {
  const inner = {
    ...layer('Functional', {
      layers: [
        { ...IMAGE, name: 'photo', inbound_nodes: [] },
        { ...layer('Add'), name: 'sum', inbound_nodes: [Array.from({ length: 500 }, () => ['photo', 0, 0])] },
      ],
      input_layers: [['photo', 0, 0]],
      output_layers: [['sum', 0, 0]],
    }),
    name: 'inner',
    inbound_nodes: Array.from({ length: 500 }, () => [['photo', 0, 0]]),
  };
  const ends = { input_layers: [['photo', 0, 0]], output_layers: [['inner', 1, 0]] };
  const topology = layer('Functional', { layers: [{ ...IMAGE, name: 'photo', inbound_nodes: [] }, inner], ...ends });
  expect(() => graphOf(topology)).toThrow(/more than 20000 calls/);
});
