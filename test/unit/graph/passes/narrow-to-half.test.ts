import { describe, expect, it } from 'vitest';
import { ACTIVATIONS, nativeForm } from '../../../../src/architectures/index.js';
import { ints } from '../../../../src/graph/attributes.js';
import { graphBuilder } from '../../../../src/graph/build.js';
import type { Graph, InitializerData, Node } from '../../../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { absorbStatistics } from '../../../../src/graph/passes/absorb-statistics.js';
import { addImageInput } from '../../../../src/graph/passes/add-image-input.js';
import { narrowToHalf } from '../../../../src/graph/passes/narrow-to-half.js';
import { reduceOutputStride } from '../../../../src/graph/passes/reduce-output-stride.js';
import { selectClasses } from '../../../../src/graph/passes/select-classes.js';
import { mapGeometry } from '../../../../src/graph/geometry.js';
import { inferShapes } from '../../../../src/graph/shapes.js';
import { narrowed } from '../../../../src/models/session-writer.js';
import { IMAGENET } from '../../../support/bound.js';
import { withClassMap } from '../../../support/class-map.js';
import { isHalfName, roundBetween } from '../../../support/half.js';
import { randomImage, randomTensor, relativeError, runGraph } from '../../../support/ort.js';
import {
  EACH_BLOCK,
  graphOf,
  narrowNet,
  output,
  smallSide,
  VGG_AT_64,
  type NarrowNet,
} from '../../../support/tiny-graphs.js';

const NETS: readonly NarrowNet[] = [
  ...EACH_BLOCK,
  ['vgg11', VGG_AT_64],
  ['vgg11_bn', VGG_AT_64],
  ['resnet34'],
  ['wide_resnet50_2'],
  ['preresnet50'],
  ['preresnet50_keras'],
  ['inception_v3'],
];

/** The type of a node's first input, by the Casts and the names that the pass gives. */
const isHalf = ({ inputs }: Node): boolean => isHalfName(inputs[0]!);
const nodesOf = (graph: Graph, op: string): readonly Node[] => graph.nodes.filter((node) => node.op === op);

/** Largest difference of the graph in half precision, with every value rounded, as a part of the largest value. */
async function errorAt(graph: Graph, side: number, optimization: 'all' | 'disabled' = 'all'): Promise<number> {
  const input = randomTensor([2, 3, side, side]);
  const [name] = [graph.outputs[0]!.name];
  const expected = (await runGraph(graph, { input }))[name]!;
  const actual = (await runGraph(roundBetween(narrowed(graph)), { input }, { optimization }))[name]!;
  expect(actual.dims).toEqual(expected.dims);
  return relativeError(actual.data, expected.data);
}

/** Fifty layers of ReLU6 with such weights multiply the rounding of each (fixtures/golden: `rounding`). */
const multipliesRounding = (name: string): boolean => name.includes('efficientnet');

describe.each(NETS)('%s in half precision', (name, options) => {
  const most = multipliesRounding(name) ? 3 : 1;
  const graph = narrowNet(name, options);
  const side = Number(options?.inputSize ?? Math.max(smallSide(name), Math.min(96, nativeForm(name).inputSize)));
  const map = withClassMap(graph, side);
  const own = mapGeometry(map, map.outputs[0]!.name).outputStride;

  it('gives the logits to within its rounding, and not exactly', async () => {
    const error = await errorAt(graph, side);
    expect(error).toBeLessThan(most * 3e-3);
    expect(error).toBeGreaterThan(1e-7);
  });

  it('gives the class map to within its rounding, at its own output stride and at half of it', async () => {
    expect(await errorAt(map, side + 13)).toBeLessThan(most * 1e-2);
    expect(await errorAt(applyPasses(map, [reduceOutputStride(own / 2)]), side)).toBeLessThan(most * 1e-2);
  });

  it('has its layers in half precision, and takes means over a map in single', () => {
    const half = narrowed(graph);
    expect(nodesOf(half, 'Conv').every(isHalf)).toBe(true);
    expect(nodesOf(half, 'Gemm').every(isHalf)).toBe(true);
    // Those behind a convolution are folded into it, others have their statistics absorbed.
    expect(nodesOf(half, 'BatchNormalization').every(isHalf)).toBe(true);
    expect(nodesOf(half, 'GlobalAveragePool').some(isHalf)).toBe(false);
    expect(half.inputs).toEqual(graph.inputs);
    expect(half.outputs).toEqual(graph.outputs);
  });

  it('has the shapes that it had', () => {
    const shape = { input: [2, 3, side, side] };
    const [output = ''] = graph.outputs.map((value) => value.name);
    expect(inferShapes(narrowed(graph), shape).get(output)).toEqual(inferShapes(graph, shape).get(output));
  });
});

describe.each(ACTIVATIONS)('a net with %s', (activation) => {
  it('gives its logits to within half precision, also as the graph is written', async () => {
    expect(await errorAt(narrowNet('preresnet18', { activation }), 64, 'disabled')).toBeLessThan(1e-2);
  });
});

describe('what is finished around a half-precision net', () => {
  it('stays in single precision: preprocessing, means, normalizer and arg-max', async () => {
    const net = withClassMap(narrowNet('resnet18', { stem: 'compact' }), 64);
    const finish = (graph: Graph): Graph => applyPasses(graph, [selectClasses(), addImageInput(IMAGENET)]);
    const feeds = { image: randomImage([1, 96, 80, 3]), classes: { dims: [1, 2], data: BigInt64Array.of(3n, 7n) } };
    const single = await runGraph(finish(net), feeds);
    const half = await runGraph(finish(narrowed(net)), feeds);
    for (const output of ['logits', 'class_logits', 'log_normalizer', 'best_logit']) {
      expect(half[output]!.dims).toEqual(single[output]!.dims);
      expect(relativeError(half[output]!.data, single[output]!.data)).toBeLessThan(1e-2);
    }
    const graph = finish(narrowed(net));
    const inSingle = ['ReduceMean', 'ReduceSum', 'Exp', 'Log', 'TopK'];
    expect(inSingle.flatMap((op) => nodesOf(graph, op)).some(isHalf)).toBe(false);
    expect(graph.nodes.slice(0, 4).map(({ op }) => op)).toEqual(['Transpose', 'Cast', 'Sub', 'Mul']);
  });
});

describe('narrow-to-half', () => {
  it('lets values overflow where the device has half precision, as the check at load will see', async () => {
    const graph = graphOf(['N', 2], (b, x) => {
      const large = b.node('Mul', [x, b.constant('large', 'float32', [], [60_000])]);
      return [output(b.node('Mul', [b.node('Add', [large, large]), b.constant('small', 'float32', [], [1e-3])]), 2)];
    });
    const x = { dims: [1, 2], data: Float32Array.of(0.5, 0.9) };
    const [name] = [graph.outputs[0]!.name];
    const { data } = (await runGraph(roundBetween(narrowed(graph)), { x }))[name]!;
    expect(relativeError(data.slice(0, 1), [60])).toBeLessThan(1e-3);
    expect(data[1]).toBe(Infinity);
  });

  it('leaves normalizations over an image, softmax, exponentials and reductions as they are', async () => {
    const graph = graphOf(['N', 4, 'H', 'W'], (b, x) => {
      let y = b.node('Conv', [x, b.parameter('conv.weight', [4, 4, 1, 1])], {
        attributes: { kernel_shape: ints(1, 1) },
      });
      y = b.node('InstanceNormalization', [y, b.parameter('norm.weight', [4]), b.parameter('norm.bias', [4])]);
      y = b.node('LRN', [y], { attributes: { size: { type: 'int', value: 3 } } });
      y = b.node('Softmax', [b.node('Exp', [y])], { attributes: { axis: { type: 'int', value: 1 } } });
      return b.node('Relu', [b.node('ReduceMean', [y, b.constant('axes', 'int64', [2], [2, 3])])]);
    });
    const half = narrowed(graph);
    for (const op of ['InstanceNormalization', 'LRN', 'Exp', 'Softmax', 'ReduceMean']) {
      expect(nodesOf(half, op).some(isHalf)).toBe(false);
    }
    const x = randomTensor([1, 4, 5, 6]);
    const [name] = [graph.outputs[0]!.name];
    const [expected, actual] = [(await runGraph(graph, { x }))[name]!, (await runGraph(half, { x }))[name]!];
    expect(relativeError(actual.data, expected.data)).toBeLessThan(1e-2);
  });

  it('takes a weight as it is where it is half in its file, and casts any other', () => {
    const external = { kind: 'external', file: 'w', offset: 0 } as const;
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => b.node('Conv', [x, b.parameter('w.weight', [4, 3, 3, 3])]));
    const bindAs = (data: InitializerData): Graph => {
      const weight = { ...graph.initializers.get('w.weight')!, data };
      return applyPasses({ ...graph, initializers: new Map([['w.weight', weight]]) }, [narrowToHalf()]);
    };
    const stored = { ...external, length: 4 * 27 * 2, storedAs: 'float16' } as const;
    const { storedAs: _, ...place } = stored;
    expect([...bindAs(stored).initializers.values()]).toEqual([
      { name: 'w.weight.half', dataType: 'float16', dims: [4, 3, 3, 3], data: place },
    ]);
    const single = { ...external, length: 4 * 27 * 4 };
    expect([...bindAs(single).initializers.values()]).toEqual([
      { name: 'w.weight.half', dataType: 'float16', dims: [4, 3, 3, 3], data: { ...single, storedAs: 'float32' } },
    ]);
  });

  it('computes what comes from constants alone in single precision, and rounds it once', async () => {
    const graph = graphOf(['N', 2], (b, x) => {
      // Their product is 1: one factor alone would be infinite, the other zero.
      const factor = b.node('Mul', [
        b.constant('large', 'float32', [2], [1e8, 1e8]),
        b.constant('small', 'float32', [2], [1e-8, 1e-8]),
      ]);
      return [output(b.node('Mul', [x, factor]), 2)];
    });
    const x = randomTensor([1, 2]);
    const [name] = [graph.outputs[0]!.name];
    const actual = (await runGraph(narrowed(graph), { x }))[name]!;
    expect(relativeError(actual.data, x.data)).toBeLessThan(1e-3);
  });

  it('refuses a constant beyond the largest number of half precision, by name; infinity is one of them', () => {
    const scaled = (value: number): Graph =>
      graphOf(['N', 2], (b, x) => [output(b.node('Mul', [x, b.constant('scale', 'float32', [], [value])]), 2)]);
    expect(() => narrowed(scaled(70_000))).toThrow('tensor "scale" holds 70000: half precision ends at 65504');
    expect(() => narrowed(scaled(-70_000))).toThrow('tensor "scale"');
    expect(() => narrowed(scaled(65_504))).not.toThrow();
    expect(() => narrowed(scaled(-Infinity))).not.toThrow();
  });

  it('does not match where there is nothing to narrow', () => {
    const builder = graphBuilder({ name: 'empty' });
    const x = builder.input('x', 'float32', ['N', 3]);
    const graph = builder.finish([output(builder.node('Softmax', [x]), 2)]);
    expect(applyPass(graph, narrowToHalf())).toBeUndefined();
  });
});

describe('absorb-statistics', () => {
  it('keeps a variance that half precision cannot hold', async () => {
    const normalized = (variance: number): Graph => {
      const builder = graphBuilder({ name: 'norm' });
      const x = builder.input('x', 'float32', ['N', 2, 'H', 'W']);
      const constant = (name: string, value: number): string => builder.constant(name, 'float32', [2], [value, value]);
      const inputs = [x, constant('gamma', 1), constant('beta', 0.5), constant('mean', 0.1), constant('var', variance)];
      const attributes = { epsilon: { type: 'float', value: Math.fround(1e-9) } } as const;
      return builder.finish([output(builder.node('BatchNormalization', inputs, { attributes }))]);
    };
    for (const variance of [1e-7, 1e6]) {
      const graph = normalized(variance);
      const x = randomTensor([1, 2, 4, 4]);
      const [name] = [graph.outputs[0]!.name];
      const expected = (await runGraph(graph, { x }))[name]!;
      const absorbed = applyPasses(graph, [absorbStatistics()]);
      expect(relativeError((await runGraph(absorbed, { x }))[name]!.data, expected.data)).toBeLessThan(1e-5);
      expect(relativeError((await runGraph(narrowed(graph), { x }))[name]!.data, expected.data)).toBeLessThan(1e-2);
    }
  });

  it('does not match without batch normalization', () => {
    expect(
      applyPass(
        graphOf(['N', 2], (b, x) => [output(b.node('Relu', [x]), 2)]),
        absorbStatistics(),
      ),
    ).toBeUndefined();
  });
});
