import { describe, expect, it } from 'vitest';
import { float, int, ints } from '../../../src/graph/attributes.js';
import type { GraphBuilder, NodeOptions } from '../../../src/graph/build.js';
import type { Attribute, Graph, ValueInfo } from '../../../src/graph/graph.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { addImageInput } from '../../../src/graph/passes/add-image-input.js';
import { convolutionalizeGemm } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../../src/graph/passes/convolutionalize-global-pool.js';
import { selectClasses } from '../../../src/graph/passes/select-classes.js';
import { inferKnownShapes, inferShapes } from '../../../src/graph/shapes.js';
import { IMAGENET } from '../../support/bound.js';
import { randomTensor, runGraph } from '../../support/ort.js';
import { graphOf, output, tinyResNet, tinyVgg } from '../../support/tiny-graphs.js';

/** All values of a graph as outputs, so that the engine tells every shape. */
function exposeAll(graph: Graph): Graph {
  const named = new Map(graph.outputs.map((value) => [value.name, value]));
  const outputs = graph.nodes
    .flatMap(({ outputs: names }) => names)
    .map((name): ValueInfo => ({ ...(named.get(name) ?? { name, dataType: 'float32' }), dims: freeDims(graph, name) }));
  return { ...graph, outputs };
}

function freeDims(graph: Graph, name: string): string[] {
  const sample = inferShapes(graph, { input: [2, 3, 96, 80] }).get(name)!;
  return sample.map((_, axis) => `${name}.${axis}`);
}

describe('inferShapes', () => {
  it.each([
    [64, 64],
    [96, 65],
    [127, 160],
  ])('agrees with onnxruntime on every value of a ResNet and a VGG at %i×%i', async (height, width) => {
    const convolutional = applyPasses(tinyVgg(), [convolutionalizeGemm(64)]);
    for (const graph of [tinyResNet(), convolutional]) {
      const dims = [2, 3, height, width];
      const shapes = inferShapes(graph, { input: dims });
      const values = await runGraph(exposeAll(graph), { input: randomTensor(dims) });
      for (const [name, value] of Object.entries(values)) expect([name, shapes.get(name)]).toEqual([name, value.dims]);
    }
  });

  it('follows the whole dense view, from pixels to selected classes', () => {
    const graph = applyPasses(tinyResNet(), [convolutionalizeGlobalPool(), selectClasses(), addImageInput(IMAGENET)]);
    const shapes = inferShapes(graph, { image: [2, 100, 90, 3], classes: [2, 4] });
    expect(graph.outputs.map(({ name }) => [name, shapes.get(name)])).toEqual([
      ['logits', [2, 7]],
      ['classes_selected', [2, 4]],
      ['class_logits', [2, 4, 7, 6]],
      ['log_normalizer', [2, 1, 7, 6]],
      ['best_class', [2, 7, 6]],
      ['best_logit', [2, 7, 6]],
    ]);
  });

  it('gives an empty map where a window does not fit', () => {
    const graph = applyPasses(tinyVgg(), [convolutionalizeGemm(64)]);
    expect(inferShapes(graph, { input: [1, 3, 48, 64] }).get('class_map')).toEqual([1, 7, 0, 1]);
  });

  const same = (auto: string): Attribute => ({ type: 'string', value: auto });
  const pool = (attributes: Record<string, Attribute>) => (b: GraphBuilder, x: string) =>
    b.node('MaxPool', [x], { attributes: { kernel_shape: ints(3, 3), ...attributes } });
  const conv = (attributes: Record<string, Attribute>, weight: number[]) => (b: GraphBuilder, x: string) =>
    b.node('Conv', [x, b.parameter('w.weight', weight)], { attributes });
  const index = (b: GraphBuilder, ...values: number[]) => b.constant('i', 'int64', [values.length], values);
  const scalar = (b: GraphBuilder, value: number) => b.constant('s', 'int64', [], [value]);
  const on = (op: string, list: number[], options?: NodeOptions) => (b: GraphBuilder, x: string) =>
    b.node(op, [x, index(b, ...list)], options);

  const cases: [string, number, (b: GraphBuilder, x: string) => string | ValueInfo[]][] = [
    ['MaxPool', 4, pool({ strides: ints(2, 2) })],
    ['MaxPool, ceil', 4, pool({ strides: ints(2, 2), ceil_mode: int(1) })],
    ['MaxPool, ceil, padded', 4, pool({ strides: ints(3, 2), ceil_mode: int(1), pads: ints(1, 1, 1, 1) })],
    [
      'MaxPool, ceil, last window in the padding',
      4,
      pool({ strides: ints(4, 4), ceil_mode: int(1), pads: ints(1, 1, 1, 1) }),
    ],
    ['MaxPool, dilated', 4, pool({ dilations: ints(2, 2) })],
    ['MaxPool, SAME_UPPER', 4, pool({ strides: ints(2, 2), auto_pad: same('SAME_UPPER') })],
    ['MaxPool, SAME_LOWER', 4, pool({ strides: ints(2, 2), auto_pad: same('SAME_LOWER') })],
    ['MaxPool, VALID', 4, pool({ strides: ints(2, 2), auto_pad: same('VALID') })],
    [
      'AveragePool, ceil',
      4,
      (b, x) =>
        b.node('AveragePool', [x], {
          attributes: { kernel_shape: ints(2, 2), strides: ints(2, 2), ceil_mode: int(1) },
        }),
    ],
    ['Conv, grouped', 4, conv({ group: int(3), pads: ints(0, 1, 2, 3) }, [6, 2, 3, 5])],
    ['Conv, dilated, strided', 4, conv({ dilations: ints(2, 3), strides: ints(2, 1) }, [4, 6, 3, 2])],
    ['Conv, SAME_UPPER', 4, conv({ auto_pad: same('SAME_UPPER'), strides: ints(2, 2) }, [4, 6, 3, 3])],
    [
      'BatchNormalization in training mode',
      4,
      (b, x) => {
        const parameters = ['a', 'b', 'c', 'd'].map((name) => b.parameter(`${name}.weight`, [6]));
        const attributes = { training_mode: int(1) };
        const [y = '', ...statistics] = b.nodes('BatchNormalization', [x, ...parameters], 3, { attributes });
        return [output(y), ...statistics.map((name) => output(name, 1))];
      },
    ],
    ['GlobalMaxPool', 4, (b, x) => b.node('GlobalMaxPool', [x])],
    ['Flatten', 2, (b, x) => b.node('Flatten', [x], { attributes: { axis: int(-2) } })],
    ['Reshape', 3, on('Reshape', [0, -1, 3])],
    [
      'Reshape to a computed shape',
      3,
      (b, x) => {
        const sizes = b.node('Shape', [x]);
        const batch = b.node('Slice', [sizes, index(b, 0), index(b, 2), index(b, 0), index(b, 1)]);
        return b.node('Reshape', [x, b.node('Concat', [batch, index(b, -1)], { attributes: { axis: int(0) } })]);
      },
    ],
    [
      'Reshape to a product of sizes',
      2,
      (b, x) => {
        const sizes = b.node('Shape', [x], { attributes: { start: int(0), end: int(-2) } });
        const first = b.node('Gather', [sizes, index(b, 0)], { attributes: { axis: int(0) } });
        const second = b.node('Gather', [sizes, index(b, -1)], { attributes: { axis: int(0) } });
        const product = b.node('Mul', [first, second]);
        return b.node('Reshape', [x, b.node('Concat', [product, index(b, -1)], { attributes: { axis: int(0) } })]);
      },
    ],
    ['Transpose', 4, (b, x) => b.node('Transpose', [x], { attributes: { perm: ints(0, 2, 3, 1) } })],
    [
      'Squeeze and Unsqueeze',
      5,
      (b, x) => b.node('Squeeze', [b.node('Unsqueeze', [x, index(b, 1, -1)]), index(b, -1)]),
    ],
    ['Concat', 4, (b, x) => b.node('Concat', [x, x], { attributes: { axis: int(1) } })],
    [
      'Split',
      4,
      (b, x) => {
        const names = b.nodes('Split', [x], 4, { attributes: { axis: int(3), num_outputs: int(4) } });
        return names.map((name) => output(name));
      },
    ],
    ['Slice', 4, (b, x) => b.node('Slice', [x, index(b, 1, -1), index(b, 99, -9), index(b, 2, 3), index(b, 2, -2)])],
    ['Pad', 4, on('Pad', [0, 0, 1, 2, 0, 0, 3, 4])],
    ['Add, broadcast', 4, (b, x) => b.node('Add', [x, b.constant('c', 'float32', [6, 1, 1], [1, 2, 3, 4, 5, 6])])],
    ['MatMul, broadcast', 4, (b, x) => b.node('MatMul', [x, b.parameter('m.weight', [2, 6, 13, 5])])],
    ['ReduceMean', 2, on('ReduceMean', [2, -1], { attributes: { keepdims: int(0) } })],
    ['ReduceSum over all', 4, (b, x) => b.node('ReduceSum', [x])],
    ['Softmax', 4, (b, x) => b.node('Softmax', [x], { attributes: { axis: int(1) } })],
    [
      'ArgMax',
      3,
      (b, x) => [output(b.node('ArgMax', [x], { attributes: { axis: int(1), keepdims: int(0) } }), 3, 'int64')],
    ],
    [
      'TopK',
      4,
      (b, x) =>
        b
          .nodes('TopK', [x, index(b, 3)], 2, { attributes: { axis: int(1) } })
          .map((name, i) => output(name, 4, i ? 'int64' : 'float32')),
    ],
    ['Expand', 5, on('Expand', [2, 1, 1, 1, 1])],
    [
      'Gather',
      5,
      (b, x) => b.node('Gather', [x, b.constant('g', 'int64', [2, 2], [0, 1, 2, 3])], { attributes: { axis: int(1) } }),
    ],
    ['Gather by a scalar', 3, (b, x) => b.node('Gather', [x, scalar(b, 1)], { attributes: { axis: int(2) } })],
    [
      'GatherElements',
      4,
      (b, x) =>
        b.node('GatherElements', [x, b.constant('g', 'int64', [2, 1, 1, 1], [0, 1])], { attributes: { axis: int(1) } }),
    ],
    [
      'GatherND',
      4,
      (b, x) =>
        b.node('GatherND', [x, b.constant('g', 'int64', [2, 3, 1], [0, 1, 2, 3, 4, 5])], {
          attributes: { batch_dims: int(1) },
        }),
    ],
    [
      'Range',
      1,
      (b, x) => {
        const count = b.node('Gather', [b.node('Shape', [x]), scalar(b, 1)]);
        return [output(b.node('Range', [scalar(b, 1), count, scalar(b, 2)]), 1, 'int64')];
      },
    ],
    ['ConstantOfShape', 2, (b) => b.node('ConstantOfShape', [index(b, 3, 4)])],
    [
      'Clip and LRN',
      4,
      (b, x) => b.node('LRN', [b.node('Clip', [x])], { attributes: { size: int(3), alpha: float(1e-4) } }),
    ],
    ['Dropout', 4, (b, x) => b.node('Dropout', [x])],
    ['Where', 4, (b, x) => b.node('Where', [b.node('Greater', [x, b.constant('z', 'float32', [], [0])]), x, x])],
  ];

  it.each(cases)('agrees with onnxruntime on %s', async (_, rank, make) => {
    const dims = [2, 6, 12, 13];
    const graph = graphOf(['N', 6, 'H', 'W'], (b, x) => {
      const made = make(b, x);
      return typeof made === 'string' ? [output(made, rank)] : made;
    });
    const shapes = inferShapes(graph, { x: dims });
    const values = await runGraph(graph, { x: randomTensor(dims) }, { optimization: 'disabled' });
    for (const [name, value] of Object.entries(values)) expect(shapes.get(name)).toEqual(value.dims);
  });

  it('names the operator that it does not know', () => {
    const graph = graphOf(['N'], (b, x) => b.node('Frobnicate', [x]));
    expect(() => inferShapes(graph, { x: [1] })).toThrow(GraphError);
    expect(() => inferShapes(graph, { x: [1] })).toThrow(/node "frobnicate" \(Frobnicate\)/);
  });

  it('takes no memory for sizes that a hostile file claims', () => {
    const graph = graphOf([2 ** 50], (b, x) => {
      const [start, end] = [b.constant('start', 'int64', [1], [0]), b.constant('end', 'int64', [1], [2 ** 45])];
      b.node('Slice', [x, start, end], { name: 'cut' });
      const scalars = [0, 2 ** 40, 1].map((value) => b.constant('scalar', 'int64', [], [value]));
      b.node('Range', scalars, { name: 'counted' });
      return b.node('Relu', [x]);
    });
    const shapes = inferShapes(graph, { x: [2 ** 50] });
    expect([shapes.get('cut'), shapes.get('counted')]).toEqual([[2 ** 45], [2 ** 40]]);
  });

  it('tells what it can where an operator is not known', () => {
    const graph = graphOf(['N'], (b, x) => b.node('Relu', [b.node('Frobnicate', [b.node('Abs', [x])])]));
    const shapes = inferKnownShapes(graph, { x: [3] });
    expect([...shapes]).toEqual([
      ['x', [3]],
      ['abs', [3]],
    ]);
  });

  it('names the node whose operands disagree', () => {
    const graph = graphOf(['N', 4, 'H', 'W'], (b, x) =>
      b.node('Conv', [x, b.parameter('w', [8, 3, 3, 3])], { name: 'c1' }),
    );
    expect(() => inferShapes(graph, { x: [1, 4, 8, 8] })).toThrow(/node "c1" \(Conv\): the sizes disagree/);
  });

  it('rejects an input shape that is missing or does not fit', () => {
    const graph = graphOf(['N', 4, 'H', 'W'], (b, x) => b.node('Relu', [x]));
    expect(() => inferShapes(graph, {})).toThrow(/input "x": its shape is not given/);
    expect(() => inferShapes(graph, { x: [1, 3, 8, 8] })).toThrow(/\[1, 3, 8, 8\] does not fit \[N, 4, H, W\]/);
  });
});
