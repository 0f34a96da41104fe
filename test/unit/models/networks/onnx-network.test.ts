import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { float, int, ints } from '../../../../src/graph/attributes.js';
import type { GraphBuilder } from '../../../../src/graph/build.js';
import { inlineConstant } from '../../../../src/graph/constants.js';
import type { Attribute, Graph, Initializer, Node } from '../../../../src/graph/graph.js';
import { GraphError } from '../../../../src/graph/graph-error.js';
import { readOnnx, readOnnxInPlace, writeOnnx } from '../../../../src/graph/onnx/model.js';
import { ModelProtoSchema, TensorProto_DataType } from '../../../../src/graph/onnx/proto/onnx_pb.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { addImageInput } from '../../../../src/graph/passes/add-image-input.js';
import { averageClassMap } from '../../../../src/graph/passes/average-class-map.js';
import { castBorders } from '../../../../src/graph/passes/cast-borders.js';
import { CLASS_MAP } from '../../../../src/graph/passes/convolutionalize-gemm.js';
import { compileModel } from '../../../../src/models/compile.js';
import { importClassifier } from '../../../../src/models/networks/import-classifier.js';
import { readModelFolder } from '../../../../src/models/manifest.js';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import type { Network, OutputKind } from '../../../../src/models/networks/network.js';
import { loadOnnx } from '../../../../src/models/networks/onnx-network.js';
import { fileOf } from '../../../support/byte-source.js';
import { expectClose, randomImage, randomTensor, runGraph, spatialMean, type Value } from '../../../support/ort.js';
import {
  BOUND_TO_ITS_SIZE,
  HEADS,
  HIDDEN_BEHIND_POOLING,
  OPSETS,
  TINY,
  tinyClassifier,
  type Head,
} from '../../../support/tiny-classifiers.js';
import { graphOf } from '../../../support/tiny-graphs.js';
import { writeOnnxModel } from '../../../support/tiny-models.js';

const imported = (graph: Graph) => importClassifier(readOnnx(writeOnnx(graph)), TINY);
const run = async (graph: Graph, x: Value): Promise<Value> => Object.values(await runGraph(graph, { x }))[0]!;

/** The convolutional graph; fails with the reason where there is none. */
function denseOf({ dense }: ReturnType<typeof imported>): Graph {
  if (!('graph' in dense)) throw new Error(dense.unavailable);
  return dense.graph;
}

const cases = HEADS.flatMap((head) => OPSETS.map((opset) => ({ head, opset, name: head.name })));

/** Probabilities, where the file ends in a softmax. */
function softmax({ dims, data }: Value): Value {
  const terms = Array.from(data, Number).map(Math.exp);
  const sum = terms.reduce((total, term) => total + term, 0);
  return { dims, data: Float32Array.from(terms, (term) => term / sum) };
}

/** Of each number by itself. */
function sigmoid({ dims, data }: Value): Value {
  return { dims, data: Float32Array.from(Array.from(data, Number), (value) => 1 / (1 + Math.exp(-value))) };
}

describe.each(cases)('$name in opset $opset', ({ head, opset }) => {
  const network = imported(tinyClassifier(head, { opset }));
  const dense = denseOf(network);

  it('computes what the file computes, for a batch of any size', async () => {
    const [one, two] = [randomTensor([1, 3, 16, 16], 'one'), randomTensor([2, 3, 16, 16], 'two')];
    const logits = await run(network.original!.graph, one);
    expect(logits.dims).toEqual([1, TINY.classes]);
    const ofFile = await run(tinyClassifier(head, { opset }), one);
    // Since opset 13 a softmax over the channels of one cell, before over the rest: both over all classes.
    expectClose(head.name.endsWith('Softmax') ? softmax(logits) : logits, { ...ofFile, dims: logits.dims });
    expectClose(await run(network.classifier, one), logits);
    const map = await run(dense, one);
    expectClose(spatialMean(map), logits);
    expectClose(spatialMean(await run(dense, two)), await run(network.classifier, two));
  });

  it('gives a class map for a larger image', async () => {
    const x = randomTensor([1, 3, 40, 28], 'large');
    const map = await run(dense, x);
    expect(map.dims).toEqual([1, TINY.classes, ...(head.kind === 'pooled' ? [10, 7] : [7, 4])]);
    if (head.kind === 'pooled') expectClose(await run(network.classifier, x), spatialMean(map));
    const averaged = applyPasses(dense, [averageClassMap()]);
    expectClose(await run(averaged, x), spatialMean(map));
    expect(dense.outputs[0]!.name).toBe(CLASS_MAP);
  });
});

describe.each(['Abs', 'Mish', 'Softsign', 'ThresholdedRelu'])('a head with %s between its layers', (op) => {
  const options = op === 'ThresholdedRelu' ? { attributes: { alpha: float(0.01) } } : {};
  const behind = (tools: Parameters<Head['build']>[0], x: string, inputs: number): string =>
    tools.gemm(tools.b.node(op, [tools.gemm(x, 'fc1', inputs, 7)], options), 'fc2', 7, TINY.classes);
  it.each<[string, Head]>([
    [
      'a fully connected one',
      {
        name: `Flatten → Gemm → ${op} → Gemm`,
        kind: 'windowed',
        build: (tools, x) => behind(tools, tools.b.node('Flatten', [x]), 96),
      },
    ],
    [
      'one behind global pooling',
      {
        name: `GlobalAveragePool → Flatten → Gemm → ${op} → Gemm`,
        kind: 'windowed',
        build: (tools, x) => behind(tools, tools.b.node('Flatten', [tools.b.node('GlobalAveragePool', [x])]), 6),
      },
    ],
  ])('gives a class map that equals the original at the native size: %s', async (_, built) => {
    const graph = tinyClassifier(built, { opset: 18 });
    const network = imported(graph);
    const dense = denseOf(network);
    const x = randomTensor([1, 3, TINY.size, TINY.size], 'native');
    const map = await run(dense, x);
    expect(map.dims).toEqual([1, TINY.classes, 1, 1]);
    expectClose({ ...map, dims: [1, TINY.classes] }, await run(graph, x));
    expect((await run(dense, randomTensor([1, 3, 40, 28], 'large'))).dims).toEqual([1, TINY.classes, 7, 4]);
  });
});

const head = (name: RegExp): Head => HEADS.find((known) => name.test(known.name))!;
const POOLED = head(/^ReduceMean → Gemm/);
const WINDOWED = head(/^Flatten → Gemm/);

/** The graph as exporters halve it: float16 weights, and float16 or float32 at its borders. */
function inHalf(graph: Graph, borders: 'float16' | 'float32'): Graph {
  const initializers = [...graph.initializers].map(([name, initializer]): [string, Initializer] => {
    const { data, dataType, dims } = initializer;
    if (data.kind !== 'inline' || dataType !== 'float32') return [name, initializer];
    const { buffer, byteOffset, byteLength } = data.bytes.slice();
    return [name, inlineConstant(name, 'float16', dims, [...new Float32Array(buffer, byteOffset, byteLength / 4)])];
  });
  const typed = (values: Graph['inputs']) => values.map((value) => ({ ...value, dataType: 'float16' as const }));
  const half = {
    ...graph,
    inputs: typed(graph.inputs),
    outputs: typed(graph.outputs),
    initializers: new Map(initializers),
  };
  return borders === 'float16' ? half : applyPasses(half, [castBorders()]);
}

describe.each(['float16', 'float32'] as const)('a half-precision net with %s at its borders', (borders) => {
  it.each(HEADS.flatMap(({ name }) => [7, 18].map((opset) => [name, opset] as const)))(
    'computes what its file computes: %s in opset %i',
    async (name, opset) => {
      const known = HEADS.find((other) => other.name === name)!;
      const network = imported(inHalf(tinyClassifier(known, { opset }), borders));
      expect(network.original!.isHalf).toBe(true);
      const x = randomTensor([1, 3, 16, 16]);
      const logits = await run(network.original!.graph, x);
      const largest = Math.max(...Array.from(logits.data, Number).map(Math.abs));
      expectClose(await run(network.classifier, x), logits, 0, 1e-2 * largest);
      expectClose(spatialMean(await run(denseOf(network), x)), logits, 0, 1e-2 * largest);
    },
  );
});

it('a mixed-precision net, whose every layer casts its input and its weight, has a class map', async () => {
  const graph = tinyClassifier(POOLED);
  const casts = (names: readonly string[], by: string): Node[] =>
    names.map((name) => ({
      op: 'Cast',
      name: `${by}.${name}.cast`,
      inputs: [name],
      outputs: [`${by}.${name}.half`],
      attributes: { to: int(TensorProto_DataType.FLOAT16) },
    }));
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (node.op !== 'Conv' && node.op !== 'Gemm') return [node];
    const [y] = node.outputs;
    const inputs = casts(node.inputs, node.name);
    const layer = { ...node, inputs: inputs.map(({ outputs }) => outputs[0]!), outputs: [`${y!}.half`] };
    const attributes = { to: int(TensorProto_DataType.FLOAT) };
    return [...inputs, layer, { op: 'Cast', name: `${y!}.cast`, inputs: layer.outputs, outputs: [y!], attributes }];
  });
  const network = imported({ ...graph, nodes });
  expect(network.original!.isHalf).toBe(true);
  const x = randomTensor([1, 3, 16, 16]);
  expectClose(spatialMean(await run(denseOf(network), x)), await run(graph, x));
});

describe('what the numbers are', () => {
  /** A head of so many numbers, and what comes last. */
  const net = (numbers: number, last?: string | ((b: GraphBuilder, z: string) => string)): Graph =>
    graphOf(['N', 3, 16, 16], (b, x) => {
      const maps = b.node('Relu', [b.node('Conv', [x, b.parameter('c.weight', [8, 3, 3, 3])])]);
      const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [maps])]);
      const scored = [pooled, b.parameter('h.weight', [numbers, 8]), b.parameter('h.bias', [numbers])];
      const z = b.node('Gemm', scored, { attributes: { transB: int(1) } });
      if (last === undefined) return z;
      if (typeof last === 'function') return last(b, z);
      return b.node(last, [z], last === 'Softmax' ? { attributes: { axis: int(1) } } : {});
    });
  /** Probabilities without a softmax: positive numbers divided by their sum. */
  const normalized = (b: GraphBuilder, z: string): string => {
    const positive = b.node('Abs', [z]);
    return b.node('Div', [positive, b.node('ReduceSum', [positive, b.constant('axis', 'int64', [1], [1])])]);
  };
  const of = (graph: Graph, classes: number, stated?: OutputKind) => {
    const { output, activation } = importClassifier(readOnnx(writeOnnx(graph)), { size: 16, classes, stated });
    return { output, activation };
  };

  it('is told by what the net ends in', () => {
    expect(of(net(4), 4)).toEqual({ output: 'logits', activation: 'softmax' });
    expect(of(net(4, 'Softmax'), 4)).toEqual({ output: 'probabilities', activation: 'softmax' });
    expect(of(net(4, 'LogSoftmax'), 4)).toEqual({ output: 'logits', activation: 'softmax' });
    expect(of(net(4, 'Sigmoid'), 4)).toEqual({ output: 'sigmoid', activation: 'sigmoid' });
    expect(of(net(1), 1)).toEqual({ output: 'logits', activation: 'sigmoid' });
    expect(of(net(1, 'Sigmoid'), 1)).toEqual({ output: 'sigmoid', activation: 'sigmoid' });
  });

  it.each<[string, (b: GraphBuilder, z: string) => string]>([
    [
      'softmax',
      (b, z) => {
        const axis = b.constant('axis', 'int64', [1], [-1]);
        const terms = b.node('Exp', [b.node('Sub', [z, b.node('ReduceMax', [z, axis])])]);
        return b.node('Div', [terms, b.node('ReduceSum', [terms, axis])]);
      },
    ],
    ['softmax', (b, z) => b.node('Exp', [b.node('LogSoftmax', [z], { attributes: { axis: int(1) } })])],
    [
      'sigmoid',
      (b, z) =>
        b.node('Reciprocal', [
          b.node('Add', [b.node('Exp', [b.node('Neg', [z])]), b.constant('one', 'float32', [], [1])]),
        ]),
    ],
  ])('is told of a %s that is spelled out: the file gives what is made of our logits', async (activation, build) => {
    const graph = net(4, build);
    expect(of(graph, 4)).toMatchObject({ activation });
    const network = importClassifier(readOnnx(writeOnnx(graph)), { size: 16, classes: 4 });
    const x = randomTensor([1, 3, 16, 16]);
    const logits = await run(network.classifier, x);
    expectClose(activation === 'softmax' ? softmax(logits) : sigmoid(logits), await run(graph, x));
    expectClose(spatialMean(await run(denseOf(network), x)), logits);
  });

  it('is what model.json states', () => {
    expect(of(net(4), 4, 'sigmoid')).toEqual({ output: 'sigmoid', activation: 'sigmoid' });
    // A softmax that is part of the net: its numbers are the logits.
    expect(of(net(4, 'Softmax'), 4, 'logits')).toEqual({ output: 'logits', activation: 'softmax' });
    expect(of(net(4, normalized), 4, 'probabilities')).toEqual({ output: 'probabilities', activation: 'softmax' });
    expect(() => of(net(4, 'LogSoftmax'), 4, 'probabilities')).toThrow(/stated to be probabilities, .* LogSoftmax/);
    expect(() => of(net(4, 'Softmax'), 4, 'sigmoid')).toThrow(/ends in a Softmax/);
  });

  it.each<[string, number, Graph]>([
    ['of several classes', 4, net(4, normalized)],
    ['of which one is 0', 4, net(4, (b, z) => normalized(b, b.node('Relu', [z])))],
    ['of one class', 1, net(1, 'HardSigmoid')],
    ['of the second of two classes', 2, net(1, 'HardSigmoid')],
  ])('may be probabilities by another way than a softmax: %s', async (_, classes, graph) => {
    const options = { size: 16, classes, stated: 'probabilities' } as const;
    const network = importClassifier(readOnnx(writeOnnx(graph)), options);
    const x = randomTensor([2, 3, 16, 16]);
    const ofFile = await run(graph, x);
    const logits = await run(network.classifier, x);
    logits.data.forEach((logit) => expect(Number.isFinite(logit)).toBe(true));
    for (const image of [0, 1]) {
      const ofImage = ({ data }: Value): Value => {
        const numbers = Array.from(data, Number).slice((image * data.length) / 2, ((image + 1) * data.length) / 2);
        return { dims: [numbers.length], data: Float32Array.from(numbers) };
      };
      const answered = network.activation === 'softmax' ? softmax(ofImage(logits)) : sigmoid(ofImage(logits));
      const right = ofImage(ofFile);
      const [second = 0] = Array.from(right.data, Number);
      expectClose(answered, classes === 2 ? { dims: [2], data: Float32Array.of(1 - second, second) } : right);
    }
    const small = randomTensor([1, 3, 16, 16]);
    expectClose(spatialMean(await run(denseOf(network), small)), await run(network.classifier, small));
  });

  it.each([undefined, 'Sigmoid'])('gives two classes to one number: ends in %s', async (last) => {
    const graph = net(1, last);
    const network = importClassifier(readOnnx(writeOnnx(graph)), { size: 16, classes: 2 });
    expect(network.activation).toBe('softmax');
    const x = randomTensor([2, 3, 16, 16]);
    const [value] = [await run(graph, x)];
    const logits = await run(network.classifier, x);
    expect(logits.dims).toEqual([2, 2]);
    value.data.forEach((number, image) => {
      const [first, second] = [Number(logits.data[2 * image]), Number(logits.data[2 * image + 1])];
      expect(first).toBe(0);
      expect(last === undefined ? second : 1 / (1 + Math.exp(-second))).toBeCloseTo(Number(number), 5);
    });
    expectClose(spatialMean(await run(denseOf(network), x)), logits);
  });
});

it.each(OPSETS)('a net of one channel and one number runs in its own operator set: %d', async (opset) => {
  const net = graphOf(['N', 1, 16, 16], (b, x) => {
    const maps = b.node('Relu', [b.node('Conv', [x, b.parameter('c.weight', [8, 1, 3, 3])])]);
    const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [maps])]);
    const head = [b.parameter('h.weight', [1, 8]), b.parameter('h.bias', [1])];
    const z = b.node('Gemm', [pooled, ...head], { attributes: { transB: int(1) } });
    return [{ name: b.node('Sigmoid', [z]), dataType: 'float32', dims: ['N', 1] }];
  });
  const { original, classifier } = importClassifier(readOnnx(writeOnnx({ ...net, opset })), { size: 16, classes: 2 });
  expect(original!.graph.opset).toBe(opset);
  const grey = addImageInput({ channels: 'GRAY', range: 255, mean: [0.5], std: [0.25] });
  const image = randomImage([2, 16, 16, 3]);
  const logitsOf = async (graph: Graph): Promise<Value> =>
    Object.values(await runGraph(applyPass(graph, grey)!, { image }))[0]!;
  const logits = await logitsOf(classifier);
  expect(logits.dims).toEqual([2, 2]);
  expectClose(await logitsOf(original!.graph), logits);
});

it('of two outputs takes the one with a number for each of two classes, not the one before it with one number', async () => {
  const net = graphOf(['N', 3, 16, 16], (b, x) => {
    const maps = b.node('Relu', [b.node('Conv', [x, b.parameter('c.weight', [8, 3, 3, 3])])]);
    const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [maps])]);
    return [1, 2].map((numbers) => {
      const head = [b.parameter(`h${numbers}.weight`, [numbers, 8]), b.parameter(`h${numbers}.bias`, [numbers])];
      const name = b.node('Gemm', [pooled, ...head], { attributes: { transB: int(1) } });
      return { name, dataType: 'float32', dims: ['N', numbers] };
    });
  });
  const { classifier } = importClassifier(readOnnx(writeOnnx(net)), { size: 16, classes: 2 });
  const x = randomTensor([2, 3, 16, 16]);
  const [, both] = Object.values(await runGraph(net, { x }));
  expectClose(await run(classifier, x), both);
});

it('a half-precision net of one number gets two classes too', async () => {
  const graph = inHalf(
    graphOf(['N', 3, 16, 16], (b, x) => {
      const maps = b.node('Relu', [b.node('Conv', [x, b.parameter('c.weight', [8, 3, 3, 3])])]);
      const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [maps])]);
      return b.node('Gemm', [pooled, b.parameter('h.weight', [1, 8])], { attributes: { transB: int(1) } });
    }),
    'float16',
  );
  const network = importClassifier(readOnnx(writeOnnx(graph)), { size: 16, classes: 2 });
  expect(network.original!.isHalf).toBe(true);
  const x = randomTensor([2, 3, 16, 16]);
  const logits = await run(network.classifier, x);
  expect(logits.dims).toEqual([2, 2]);
  expectClose(spatialMean(await run(denseOf(network), x)), logits);
  expectClose(await run(network.original!.graph, x), logits, 1e-2);
});

describe('a head that is not affine', () => {
  const nonlinear = HEADS.filter(({ name }) => /GlobalMaxPool|ReduceMax|written out|Pool.*ReLU.*Gemm/.test(name));

  it.each(nonlinear.map((head) => [head.name, head] as const))('is also applied to each cell: %s', async (_, head) => {
    const network = imported(tinyClassifier(head, { opset: 18, sizes: 'free' }));
    const { cells } = network.dense as { readonly cells?: Graph };
    expect((await run(cells!, randomTensor([1, 3, 40, 28], 'large'))).dims).toEqual([1, TINY.classes, 10, 7]);
    // Where the map is one cell, the cell is all that is pooled.
    const small = randomTensor([2, 3, 4, 4], 'small');
    expectClose(spatialMean(await run(cells!, small)), await run(network.classifier, small));
  });

  it('is an affine one where its cells already give its logits', () => {
    const affine = HEADS.filter(({ kind }) => kind === 'pooled');
    for (const head of affine) expect(imported(tinyClassifier(head)).dense).not.toHaveProperty('cells');
  });
});

describe('a trunk', () => {
  const node = (b: GraphBuilder, op: string, inputs: string[], attributes: Record<string, Attribute> = {}): string =>
    b.node(op, inputs, { attributes });
  const index = (b: GraphBuilder, ...values: number[]): string => b.constant('index', 'int64', [values.length], values);

  it.each<[string, (b: GraphBuilder, map: string) => string]>([
    [
      'with its channels last in between, as ConvNeXt has them',
      (b, map) => {
        const last = node(b, 'Transpose', [map], { perm: ints(0, 2, 3, 1) });
        const normalized = node(b, 'LayerNormalization', [
          last,
          b.parameter('ln.weight', [8]),
          b.parameter('ln.bias', [8]),
        ]);
        const wide = node(b, 'Add', [
          b.parameter('w1.bias', [12]),
          node(b, 'MatMul', [normalized, b.parameter('w1.weight', [8, 12])]),
        ]);
        const narrow = node(b, 'MatMul', [node(b, 'Tanh', [wide]), b.parameter('w2.weight', [12, 8])]);
        return node(b, 'Add', [map, node(b, 'Transpose', [narrow], { perm: ints(0, 3, 1, 2) })]);
      },
    ],
    [
      'halved at a channel that is computed from its shape, as ShuffleNet is',
      (b, map) => {
        const channels = node(b, 'Gather', [node(b, 'Shape', [map]), index(b, 1)]);
        const half = node(b, 'Div', [node(b, 'Add', [channels, index(b, 1)]), index(b, 2)]);
        const first = node(b, 'Slice', [map, index(b, 0), half, index(b, 1)]);
        const second = node(b, 'Slice', [map, half, channels, index(b, 1)]);
        return node(b, 'Concat', [node(b, 'Tanh', [second]), first], { axis: int(1) });
      },
    ],
  ])('%s, has a class map', async (_, build) => {
    const graph = graphOf(['N', 3, 16, 16], (b, x) => {
      const map = node(b, 'Relu', [
        node(b, 'Conv', [x, b.parameter('c.weight', [8, 3, 3, 3])], { strides: ints(2, 2) }),
      ]);
      const pooled = node(b, 'Flatten', [node(b, 'GlobalAveragePool', [build(b, map)])]);
      return node(b, 'Gemm', [pooled, b.parameter('h.weight', [TINY.classes, 8])], { transB: int(1) });
    });
    const network = imported(graph);
    const x = randomTensor([2, 3, 16, 16]);
    expectClose(spatialMean(await run(denseOf(network), x)), await run(graph, x));
    const large = await run(denseOf(network), randomTensor([1, 3, 33, 45], 'large'));
    expect(large.dims).toEqual([1, TINY.classes, 16, 22]);
  });
});

describe('importClassifier', () => {
  it('takes an input that is no square, and says its size', async () => {
    const graph = tinyClassifier(POOLED, { sizes: 'free' });
    const oblong = { ...graph, inputs: [{ name: 'x', dataType: 'float32', dims: [1, 3, 16, 24] }] } as Graph;
    const network = imported(oblong);
    expect(network.nativeSize).toEqual({ height: 16, width: 24 });
    const x = randomTensor([1, 3, 16, 24]);
    expectClose(spatialMean(await run(denseOf(network), x)), await run(oblong, x));
  });

  it('leaves free sizes free, and needs the native size then', async () => {
    const network = imported(tinyClassifier(WINDOWED, { sizes: 'free' }));
    const x = randomTensor([3, 3, 16, 16]);
    expectClose(spatialMean(await run(denseOf(network), x)), await run(network.classifier, x));
  });

  it('infers the native size of a file that fixes it', () => {
    const graph = readOnnx(writeOnnx(tinyClassifier(WINDOWED)));
    expect(importClassifier(graph, { size: 64, classes: TINY.classes }).nativeSize).toEqual({ height: 16, width: 16 });
  });

  it('keeps the output that has a number for each class', async () => {
    const graph = tinyClassifier(POOLED);
    const features = graph.nodes.find(({ op }) => op === 'Clip')!.outputs[0]!;
    const aux = { name: features, dataType: 'float32', dims: [1, 6, 4, 4] } as const;
    const network = imported({ ...graph, outputs: [aux, ...graph.outputs] });
    const x = randomTensor([1, 3, 16, 16]);
    expectClose(spatialMean(await run(denseOf(network), x)), await run(graph, x));
  });

  it('takes a net with channels last', async () => {
    const planar = tinyClassifier(POOLED);
    const inner = { op: 'Transpose', name: 'nchw', inputs: ['x'], outputs: ['planar'] } as const;
    const graph: Graph = {
      ...planar,
      inputs: [{ name: 'x', dataType: 'float32', dims: ['N', 16, 16, 3] }],
      nodes: [
        { ...inner, attributes: { perm: ints(0, 3, 1, 2) } },
        ...planar.nodes.map((node) => ({
          ...node,
          inputs: node.inputs.map((name) => (name === 'x' ? 'planar' : name)),
        })),
      ],
    };
    const network = imported(graph);
    const x = randomTensor([1, 3, 20, 24]);
    expectClose(spatialMean(await run(denseOf(network), x)), await run(imported(planar).classifier, x));
  });

  it.each<[string, Graph, RegExp]>([
    [
      'a softmax over hidden features',
      tinyClassifier(HIDDEN_BEHIND_POOLING),
      /ends in Gemm → Reshape → Softmax → Flatten → Gemm: node .* gives the channels another form/,
    ],
    ['a net bound to its size', tinyClassifier(BOUND_TO_ITS_SIZE), /node "reshape.*sizes disagree|not Flatten/],
    [
      'operators that meanwhile mean something else',
      tinyClassifier({ ...POOLED, build: softmaxInside }, { opset: 11 }),
      /opset 11, and not all of it means the same in opset 18/,
    ],
    [
      'an operator that is not known',
      withNode(tinyClassifier(POOLED), { op: 'Frobnicate', name: 'odd' }),
      /node "odd" \(Frobnicate\): the shapes of this operator are not known; a class map needs .* operators whose shapes are known/,
    ],
    [
      'numbers that are picked by where they lie for one image',
      graphOf(['N', 3, 16, 16], (b, x) => {
        const map = b.node('Conv', [x, b.parameter('c.weight', [TINY.classes, 3, 3, 3])]);
        const flat = b.node('Reshape', [b.node('GlobalAveragePool', [map]), b.constant('flat', 'int64', [1], [-1])]);
        return b.node('Gather', [flat, b.constant('places', 'int64', [1, 5], [0, 1, 2, 3, 4])], { name: 'picked' });
      }),
      /node "picked" \(Gather\): gives no more for two images than for one; a class map needs .* any number of images/,
    ],
    [
      'an operator that moves places',
      graphOf(['N', 3, 16, 16], (b, x) => {
        const turned = b.node('Reshape', [x, b.constant('rows', 'int64', [4], [0, 3, 8, -1])], { name: 'turned' });
        const map = b.node('Conv', [turned, b.parameter('c.weight', [TINY.classes, 3, 3, 3])]);
        return b.node('Flatten', [b.node('GlobalAveragePool', [map])]);
      }),
      /node "turned" \(Reshape\): the map geometry cannot be followed .*; a class map needs layers that keep the places/,
    ],
  ])('still classifies, and says why it has no class map: %s', (_, graph, reason) => {
    const network = imported(graph);
    expect(network.dense).toMatchObject({ unavailable: expect.stringMatching(reason) as string });
    expect(network.classifier.outputs).toMatchObject([{ name: 'logits' }]);
  });

  const renamed = (dims: readonly number[]): Graph => {
    const graph = tinyClassifier(POOLED);
    return { ...graph, inputs: [{ name: 'x', dataType: 'float32', dims }] };
  };

  it.each<[string, Graph, RegExp]>([
    [
      'another number of classes',
      tinyClassifier({ ...POOLED, dims: [7] }, { sizes: 'free' }),
      /^output "gemm|^output "fc/,
    ],
    ['an input that is no image', renamed([1, 48]), /^input "x": is \[1, 48\], not an image/],
    ['an input of four channels', renamed([1, 4, 16, 16]), /^input "x": is \[1, 4, 16, 16\]/],
    [
      'images of more than 4096 pixels a side',
      renamed([1, 3, 4097, 16]),
      /^input "x": takes images of 16×4097 pixels; .* 4096$/,
    ],
    [
      'values of billions of elements',
      graphOf(['N', 3, 16, 16], (b, x) => {
        const attributes = { pads: ints(3e4, 3e4, 3e4, 3e4) };
        const map = b.node('Conv', [x, b.parameter('c.weight', [TINY.classes, 3, 1, 1])], { attributes });
        return [{ name: b.node('Flatten', [b.node('GlobalAveragePool', [map])]), dataType: 'float32', dims: ['N', 5] }];
      }),
      /^value ".*": .* elements; at most/,
    ],
  ])('refuses %s', (_, graph, message) => {
    const classes = message.source.includes('output') ? 9 : TINY.classes;
    expect(() => importClassifier(graph, { size: 16, classes })).toThrow(GraphError);
    expect(() => importClassifier(graph, { size: 16, classes })).toThrow(message);
  });
});

it('throws nothing but GraphError whatever byte of a classifier is damaged', async () => {
  const bytes = writeOnnx(tinyClassifier(head(/^GlobalAveragePool → Squeeze/), { opset: 11 }));
  for (let i = 0; i < bytes.length; i += 5) {
    for (const damage of [0xff, bytes[i]! ^ 1]) {
      try {
        importClassifier(await readOnnxInPlace(fileOf(bytes.with(i, damage)), 'model.onnx'), TINY);
      } catch (error) {
        expect(error).toBeInstanceOf(GraphError);
      }
    }
  }
});

/** The graph with a node of one input and output behind its input. */
function withNode(graph: Graph, node: Pick<Node, 'op' | 'name'>): Graph {
  const nodes = graph.nodes.map((other) => ({
    ...other,
    inputs: other.inputs.map((name) => (name === 'x' ? 'odd' : name)),
  }));
  return { ...graph, nodes: [{ ...node, inputs: ['x'], outputs: ['odd'], attributes: {} }, ...nodes] };
}

describe('loadOnnx', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'fullconv-onnx-network-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  const write = (bytes: Uint8Array): Promise<string> => writeOnnxModel(root, 'tiny', bytes, TINY);
  it('must be asked at its own size when it takes no other', async () => {
    await writeOnnxModel(root, 'tiny', writeOnnx(tinyClassifier(BOUND_TO_ITS_SIZE)), { ...TINY, size: 32 });
    const compiling = readModelFolder(join(root, 'tiny')).then((content) =>
      compileModel(content, { load: 1, cache: root }),
    );
    await expect(compiling).rejects.toThrow(/model\.json: input\.size: must be 16: the net takes no other size/);
  });

  const load = async (): Promise<Network> => loadOnnx(await readModelFolder(join(root, 'tiny')));
  const file = writeOnnx(tinyClassifier(WINDOWED));
  /** The first fully connected layer's weight moved to a file, at `offset` bytes. */
  const external = (location: string, offset: number): Uint8Array => {
    const graph = tinyClassifier(WINDOWED);
    const weight = graph.initializers.get('fc1.weight')!;
    const data = { kind: 'external', file: location, offset, length: 7 * 96 * 4 } as const;
    return writeOnnx({ ...graph, initializers: new Map(graph.initializers).set('fc1.weight', { ...weight, data }) });
  };

  it('leaves large weights in the file, whether it convolutionalizes or only classifies', async () => {
    await write(file);
    const network = await load();
    for (const graph of [network.classifier, denseOf(network), network.original!.graph]) {
      expect(graph.initializers.get('fc1.weight')!.data).toMatchObject({ kind: 'external', file: 'model.onnx' });
    }
    const x = randomTensor([2, 3, 16, 16]);
    const { logits } = await runGraph(network.classifier, { x }, { folder: network.weightsFolder });
    expectClose(logits, await run(imported(tinyClassifier(WINDOWED)).classifier, x));
  });

  it('takes weights from further files, whose bytes are part of its digest', async () => {
    const folder = await write(external('data/w.bin', 8));
    const { data } = tinyClassifier(WINDOWED).initializers.get('fc1.weight')!;
    const bytes = data.kind === 'inline' ? data.bytes : new Uint8Array();
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data/w.bin'), Buffer.concat([Buffer.alloc(8), bytes]));
    const network = await load();
    const x = randomTensor([1, 3, 16, 16]);
    const { class_map: map } = await runGraph(denseOf(network), { x }, { folder: network.weightsFolder });
    expectClose(spatialMean(map!), await run(imported(tinyClassifier(WINDOWED)).classifier, x));
    await writeFile(join(folder, 'data/w.bin'), Buffer.concat([Buffer.alloc(8, 1), bytes]));
    expect((await load()).weightsDigest).not.toBe(network.weightsDigest);
  });

  it.each<[string, () => Uint8Array, string, RegExp]>([
    [
      'is truncated',
      () => file.subarray(0, file.length - 40),
      'file',
      /is an ONNX model that is cut off after \d+ bytes/,
    ],
    ['is empty', () => new Uint8Array(), 'file', /not an ONNX model/],
    [
      'lets a tensor end behind its file',
      () => external('w.bin', 90),
      'tensor "fc1.weight"',
      /ends at byte 2778 of w.bin, which has 100/,
    ],
    ['names a file that is not there', () => external('absent.bin', 0), 'file', /cannot be read/],
    ['names a folder', () => external('folder', 0), 'file', /is a folder, not a regular file/],
    ['leaves the folder through a link', () => external('link.bin', 0), 'file', /leaves the model's folder/],
    ['has nodes in a circle', () => circular(), 'node "stem" (Conv)', /wrong order, or a cycle/],
    [
      'has another number of classes',
      () => writeOnnx(tinyClassifier({ ...WINDOWED, build: smaller })),
      'output "fc"',
      /\[1, 3\], but there are 5 labels/,
    ],
  ])('refuses a file that %s, naming file and field', async (_, bytes, field, detail) => {
    const folder = await write(bytes());
    await writeFile(join(folder, 'w.bin'), Buffer.alloc(100));
    await mkdir(join(folder, 'folder'));
    await writeFile(join(root, 'outside.bin'), Buffer.alloc(4000));
    await symlink(join(root, 'outside.bin'), join(folder, 'link.bin'));
    const error = await load().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ModelFileError);
    expect(error).toMatchObject({ field, message: expect.stringMatching(detail) as string });
  });
});

/** Over the flattened channels and positions, as it was before opset 13. */
const softmaxInside: Head['build'] = (tools, map) =>
  POOLED.build(tools, tools.b.node('Softmax', [map], { attributes: { axis: int(1) } }));

const smaller: Head['build'] = (tools, map) => tools.gemm(tools.b.node('Flatten', [map]), 'fc', 96, 3);

/** Bytes of a model whose first convolution reads what comes after it; the writer would refuse it. */
function circular(): Uint8Array {
  const model = fromBinary(ModelProtoSchema, writeOnnx(tinyClassifier(WINDOWED)));
  const [stem] = model.graph!.node;
  stem!.name = 'stem';
  stem!.input[0] = model.graph!.node[1]!.output[0]!;
  return toBinary(ModelProtoSchema, model);
}
