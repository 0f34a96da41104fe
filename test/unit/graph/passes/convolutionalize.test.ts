import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../../src/architectures/index.js';
import { float, int, ints } from '../../../../src/graph/attributes.js';
import type { GraphBuilder } from '../../../../src/graph/build.js';
import type { Graph } from '../../../../src/graph/graph.js';
import { operatorsOfKind } from '../../../../src/graph/operators.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { spreadHead } from '../../../../src/graph/passes/spread-head.js';
import { averageClassMap } from '../../../../src/graph/passes/average-class-map.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../../../src/graph/passes/convolutionalize-global-pool.js';
import { crop, expectClose, randomTensor, runGraph, spatialMean, type Value } from '../../../support/ort.js';
import { CLASSES, graphOf, output, tinyResNet, tinyVgg } from '../../../support/tiny-graphs.js';

const logitsOf = async (graph: Graph, input: Value) => (await runGraph(graph, { input }))['logits'];
const mapOf = async (graph: Graph, input: Value) => (await runGraph(graph, { input }))[CLASS_MAP]!;

/** What computes with real numbers, element by element. */
const BETWEEN_LAYERS = operatorsOfKind('elementwise').filter((op) => op !== 'Not');

/** In front of what takes positive numbers alone. */
const positive = (b: GraphBuilder, op: string, x: string): string =>
  ['Log', 'Reciprocal', 'Sqrt'].includes(op) ? b.node('Sigmoid', [x]) : x;

/** Gelu is an operator since then. */
const inNewestOpset = (graph: Graph): Graph => ({ ...graph, opset: 20 });

describe('convolutionalizeGemm', () => {
  const classifier = tinyVgg();
  const convolutional = applyPasses(classifier, [convolutionalizeGemm(64)]);

  it('gives a map of one cell, the logits, at the native size', async () => {
    const input = randomTensor([2, 3, 64, 64]);
    const logits = await logitsOf(classifier, input);
    const map = await mapOf(convolutional, input);
    expect(map.dims).toEqual([2, CLASSES, 1, 1]);
    expectClose({ ...map, dims: [2, CLASSES] }, logits);
  });

  it('gives one cell for each place of the head on a larger input', async () => {
    const map = await mapOf(convolutional, randomTensor([1, 3, 112, 97]));
    expect(map.dims).toEqual([1, CLASSES, 4, 3]);
  });

  it('scores every window as the classifier does when nothing is padded', async () => {
    const net = graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const pooled = b.node('Relu', [x]);
      const flat = b.node('Flatten', [pooled]);
      const transB = { transB: int(1) };
      const hidden = b.node('Gemm', [flat, b.parameter('a.weight', [6, 18]), b.parameter('a.bias', [6])], {
        attributes: transB,
      });
      const active = b.node('Dropout', [b.node('Tanh', [hidden])]);
      const last = b.node('Gemm', [active, b.parameter('b.weight', [5, 6])], { output: 'logits', attributes: transB });
      return [{ name: last, dataType: 'float32', dims: ['N', 5] }];
    });
    const input = randomTensor([1, 2, 5, 4]);
    const map = (await runGraph(applyPasses(net, [convolutionalizeGemm(3)]), { x: input }))[CLASS_MAP]!;
    expect(map.dims).toEqual([1, 5, 3, 2]);
    for (const [top, left] of [
      [0, 0],
      [2, 1],
      [1, 0],
    ] as const) {
      const { logits } = await runGraph(net, { x: crop(input, { top, left, side: 3 }) });
      expectClose(crop(map, { top, left, side: 1 }), { dims: [1, 5, 1, 1], data: logits!.data });
    }
  });

  it('takes a PReLU with one slope for all channels, and none with a slope for each', () => {
    const net = (slopes: number) =>
      graphOf(['N', 2, 'H', 'W'], (b, x) => {
        const transB = { transB: int(1) };
        const flat = b.node('Flatten', [b.node('Relu', [x])]);
        const hidden = b.node('Gemm', [flat, b.parameter('a.weight', [6, 18])], { attributes: transB });
        const active = b.node('PRelu', [hidden, b.parameter('slope', [slopes])]);
        return [output(b.node('Gemm', [active, b.parameter('b.weight', [5, 6])], { attributes: transB }), 2)];
      });
    expect(applyPass(net(1), convolutionalizeGemm(3))).toBeDefined();
    expect(applyPass(net(6), convolutionalizeGemm(3))).toBeUndefined();
  });

  it.each(BETWEEN_LAYERS)('takes %s between the layers, and scores every window as the classifier does', async (op) => {
    const net = inNewestOpset(
      graphOf(['N', 2, 'H', 'W'], (b, x) => {
        const transB = { transB: int(1) };
        const flat = b.node('Flatten', [b.node('Relu', [x])]);
        const hidden = b.node('Gemm', [flat, b.parameter('a.weight', [6, 18]), b.parameter('a.bias', [6])], {
          attributes: transB,
        });
        const active = b.node(op, [positive(b, op, hidden)]);
        const last = b.node('Gemm', [active, b.parameter('b.weight', [5, 6])], { attributes: transB });
        return [{ name: last, dataType: 'float32', dims: ['N', 5] }];
      }),
    );
    const input = randomTensor([1, 2, 5, 4]);
    const map = (await runGraph(applyPasses(net, [convolutionalizeGemm(3)]), { x: input }))[CLASS_MAP]!;
    expect(map.dims).toEqual([1, 5, 3, 2]);
    for (const [top, left] of [
      [0, 0],
      [2, 1],
    ] as const) {
      const [logits] = Object.values(await runGraph(net, { x: crop(input, { top, left, side: 3 }) }));
      expectClose(crop(map, { top, left, side: 1 }), { dims: [1, 5, 1, 1], data: logits!.data });
    }
  });

  it('moves no byte: only the dimensions of the weights change', () => {
    const [before, after] = [classifier, convolutional].map(({ initializers }) =>
      initializers.get('classifier.0.weight')!,
    );
    expect(after!.data).toBe(before!.data);
    expect([before!.dims, after!.dims]).toEqual([
      [12, 512],
      [12, 32, 4, 4],
    ]);
  });

  it('works on unbound graphs, and infers 7×7 for VGG-16', () => {
    const graph = applyPasses(buildArchitecture('vgg16'), [convolutionalizeGemm(224)]);
    expect(graph.initializers.get('classifier.0.weight')!.dims).toEqual([4096, 512, 7, 7]);
    expect(graph.outputs).toEqual([{ name: CLASS_MAP, dataType: 'float32', dims: ['N', 1000, 'h', 'w'] }]);
  });

  const head = (make: (b: GraphBuilder, flat: string) => string): Graph =>
    graphOf(['N', 2, 'H', 'W'], (b, x) => [output(make(b, b.node('Flatten', [b.node('Relu', [x])])), 2)]);
  const gemm = (b: GraphBuilder, x: string, attributes = {}) =>
    b.node('Gemm', [x, b.parameter('w.weight', [5, 18])], { attributes: { transB: int(1), ...attributes } });

  it.each<[string, Graph]>([
    ['global average pooling', tinyResNet()],
    ['an output that is not fully connected', head((b, flat) => b.node('Relu', [gemm(b, flat)]))],
    ['a scaled product', head((b, flat) => gemm(b, flat, { alpha: float(0.5) }))],
    [
      'a weight of another layout',
      graphOf(['N', 2, 'H', 'W'], (b, x) => {
        const flat = b.node('Flatten', [b.node('Relu', [x])]);
        return [output(b.node('Gemm', [flat, b.parameter('w.weight', [18, 5])]), 2)];
      }),
    ],
    ['a softmax between', head((b, flat) => gemm(b, b.node('Softmax', [flat])))],
    [
      'a flattened map that is read twice',
      head((b, flat) => {
        const y = gemm(b, flat);
        return b.node('Gemm', [y, b.parameter('v.weight', [5, 5]), b.node('ReduceSum', [flat])], {
          attributes: { transB: int(1) },
        });
      }),
    ],
  ])('does not match %s', (_, graph) => {
    expect(applyPass(graph, convolutionalizeGemm(3))).toBeUndefined();
  });

  it('does not match when the native size is another one', () => {
    expect(applyPass(tinyVgg(), convolutionalizeGemm(96))).toBeUndefined();
  });
});

describe('convolutionalizeGlobalPool', () => {
  const classifier = tinyResNet();
  const convolutional = applyPasses(classifier, [convolutionalizeGlobalPool()]);

  it.each([
    [64, 64],
    [65, 97],
    [131, 50],
  ])('makes a class map whose mean is the logits at %i×%i', async (height, width) => {
    const input = randomTensor([2, 3, height, width]);
    const map = await mapOf(convolutional, input);
    expect(map.dims).toEqual([2, CLASSES, Math.ceil(height / 16), Math.ceil(width / 16)]);
    expectClose(spatialMean(map), await logitsOf(classifier, input));
  });

  it('sees through Dropout, and drops it', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const flat = b.node('Flatten', [b.node('GlobalAveragePool', [b.node('Relu', [x])])]);
      const last = b.node('Gemm', [b.node('Dropout', [flat]), b.parameter('w.weight', [5, 3])], {
        attributes: { transB: int(1) },
      });
      return [output(last, 2)];
    });
    expect(applyPass(graph, convolutionalizeGlobalPool())?.nodes.map(({ op }) => op)).toEqual(['Relu', 'Conv']);
  });

  /** A head on what is pooled of ReLU(x), [N, 3]. */
  const head = (make: (b: GraphBuilder, pooled: string) => string): Graph =>
    graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const logits = make(b, b.node('GlobalAveragePool', [b.node('Relu', [x])]));
      return [{ name: logits, dataType: 'float32', dims: ['N', 5] }];
    });
  const conv = (b: GraphBuilder, x: string, kernel = 1, attributes = {}) =>
    b.node('Conv', [x, b.parameter('w.weight', [5, 3, kernel, kernel]), b.parameter('w.bias', [5])], { attributes });

  it('moves a 1×1 convolution of the pooled map in front of the pooling', async () => {
    const graph = head((b, pooled) => b.node('Flatten', [conv(b, pooled)]));
    const map = applyPasses(graph, [convolutionalizeGlobalPool()]);
    expect(map.nodes.map(({ op }) => op)).toEqual(['Relu', 'Conv']);
    const x = randomTensor([2, 3, 6, 5]);
    const [logits] = Object.values(await runGraph(graph, { x }));
    expectClose(spatialMean((await runGraph(map, { x }))[CLASS_MAP]!), logits);
  });

  it.each<[string, (b: GraphBuilder, scores: string) => string]>([
    ['a convolution', (_, scores) => scores],
    ['a convolution and an activation', (b, scores) => b.node('Relu', [scores])],
    ['a convolution and Dropout', (b, scores) => b.node('Dropout', [scores])],
  ])('only drops the pooling of %s', async (_, after) => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const logits = b.node('Flatten', [b.node('GlobalAveragePool', [after(b, conv(b, x, 3))])]);
      return [{ name: logits, dataType: 'float32', dims: ['N', 5] }];
    });
    const map = applyPasses(graph, [convolutionalizeGlobalPool()]);
    expect(map.outputs).toEqual([{ name: CLASS_MAP, dataType: 'float32', dims: ['N', 5, 'h', 'w'] }]);
    const x = randomTensor([2, 3, 8, 9]);
    const scores = (await runGraph(map, { x }))[CLASS_MAP]!;
    expect(scores.dims).toEqual([2, 5, 6, 7]);
    expectClose(spatialMean(scores), Object.values(await runGraph(graph, { x }))[0]);
  });

  it('drops the pooling of scores that are not flattened', async () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const pooled = b.node('GlobalAveragePool', [conv(b, x, 3)]);
      return [{ name: pooled, dataType: 'float32', dims: ['N', 5, 1, 1] }];
    });
    const map = applyPasses(graph, [convolutionalizeGlobalPool()]);
    const x = randomTensor([2, 3, 8, 9]);
    const [logits] = Object.values(await runGraph(graph, { x }));
    expectClose(spatialMean((await runGraph(map, { x }))[CLASS_MAP]!), { ...logits!, dims: [2, 5] });
  });

  it.each<[string, Graph]>([
    [
      'an activation between pooling and convolution',
      head((b, p) => b.node('Flatten', [conv(b, b.node('Relu', [p]))])),
    ],
    ['an activation after the convolution', head((b, p) => b.node('Flatten', [b.node('Relu', [conv(b, p)])]))],
    [
      'a padded convolution of the pooled map',
      head((b, p) => b.node('Flatten', [conv(b, p, 1, { pads: ints(1, 1, 1, 1) })])),
    ],
    [
      'pooling that is not the head: squeeze and excitation',
      graphOf(['N', 3, 'H', 'W'], (b, x) => {
        const gate = b.node('Sigmoid', [b.node('GlobalAveragePool', [x])]);
        return [output(b.node('Mul', [gate, b.node('Relu', [x])]))];
      }),
    ],
  ])('does not match %s', (_, graph) => {
    expect(applyPass(graph, convolutionalizeGlobalPool())).toBeUndefined();
  });

  it('does not match a fully connected head over a map, or a map', () => {
    expect(applyPass(tinyVgg(), convolutionalizeGlobalPool())).toBeUndefined();
    expect(applyPass(convolutional, convolutionalizeGlobalPool())).toBeUndefined();
  });
});

describe('spreadHead', () => {
  /** A trunk without padding, whose map at 6×6 pixels is 4×4, and a head on what is pooled of it. */
  const net = (pooling: string, layers: (b: GraphBuilder, pooled: string) => string): Graph =>
    graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const map = b.node('Relu', [b.node('Conv', [x, b.parameter('trunk.weight', [3, 2, 3, 3])])]);
      const logits = layers(b, b.node(pooling, [map]));
      return [{ name: logits, dataType: 'float32', dims: ['N', 5] }];
    });
  const linear = (b: GraphBuilder, x: string, name: string, inputs: number, outputs: number) =>
    b.node('Gemm', [x, b.parameter(`${name}.weight`, [outputs, inputs]), b.parameter(`${name}.bias`, [outputs])], {
      attributes: { transB: int(1) },
    });
  const perceptron = (b: GraphBuilder, pooled: string) => {
    const hidden = linear(b, b.node('Flatten', [pooled]), 'hidden', 3, 7);
    return linear(b, b.node('Dropout', [b.node('Relu', [hidden])]), 'out', 7, 5);
  };
  const single = (b: GraphBuilder, pooled: string) => linear(b, b.node('Flatten', [pooled]), 'out', 3, 5);

  it.each([
    ['several layers behind an average', net('GlobalAveragePool', perceptron)],
    ['several layers behind a maximum', net('GlobalMaxPool', perceptron)],
    ['one layer behind a maximum', net('GlobalMaxPool', single)],
  ])('scores every window as the classifier does: %s', async (_, classifier) => {
    const dense = spreadHead(classifier, 'windows', 6).graph;
    const x = randomTensor([1, 2, 8, 9]);
    const map = (await runGraph(dense, { x }))[CLASS_MAP]!;
    expect(map.dims).toEqual([1, 5, 3, 4]);
    for (const [top, left] of [
      [0, 0],
      [2, 3],
      [1, 2],
    ] as const) {
      const [logits] = Object.values(await runGraph(classifier, { x: crop(x, { top, left, side: 6 }) }));
      expectClose(crop(map, { top, left, side: 1 }), { ...logits!, dims: [1, 5, 1, 1] });
    }
  });

  it.each(BETWEEN_LAYERS)('takes %s between the layers, and scores every window as the classifier does', async (op) => {
    const classifier = inNewestOpset(
      net('GlobalAveragePool', (b, pooled) => {
        const hidden = linear(b, b.node('Flatten', [pooled]), 'hidden', 3, 7);
        return linear(b, b.node(op, [positive(b, op, hidden)]), 'out', 7, 5);
      }),
    );
    const dense = spreadHead(classifier, 'windows', 6).graph;
    const x = randomTensor([1, 2, 7, 6]);
    const map = (await runGraph(dense, { x }))[CLASS_MAP]!;
    expect(map.dims).toEqual([1, 5, 2, 1]);
    for (const top of [0, 1]) {
      const [logits] = Object.values(await runGraph(classifier, { x: crop(x, { top, left: 0, side: 6 }) }));
      expectClose(crop(map, { top, left: 0, side: 1 }), { ...logits!, dims: [1, 5, 1, 1] });
    }
  });

  it('tells an affine head, whose cells have the logits as their mean, from others', async () => {
    const affine = spreadHead(net('GlobalAveragePool', single), 'cells', 6);
    expect(affine.isAffine).toBe(true);
    const x = randomTensor([1, 2, 8, 9]);
    const [logits] = Object.values(await runGraph(net('GlobalAveragePool', single), { x }));
    expectClose(spatialMean((await runGraph(affine.graph, { x }))[CLASS_MAP]!), logits);
    expect(spreadHead(net('GlobalAveragePool', perceptron), 'cells', 6).isAffine).toBe(false);
    expect(spreadHead(net('GlobalMaxPool', single), 'cells', 6).isAffine).toBe(false);
  });

  it('takes a normalization of the channels, as one operator', async () => {
    const normalized = net('GlobalAveragePool', (b, pooled) => {
      const weights = [b.parameter('scale', [3]), b.parameter('shift', [3])];
      const flat = b.node('LayerNormalization', [b.node('Flatten', [pooled]), ...weights], {
        attributes: { axis: int(-1) },
      });
      return linear(b, flat, 'out', 3, 5);
    });
    // One cell is all that is pooled of a map of one cell.
    for (const [form, side] of [
      ['windows', 6],
      ['cells', 3],
    ] as const) {
      const { graph, isAffine } = spreadHead(normalized, form, 6);
      expect(isAffine).toBe(false);
      const x = randomTensor([2, 2, side, side]);
      const [logits] = Object.values(await runGraph(normalized, { x }));
      const map = (await runGraph(graph, { x }))[CLASS_MAP]!;
      expect(map.dims).toEqual([2, 5, 1, 1]);
      expectClose(spatialMean(map), logits);
    }
  });

  it('takes products and views that only name the channels anew', async () => {
    const viewed = net('GlobalAveragePool', (b, pooled) => {
      const shape = b.constant('groups', 'int64', [3], [-1, 3, 1]);
      const groups = b.node('Reshape', [pooled, b.constant('pairs', 'int64', [3], [-1, 1, 3])], { name: 'pairs' });
      const mixed = b.node('MatMul', [groups, b.parameter('mix', [3, 3])], { name: 'mixed' });
      return linear(b, b.node('Flatten', [b.node('Reshape', [mixed, shape])]), 'out', 3, 5);
    });
    const x = randomTensor([2, 2, 6, 6]);
    const [logits] = Object.values(await runGraph(viewed, { x }));
    expectClose(spatialMean((await runGraph(spreadHead(viewed, 'windows', 6).graph, { x }))[CLASS_MAP]!), logits);
  });

  it('refuses a way past the pooling, and cells of a flattened map, and says what would have to change', () => {
    const past = graphOf(['N', 2, 'H', 'W'], (b, x) => [
      { name: b.node('ReduceMean', [x]), dataType: 'float32', dims: ['N', 5] },
    ]);
    expect(() => spreadHead(past, 'windows', 6)).toThrow('past any global pooling');
    expect(() => spreadHead(tinyVgg(), 'cells', 64)).toThrow(/flattens the map.*The head must be built of/);
  });
});

describe('averageClassMap', () => {
  it('gives back the classifier of a net with global average pooling, at any size', async () => {
    const graph = applyPasses(tinyResNet(), [convolutionalizeGlobalPool(), averageClassMap()]);
    const input = randomTensor([1, 3, 75, 111]);
    expectClose(await logitsOf(graph, input), await logitsOf(tinyResNet(), input));
  });

  it('averages the windows of a fully connected head', async () => {
    const convolutional = applyPasses(tinyVgg(), [convolutionalizeGemm(64)]);
    const input = randomTensor([2, 3, 96, 80]);
    const logits = await logitsOf(applyPasses(convolutional, [averageClassMap()]), input);
    expectClose(logits, spatialMean(await mapOf(convolutional, input)));
  });

  it('does not match a graph that ends in logits', () => {
    expect(applyPass(tinyResNet(), averageClassMap())).toBeUndefined();
  });
});
