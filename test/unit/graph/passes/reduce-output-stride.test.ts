import { describe, expect, it } from 'vitest';
import { nativeForm, type ArchitectureOptions } from '../../../../src/architectures/index.js';
import { int, ints } from '../../../../src/graph/attributes.js';
import { mapGeometry } from '../../../../src/graph/geometry.js';
import type { Attribute, Graph } from '../../../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { reduceOutputStride } from '../../../../src/graph/passes/reduce-output-stride.js';
import { inferShapes } from '../../../../src/graph/shapes.js';
import { withClassMap } from '../../../support/class-map.js';
import { everyCell, randomTensor, relativeError, runGraph, type Value } from '../../../support/ort.js';
import { CLASSES, EACH_BLOCK, graphOf, narrowNet, output, type NarrowNet } from '../../../support/tiny-graphs.js';

const NETS: readonly NarrowNet[] = [
  ...EACH_BLOCK,
  ['resnet18', { stem: 'compact' }],
  ['resnet50'],
  ['preresnet50'],
  ['inception_v3'],
  ['squeezenet1_0'],
  ['vgg11'],
  ['vgg16_bn'],
  ['tf_efficientnet_lite0'],
  ['tf_efficientnet_lite2'],
  ['inception_resnet_v2'],
  ['nin_cifar'],
  ['nin_imagenet'],
  ['densenet40_k12_cifar'],
];

const denseNet = (name: NarrowNet[0], options?: ArchitectureOptions): Graph =>
  withClassMap(narrowNet(name, options), nativeForm(name).inputSize);

async function mapOf(graph: Graph, input: Value): Promise<Value> {
  const map = (await runGraph(graph, { [graph.inputs[0]!.name]: input }))[graph.outputs[0]!.name]!;
  expect(map.dims).toEqual(inferShapes(graph, { [graph.inputs[0]!.name]: input.dims }).get(graph.outputs[0]!.name));
  return map;
}

async function expectCoarseMapInside(coarse: Graph, fine: Graph, rate: number, input: Value): Promise<void> {
  const [expected, map] = [await mapOf(coarse, input), everyCell(rate, await mapOf(fine, input))];
  expect(map.dims).toEqual(expected.dims);
  expect(relativeError(map.data, expected.data)).toBeLessThan(1e-5);
}

describe.each(NETS)('%s', (name, options) => {
  const coarse = denseNet(name, options);
  const geometry = mapGeometry(coarse, coarse.outputs[0]!.name);
  const native = nativeForm(name).inputSize;
  const sizes = native === 32 ? [[40, 33] as const, [32, 63] as const] : [[native, native + 39] as const];

  it.each([2, 4])('is equal to the coarse map at its positions with a %s times finer map', async (rate) => {
    const outputStride = geometry.outputStride / rate;
    const fine = applyPasses(coarse, [reduceOutputStride(outputStride)]);
    expect(mapGeometry(fine, fine.outputs[0]!.name)).toEqual({ ...geometry, outputStride });
    for (const [height, width] of sizes) {
      await expectCoarseMapInside(coarse, fine, rate, randomTensor([1, 3, height, width]));
    }
  });
});

describe('shift-and-stitch', () => {
  /** The image without its first rows and columns. */
  const shifted = (input: Value, top: number, left: number): Value => everyCell(1, input, top, left);

  it.each<[NarrowNet[0], number, number]>([
    ['resnet18', 544, 2],
    ['resnet50', 544, 2],
    ['resnet20_cifar', 128, 4],
    ['vgg16', 512, 4],
    ['squeezenet1_1', 288, 2],
    ['googlenet', 480, 2],
    ['tf_efficientnet_lite0', 1088, 2],
  ])('gives the cells in between of %s', async (name, side, rate) => {
    const coarse = denseNet(name);
    const { outputStride, offset, receptiveField } = mapGeometry(coarse, coarse.outputs[0]!.name);
    const step = outputStride / rate;
    const input = randomTensor([1, 3, side, side]);
    const map = await mapOf(applyPasses(coarse, [reduceOutputStride(step)]), input);
    const worst: number[] = [];
    for (const [y, x] of [
      [0, 1],
      [rate - 1, rate / 2],
    ] as const) {
      const [shift, phase] = [shifted(input, y * step, x * step), everyCell(rate, map, y, x)];
      const expected = await mapOf(coarse, shift);
      worst.push(relativeError(...insideOf(phase, expected, shift)));
    }
    expect(Math.max(...worst)).toBeLessThan(1e-5);

    /** The cells of both maps that see nothing of the padding, whose place is not shifted with the image. */
    function insideOf(a: Value, b: Value, { dims: image }: Value): [number[], number[]] {
      const sees = (cell: number, axis: number): boolean => {
        const start = offset - receptiveField / 2 + cell * outputStride;
        return start >= 0 && start + receptiveField <= image[axis]!;
      };
      const cells = Array.from({ length: Math.min(a.dims[2]!, b.dims[2]!) }, (_, cell) => cell);
      const [rows, columns] = [cells.filter((cell) => sees(cell, 2)), cells.filter((cell) => sees(cell, 3))];
      expect(rows.length * columns.length).toBeGreaterThan(0);
      const pick = ({ dims, data }: Value): number[] =>
        Array.from({ length: CLASSES }, (_, c) =>
          rows.map((row) => columns.map((column) => Number(data[(c * dims[2]! + row) * dims[3]! + column]))),
        ).flat(2);
      return [pick(a), pick(b)];
    }
  });
});

describe('reduceOutputStride', () => {
  const conv = (kernel: number, attributes: Record<string, Attribute>) =>
    graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const y = b.node('Conv', [x, b.parameter('a.weight', [2, 2, kernel, kernel])], { attributes });
      const z = b.node('Relu', [y]);
      const last = b.node('Conv', [z, b.parameter('b.weight', [2, 2, 3, 3])], {
        attributes: { pads: ints(1, 1, 1, 1) },
      });
      return [{ ...output(last), dims: ['N', 2, 'h', 'w'] }];
    });
  const window = (op: string, attributes: Record<string, Attribute>, stride = 2) =>
    graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const first = b.node('MaxPool', [x], { attributes: { kernel_shape: ints(2, 2), strides: ints(stride, stride) } });
      return [{ ...output(b.node(op, [first], { attributes })), dims: ['N', 2, 'h', 'w'] }];
    });
  const pool = { kernel_shape: ints(3, 3), strides: ints(2, 2) };
  const every2 = { strides: ints(2, 2) };

  it.each<[string, Graph, number, readonly number[]]>([
    ['a stride that is divided, not removed', conv(4, { strides: ints(4, 4) }), 2, [17, 20]],
    ['a kernel smaller than its stride', conv(1, every2), 1, [12, 13]],
    ['uneven padding', conv(3, { ...every2, pads: ints(0, 0, 1, 1) }), 1, [12, 13]],
    ['auto_pad VALID', conv(3, { ...every2, auto_pad: same('VALID') }), 1, [11, 12]],
    ['a last, partial window of a maximum', window('MaxPool', { ...pool, ceil_mode: int(1) }), 2, [17, 20]],
    ['a last, partial window of a mean', window('AveragePool', { ...pool, ceil_mode: int(1) }), 2, [17, 20]],
    ['a mean that leaves padding out', window('AveragePool', { ...pool, pads: ints(1, 1, 1, 1) }), 1, [17, 20]],
    [
      'such a mean whose padding becomes wider than its kernel',
      window('AveragePool', { kernel_shape: ints(2, 2), pads: ints(1, 1, 0, 0) }, 4),
      1,
      [17, 20],
    ],
    [
      'a mean that counts padding',
      window('AveragePool', { ...pool, pads: ints(1, 1, 1, 1), count_include_pad: int(1) }),
      1,
      [17, 20],
    ],
    ['a maximum with padding', window('MaxPool', { ...pool, pads: ints(1, 1, 1, 1) }), 1, [17, 20]],
    ['padding as a node', padded('constant'), 1, [12, 13]],
  ])('keeps the coarse cells through %s', async (_, coarse, outputStride, [height = 0, width = 0]) => {
    const rate = mapGeometry(coarse, coarse.outputs[0]!.name).outputStride / outputStride;
    const fine = applyPasses(coarse, [reduceOutputStride(outputStride)]);
    await expectCoarseMapInside(coarse, fine, rate, randomTensor([1, 2, height, width]));
  });

  it('does not match the stride that a map has, nor one that windows do not reach', () => {
    const coarse = conv(3, every2);
    for (const outputStride of [2, 3, 4]) expect(applyPass(coarse, reduceOutputStride(outputStride))).toBeUndefined();
    expect(applyPass(conv(3, { strides: ints(3, 3) }), reduceOutputStride(2))).toBeUndefined();
  });

  it('does not match what would see other cells: pooling of the whole map inside of the net, mirrored padding', () => {
    const excited = graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const y = b.node('MaxPool', [x], { attributes: { kernel_shape: ints(2, 2), strides: ints(2, 2) } });
      const scale = b.node('Sigmoid', [b.node('GlobalAveragePool', [y])]);
      return [{ ...output(b.node('Mul', [y, scale])), dims: ['N', 2, 'h', 'w'] }];
    });
    expect(applyPass(excited, reduceOutputStride(1))).toBeUndefined();
    expect(applyPass(padded('reflect'), reduceOutputStride(1))).toBeUndefined();
  });

  it('does not match a mean whose count would change, nor a window that could lie in the padding alone', () => {
    const countsLast = window('AveragePool', { ...pool, ceil_mode: int(1), count_include_pad: int(1) });
    const onlyPadding = window('MaxPool', { kernel_shape: ints(1, 1), strides: ints(2, 2), ceil_mode: int(1) });
    for (const graph of [countsLast, onlyPadding]) expect(applyPass(graph, reduceOutputStride(2))).toBeUndefined();
  });

  function same(value: string): Attribute {
    return { type: 'string', value };
  }

  function padded(mode: string): Graph {
    return graphOf(['N', 2, 'H', 'W'], (b, x) => {
      const y = b.node('Conv', [x, b.parameter('a.weight', [2, 2, 3, 3])], { attributes: every2 });
      const pads = b.constant('pads', 'int64', [8], [0, 0, 2, 2, 0, 0, 1, 1]);
      const z = b.node('Pad', [y, pads], { attributes: { mode: same(mode) } });
      return [{ ...output(b.node('Conv', [z, b.parameter('b.weight', [2, 2, 2, 2])])), dims: ['N', 2, 'h', 'w'] }];
    });
  }
});

it('infers the shapes of a graph once, however many means it has', () => {
  const readsOf = (means: number): number => {
    const net = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      let map = b.node('Conv', [x, b.parameter('c.weight', [4, 3, 4, 4])], { attributes: { strides: ints(4, 4) } });
      for (let count = 0; count < means; count += 1) {
        map = b.node('AveragePool', [map], { attributes: { kernel_shape: ints(3, 3), pads: ints(1, 1, 1, 1) } });
      }
      const scores = b.node('Conv', [map, b.parameter('s.weight', [5, 4, 1, 1])]);
      return [{ ...output(scores), dims: ['N', 5, 'h', 'w'] }];
    });
    let reads = 0;
    const nodes = new Proxy(net.nodes, {
      get(target, key, receiver): unknown {
        if (key === '0') reads += 1;
        return Reflect.get(target, key, receiver);
      },
    });
    const fine = applyPass({ ...net, nodes }, reduceOutputStride(1))!;
    expect(fine.nodes.filter(({ op }) => op === 'Div')).toHaveLength(means);
    return reads;
  };
  expect(readsOf(20)).toBe(readsOf(2));
});
