/** The passes that bring imported graphs to one form: each matches, does not match, and changes no number. */
import { describe, expect, it } from 'vitest';
import { float, int, ints } from '../../../../src/graph/attributes.js';
import type { GraphBuilder } from '../../../../src/graph/build.js';
import { inlineConstant } from '../../../../src/graph/constants.js';
import type { Attribute, Dim, Graph } from '../../../../src/graph/graph.js';
import { applyPass, type Pass } from '../../../../src/graph/pass.js';
import { castBorders } from '../../../../src/graph/passes/cast-borders.js';
import { convolutionalizeGlobalPool } from '../../../../src/graph/passes/convolutionalize-global-pool.js';
import { dropIdentities } from '../../../../src/graph/passes/drop-identities.js';
import { dropIdentityCasts } from '../../../../src/graph/passes/drop-identity-casts.js';
import { dropOutputCast } from '../../../../src/graph/passes/drop-output-cast.js';
import { dropOutputActivation, outputActivation } from '../../../../src/graph/passes/drop-output-activation.js';
import { flattenHead } from '../../../../src/graph/passes/flatten-head.js';
import { foldWeightViews } from '../../../../src/graph/passes/fold-weight-views.js';
import { freeSizes } from '../../../../src/graph/passes/free-sizes.js';
import { keepOutput } from '../../../../src/graph/passes/keep-output.js';
import { keepPaddingApart } from '../../../../src/graph/passes/keep-padding-apart.js';
import { liftConstants } from '../../../../src/graph/passes/lift-constants.js';
import { mergeActivations } from '../../../../src/graph/passes/merge-activations.js';
import { mergeMatMulAdd } from '../../../../src/graph/passes/merge-matmul-add.js';
import { nameLogits } from '../../../../src/graph/passes/name-logits.js';
import { pickShuffledChannels } from '../../../../src/graph/passes/pick-shuffled-channels.js';
import { raiseOpset } from '../../../../src/graph/passes/raise-opset.js';
import { reorderFlattenedWeight } from '../../../../src/graph/passes/reorder-flattened-weight.js';
import { reserveNames } from '../../../../src/graph/passes/reserve-names.js';
import { skipIdleViews } from '../../../../src/graph/passes/skip-idle-views.js';
import { takePlanarInput } from '../../../../src/graph/passes/take-planar-input.js';
import { transposeGemmWeight } from '../../../../src/graph/passes/transpose-gemm-weight.js';
import { widenHalf } from '../../../../src/graph/passes/widen-half.js';
import { undoStridedViews } from '../../../../src/graph/passes/undo-strided-views.js';
import { unifyGlobalPool } from '../../../../src/graph/passes/unify-global-pool.js';
import { expectClose, randomTensor, runGraph, type Value } from '../../../support/ort.js';
import { graphOf, output } from '../../../support/tiny-graphs.js';

const MAP: readonly Dim[] = [1, 3, 4, 4];
const VECTOR: readonly Dim[] = [1, 6];

const run = async (graph: Graph, x: Value): Promise<Value> => Object.values(await runGraph(graph, { x }))[0]!;
const shape = (dims: readonly Dim[]): number[] => dims.map((dim) => (typeof dim === 'number' ? dim : 2));
const ops = (graph: Graph | undefined): string[] | undefined => graph?.nodes.map(({ op }) => op);

/** The rewritten graph, which gives the same numbers, though perhaps in another shape. */
async function rewritten(graph: Graph, pass: Pass): Promise<Graph> {
  const after = applyPass(graph, pass);
  if (after === undefined) throw new Error(`${pass.name} does not match`);
  const x = randomTensor(shape(graph.inputs[0]!.dims));
  const [before, now] = [await run(graph, x), await run(after, x)];
  expectClose({ ...now, dims: before.dims }, before);
  return after;
}

const target = (b: GraphBuilder, ...sizes: number[]): string => b.constant('target', 'int64', [sizes.length], sizes);
const gemm = (
  b: GraphBuilder,
  x: string,
  dims: readonly number[],
  attributes: Record<string, Attribute> = {},
): string => b.node('Gemm', [x, b.parameter('fc.weight', dims)], { attributes });
const one = (make: (b: GraphBuilder, x: string) => string, dims: readonly Dim[] = MAP, rank = 2): Graph =>
  graphOf(dims, (b, x) => [output(make(b, x), rank)]);

const toLast = (b: GraphBuilder, x: string): string =>
  b.node('Transpose', [x], { attributes: { perm: ints(0, 2, 3, 1) } });
const toFirst = (b: GraphBuilder, x: string): string =>
  b.node('Transpose', [x], { attributes: { perm: ints(0, 3, 1, 2) } });

/** Of values that are all negative. */
function padThenPool(
  attributes: Record<string, Attribute> = {},
  between: (b: GraphBuilder, padded: string) => string = (_, padded) => padded,
  opset = 18,
): Graph {
  const pads = [0, 0, 1, 1, 0, 0, 1, 1];
  return one(
    (b, x) => {
      const negative = b.node('Sub', [x, b.constant('two', 'float32', [], [2])]);
      const padded =
        opset < 11
          ? b.node('Pad', [negative], { attributes: { pads: ints(...pads) } })
          : b.node('Pad', [negative, b.constant('pads', 'int64', [8], pads)]);
      return b.node('MaxPool', [between(b, padded)], { attributes: { kernel_shape: ints(3, 3), ...attributes } });
    },
    MAP,
    4,
  );
}

/** A number by itself. */
const of = (b: GraphBuilder, value: number): string => b.constant('number', 'float32', [], [value]);
/** Divided by the sum over these axes, of itself if nothing else is said. */
function overSum(b: GraphBuilder, terms: string, axes: number[], summed = terms): string {
  return b.node('Div', [terms, b.node('ReduceSum', [summed, b.constant('axes', 'int64', [axes.length], axes)])]);
}

const plain = one((b, x) => b.node('Relu', [x]), MAP, 4);

it.each<[Pass, Graph]>([
  [liftConstants(), plain],
  [keepOutput('relu'), plain],
  [keepOutput('absent'), plain],
  [dropIdentities(), plain],
  [dropIdentities(), one((b, x) => b.node('Identity', [x]), MAP, 4)],
  [dropOutputActivation(4), plain],
  [
    dropOutputActivation(4),
    one((b, x) => b.node('Softmax', [b.node('Relu', [x])], { attributes: { axis: int(1) } }), MAP, 4),
  ],
  [dropOutputCast(), plain],
  [takePlanarInput(), plain],
  [reserveNames(), plain],
  [castBorders(), plain],
  [widenHalf(), plain],
  [raiseOpset(4), plain],
  [raiseOpset(4), { ...one((b, x) => b.node('Upsample', [x]), MAP, 4), opset: 9 }],
  [raiseOpset(4), { ...one((b, x) => b.node('Softmax', [x], { attributes: { axis: int(1) } }), MAP, 4), opset: 11 }],
  [flattenHead(4), plain],
  [flattenHead(4), one((b, x) => b.node('Reshape', [b.node('Relu', [x]), target(b, 3, 16)]))],
  [keepPaddingApart(), plain],
  [keepPaddingApart(), padThenPool({ pads: ints(1, 1, 2, 2), strides: ints(2, 2), ceil_mode: int(1) })],
  [keepPaddingApart(), padThenPool({ pads: ints(1, 1, 1, 1) }, (b, padded) => b.node('Relu', [padded]))],
  [skipIdleViews(4), plain],
  [skipIdleViews(4), one((b, x) => b.node('Flatten', [toLast(b, x)]))],
  [skipIdleViews(4), one((b, x) => b.node('Flatten', [b.node('GlobalAveragePool', [x])]))],
  [unifyGlobalPool(4), plain],
  [unifyGlobalPool(4), one((b, x) => b.node('MaxPool', [x], { attributes: { kernel_shape: ints(4, 4) } }), MAP, 4)],
  [unifyGlobalPool(4), one((b, x) => b.node('AveragePool', [x], { attributes: { kernel_shape: ints(2, 2) } }), MAP, 4)],
  [unifyGlobalPool(4), one((b, x) => b.node('ReduceMean', [x, b.constant('axes', 'int64', [1], [2])]), MAP, 4)],
  [
    unifyGlobalPool(4),
    one(
      (b, x) => {
        const attributes = { kernel_shape: ints(5, 5), pads: ints(0, 0, 1, 1), count_include_pad: int(1) };
        return b.node('AveragePool', [x], { attributes });
      },
      MAP,
      4,
    ),
  ],
  [mergeActivations(4), plain],
  // What is summed is another value, two axes, or one of several that a softmax is over; 1 ÷ (2 + eˣ).
  [mergeActivations(4), one((b, x) => overSum(b, b.node('Relu', [x]), [1], b.node('Exp', [x])), VECTOR)],
  [mergeActivations(4), one((b, x) => overSum(b, b.node('Exp', [x]), [2, 3]), MAP, 4)],
  [mergeActivations(4), { ...one((b, x) => overSum(b, b.node('Exp', [x]), [1]), MAP, 4), opset: 12 }],
  [mergeActivations(4), one((b, x) => b.node('Reciprocal', [b.node('Add', [b.node('Exp', [x]), of(b, 2)])]), VECTOR)],
  [mergeMatMulAdd(4), one((b, x) => b.node('MatMul', [x, b.parameter('w.weight', [4, 5])]), MAP, 4)],
  [transposeGemmWeight(), one((b, x) => gemm(b, x, [5, 6], { transB: int(1) }), VECTOR)],
  [reorderFlattenedWeight(4), one((b, x) => gemm(b, b.node('Flatten', [x]), [48, 5]))],
  [convolutionalizeGlobalPool(), one((b, x) => b.node('GlobalAveragePool', [x]), MAP, 4)],
  [freeSizes(4), plain],
])('%o does not match what it is not for', (pass, graph) => {
  expect(applyPass(graph, pass)).toBeUndefined();
});

describe('liftConstants', () => {
  it('makes initializers of every kind of Constant', async () => {
    const tensor = { type: 'tensor', value: inlineConstant('t', 'float32', [6], [1, 2, 3, 4, 5, 6]) } as const;
    const graph = one((b, x) => {
      const values: Record<string, Attribute>[] = [
        { value: tensor },
        { value_float: float(2) },
        { value_floats: { type: 'floats', value: [3] } },
      ];
      const sum = values.reduce((y, attributes) => b.node('Add', [y, b.node('Constant', [], { attributes })]), x);
      const sizes = b.node('Constant', [], { attributes: { value_ints: ints(1, 6) } });
      return b.node('Reshape', [sum, sizes]);
    }, VECTOR);
    expect(ops(await rewritten(graph, liftConstants()))).toEqual(['Add', 'Add', 'Add', 'Reshape']);
  });
});

describe('keepOutput', () => {
  it('leaves out auxiliary outputs and what only they need', async () => {
    const graph = graphOf(VECTOR, (b, x) => {
      const y = b.node('Relu', [x]);
      return [output(y, 2), output(b.node('Add', [x, b.parameter('aux.weight', [1, 6])]), 2)];
    });
    const kept = await rewritten(graph, keepOutput('relu'));
    expect([ops(kept), kept.initializers.size]).toEqual([['Relu'], 0]);
  });
});

describe('dropIdentities', () => {
  it('takes out Dropout and Identity, in the middle and at the output', async () => {
    const graph = one((b, x) => b.node('Identity', [b.node('Relu', [b.node('Dropout', [x])])]), VECTOR);
    const dropped = await rewritten(graph, dropIdentities());
    expect([ops(dropped), dropped.outputs]).toEqual([['Relu'], graph.outputs]);
  });

  it('leaves a Dropout whose mask is read', () => {
    const graph = graphOf(VECTOR, (b, x) => {
      const [y = '', mask = ''] = b.nodes('Dropout', [x], 2);
      return [output(y, 2), output(mask, 2, 'bool')];
    });
    expect(applyPass(graph, dropIdentities())).toBeUndefined();
  });
});

describe('dropOutputActivation', () => {
  const softmax = ({ dims, data }: Value): Value => {
    const terms = Array.from(data, Number).map(Math.exp);
    const sum = terms.reduce((total, term) => total + term, 0);
    return { dims, data: Float32Array.from(terms, (term) => term / sum) };
  };

  it.each([
    ['Softmax', 11, 2],
    ['Softmax', 13, 2],
    ['LogSoftmax', 18, 2],
    ['Softmax', 7, 4],
  ])('leaves out %s of opset %i over rank %i: the same probabilities', async (op, opset, rank) => {
    const graph = {
      ...one(
        (b, x) => {
          const z = b.node('Relu', [x]);
          const y = b.node(op, [rank === 4 ? b.node('GlobalAveragePool', [z]) : z], { attributes: { axis: int(1) } });
          return rank === 4 ? b.node('Flatten', [y]) : y;
        },
        rank === 4 ? MAP : VECTOR,
      ),
      opset,
    };
    const without = applyPass(graph, dropOutputActivation(4))!;
    const x = randomTensor(shape(graph.inputs[0]!.dims));
    const logits = await run(without, x);
    const expected = await run(graph, x);
    expectClose(softmax(logits), op === 'Softmax' ? expected : softmax(expected));
    expect(ops(without)).not.toContain(op);
    expect(outputActivation(graph, 4)).toBe(op === 'Softmax' ? 'softmax' : 'log-softmax');
  });

  const sigmoid = ({ dims, data }: Value): Value => {
    return { dims, data: Float32Array.from(Array.from(data, Number), (value) => 1 / (1 + Math.exp(-value))) };
  };

  it('leaves out a Sigmoid, with the Clip behind it', async () => {
    const graph = one((b, x) => {
      const bounds = [b.constant('low', 'float32', [], [1e-7]), b.constant('high', 'float32', [], [1 - 1e-7])];
      return b.node('Clip', [b.node('Sigmoid', [b.node('Tanh', [x])]), ...bounds]);
    }, VECTOR);
    const without = applyPass(graph, dropOutputActivation(4))!;
    const x = randomTensor(shape(graph.inputs[0]!.dims));
    expectClose(sigmoid(await run(without, x)), await run(graph, x));
    expect(ops(without)).toEqual(['Tanh']);
    expect(outputActivation(graph, 4)).toBe('sigmoid');
  });

  it('leaves a Clip that cuts probabilities, and a Sigmoid that is no output', () => {
    const cut = one((b, x) => {
      const bounds = [b.constant('low', 'float32', [], [0.1]), b.constant('high', 'float32', [], [0.9])];
      return b.node('Clip', [b.node('Sigmoid', [x]), ...bounds]);
    }, VECTOR);
    const gate = one((b, x) => b.node('Mul', [x, b.node('Sigmoid', [x])]), VECTOR);
    for (const graph of [cut, gate]) {
      expect(applyPass(graph, dropOutputActivation(4))).toBeUndefined();
      expect(outputActivation(graph, 4)).toBeUndefined();
    }
  });

  it('leaves out the rounding of a softmax', async () => {
    const graph = one((b, x) => {
      const scale = b.constant('scale', 'float32', [], [1 / 255]);
      const zero = b.node('Cast', [b.constant('zero', 'int64', [], [0])], { attributes: { to: int(2) } });
      const rounded = b.node('QuantizeLinear', [
        b.node('Softmax', [b.node('Relu', [x])], { attributes: { axis: int(1) } }),
        scale,
        zero,
      ]);
      return b.node('DequantizeLinear', [rounded, scale, zero]);
    }, VECTOR);
    const without = applyPass(graph, dropOutputActivation(4))!;
    const x = randomTensor(shape(graph.inputs[0]!.dims));
    expect(ops(without)).toEqual(['Relu']);
    const exact = softmax(await run(without, x));
    (await run(graph, x)).data.forEach((value, index) =>
      expect(Math.abs(Number(value) - Number(exact.data[index]))).toBeLessThan(1 / 255),
    );
  });
});

describe('mergeActivations', () => {
  const reduced = (b: GraphBuilder, op: string, x: string, keepdims = 1): string =>
    b.node(op, [x, b.constant('axis', 'int64', [1], [-1])], { attributes: { keepdims: int(keepdims) } });
  const negated = (b: GraphBuilder, x: string): string => b.node('Exp', [b.node('Neg', [x])]);

  it.each<[string, string, (b: GraphBuilder, x: string) => string]>([
    ['a softmax', 'Softmax', (b, x) => overSum(b, b.node('Exp', [x]), [1])],
    [
      'a softmax of what is shifted by the largest',
      'Softmax',
      (b, x) => overSum(b, b.node('Exp', [b.node('Sub', [x, reduced(b, 'ReduceMax', x)])]), [-1]),
    ],
    [
      'a softmax whose sum loses its axis and gets it again',
      'Softmax',
      (b, x) => {
        const terms = b.node('Exp', [x]);
        const sum = b.node('Unsqueeze', [reduced(b, 'ReduceSum', terms, 0), b.constant('axis', 'int64', [1], [1])]);
        return b.node('Mul', [b.node('Reciprocal', [sum]), terms]);
      },
    ],
    [
      'the exponentials of a logarithm of a softmax',
      'Softmax',
      (b, x) => b.node('Exp', [b.node('LogSoftmax', [x], { attributes: { axis: int(1) } })]),
    ],
    ['a sigmoid', 'Sigmoid', (b, x) => b.node('Div', [of(b, 1), b.node('Add', [of(b, 1), negated(b, x)])])],
    [
      'a sigmoid by a reciprocal',
      'Sigmoid',
      (b, x) => {
        const exponential = b.node('Exp', [b.node('Mul', [x, of(b, -1)])]);
        return b.node('Mul', [b.node('Reciprocal', [b.node('Add', [exponential, of(b, 1)])]), of(b, 1)]);
      },
    ],
  ])('makes one node of %s, and the classifier ends in it', async (_, op, build) => {
    const graph = one((b, x) => b.node('Identity', [build(b, b.node('Tanh', [x]))]), VECTOR);
    const merged = await rewritten(graph, mergeActivations(4));
    expect(ops(merged)).toEqual(['Tanh', op, 'Identity']);
    expect(outputActivation(merged, 4)).toBe(op.toLowerCase());
    expect(ops(applyPass(merged, dropOutputActivation(4)))).toEqual(['Tanh', 'Identity']);
  });

  it('takes other shifts than the largest, and leaves those that differ from class to class', async () => {
    const shifted = (dims: number[]) =>
      one((b, x) => overSum(b, b.node('Exp', [b.node('Sub', [x, b.parameter('shift.weight', dims)])]), [1]), VECTOR);
    expect(ops(await rewritten(shifted([1, 1]), mergeActivations(4)))).toEqual(['Softmax']);
    expect(ops(await rewritten(shifted([1, 6]), mergeActivations(4)))).toEqual(['Sub', 'Softmax']);
  });
});

describe('half-precision borders', () => {
  const half = (): Graph => {
    const graph = one((b, x) => b.node('Mul', [x, b.parameter('w.weight', [1, 6])], { output: 'y' }), VECTOR);
    const initializers = new Map([
      ['w.weight', inlineConstant('w.weight', 'float16', [1, 6], [1, -2, 0.5, 3, 0, 1e-5])],
    ]);
    const typed = (values: Graph['inputs']) => values.map((value) => ({ ...value, dataType: 'float16' as const }));
    return { ...graph, initializers, inputs: typed(graph.inputs), outputs: typed(graph.outputs) };
  };

  it('are float32 after castBorders', async () => {
    const cast = applyPass(half(), castBorders())!;
    expect(ops(cast)).toEqual(['Cast', 'Mul', 'Cast']);
    const y = await run(cast, { dims: [1, 6], data: Float32Array.of(1, 2, 4, -8, 16, 1) });
    expectClose(y, { dims: [1, 6], data: Float32Array.of(1, -4, 2, -24, 0, 1e-5) }, 1e-2, 1e-7);
  });

  it('are float32 after widenHalf, and so is everything between them', async () => {
    const widened = applyPass(half(), widenHalf())!;
    expect(ops(widened)).toEqual(['Mul']);
    const y = await run(widened, { dims: [1, 6], data: Float32Array.of(1, 2, 4, -8, 16, 1) });
    expectClose(y, { dims: [1, 6], data: Float32Array.of(1, -4, 2, -24, 0, 1e-5) }, 1e-2, 1e-7);
    const cast = applyPass(applyPass(half(), castBorders())!, widenHalf())!;
    expectClose(await run(cast, randomTensor([1, 6])), await run(widened, randomTensor([1, 6])));
    expect(applyPass(widened, widenHalf())).toBeUndefined();
  });

  it('stay in their file where they are weights', () => {
    const data = { kind: 'external', file: 'w.bin', offset: 4, length: 12 } as const;
    const weight = { name: 'w.weight', dataType: 'float16', dims: [1, 6], data } as const;
    const widened = applyPass({ ...half(), initializers: new Map([['w.weight', weight]]) }, widenHalf())!;
    const expected = { ...weight, dataType: 'float32', data: { ...data, storedAs: 'float16' } };
    expect(widened.initializers.get('w.weight')).toEqual(expected);
  });

  it('have no Cast at the output after dropOutputCast', () => {
    const cast = applyPass(half(), castBorders())!;
    const dropped = applyPass(cast, dropOutputCast())!;
    expect(ops(dropped)).toEqual(['Cast', 'Mul']);
    expect(dropped.outputs).toMatchObject([{ name: 'y', dataType: 'float16' }]);
  });
});

describe('dropIdentityCasts', () => {
  const cast = (b: GraphBuilder, x: string, to: number): string => b.node('Cast', [x], { attributes: { to: int(to) } });

  it('takes out Casts from float32 to float32, of values and of weights', async () => {
    const graph = one((b, x) => {
      const product = b.node('MatMul', [cast(b, x, 1), cast(b, b.parameter('fc.weight', [6, 5]), 1)]);
      return cast(b, b.node('Relu', [product]), 1);
    }, VECTOR);
    expect(ops(await rewritten(graph, dropIdentityCasts()))).toEqual(['MatMul', 'Relu']);
  });

  it('leaves Casts that change the type, or whose type is not known', () => {
    const graph = one((b, x) => cast(b, b.node('Floor', [cast(b, x, 11)]), 1), VECTOR);
    expect(applyPass(graph, dropIdentityCasts())).toBeUndefined();
  });
});

describe('takePlanarInput', () => {
  it('puts a Transpose before a net with channels last', async () => {
    const graph = one((b, x) => b.node('Relu', [x]), [1, 4, 4, 3], 4);
    const planar = applyPass(graph, takePlanarInput())!;
    expect(planar.inputs[0]!.dims).toEqual([1, 3, 4, 4]);
    const x = randomTensor([1, 4, 4, 3]);
    const moved = Float32Array.from({ length: 48 }, (_, i) => Number(x.data[(i % 16) * 3 + Math.floor(i / 16)]));
    expectClose(await run(planar, { dims: [1, 3, 4, 4], data: moved }), await run(graph, x));
  });
});

describe('reserveNames', () => {
  it('renames values and nodes that are called as those of other passes', async () => {
    const graph = one((b, x) => b.node('Relu', [b.node('Relu', [x], { name: 'logits' })], { output: 'image' }), VECTOR);
    const renamed = await rewritten(graph, reserveNames());
    expect(renamed.nodes.map(({ name }) => name)).toEqual(['net.logits', 'relu']);
    expect(renamed.outputs[0]!.name).toBe('net.image');
  });
});

describe('nameLogits', () => {
  it('renames a matrix, and flattens a map of one cell', async () => {
    const matrix = await rewritten(
      one((b, x) => b.node('Relu', [x]), VECTOR),
      nameLogits(6, 2),
    );
    expect([ops(matrix), matrix.outputs[0]!.name]).toEqual([['Relu'], 'logits']);
    const map = await rewritten(
      one((b, x) => b.node('GlobalAveragePool', [x]), MAP, 4),
      nameLogits(3, 4),
    );
    expect(ops(map)).toEqual(['GlobalAveragePool', 'Flatten']);
    expect(map.outputs).toEqual([{ name: 'logits', dataType: 'float32', dims: ['globalaveragepool.0', 3] }]);
  });
});

describe('raiseOpset', () => {
  const old = (opset: number, make: (b: GraphBuilder, x: string) => string, rank = 4): Graph => ({
    ...one(make, MAP, rank),
    opset,
  });

  it.each<[string, Graph]>([
    ['Clip', old(7, (b, x) => b.node('Clip', [x], { attributes: { max: float(0.5) } }))],
    [
      'Pad',
      old(7, (b, x) => b.node('Pad', [x], { attributes: { pads: ints(0, 0, 1, 0, 0, 0, 2, 1), value: float(3) } })),
    ],
    [
      'Slice',
      old(7, (b, x) => b.node('Slice', [x], { attributes: { starts: ints(1), ends: ints(3), axes: ints(2) } })),
    ],
    ['Squeeze', old(11, (b, x) => b.node('Squeeze', [x], { attributes: { axes: ints(0) } }), 3)],
    ['Unsqueeze', old(7, (b, x) => b.node('Unsqueeze', [x], { attributes: { axes: ints(0) } }), 5)],
    ['ReduceMean', old(13, (b, x) => b.node('ReduceMean', [x], { attributes: { axes: ints(2, 3) } }))],
    ['ReduceSum', old(7, (b, x) => b.node('ReduceSum', [x], { attributes: { axes: ints(1), keepdims: int(1) } }))],
    ['Split', old(7, (b, x) => b.nodes('Split', [x], 2, { attributes: { axis: int(2) } })[1]!)],
    ['Split', old(11, (b, x) => b.nodes('Split', [x], 2, { attributes: { axis: int(2), split: ints(1, 3) } })[1]!)],
    ['TopK', old(7, (b, x) => b.nodes('TopK', [x], 2, { attributes: { k: int(2) } })[0]!)],
    ['Softmax', old(7, (b, x) => b.node('Softmax', [x], { attributes: { axis: int(3) } }))],
    [
      'BatchNormalization',
      old(7, (b, x) => {
        const parameters = ['weight', 'bias', 'running_mean', 'running_var'].map((name) =>
          b.parameter(`bn.${name}`, [3]),
        );
        return b.node('BatchNormalization', [x, ...parameters]);
      }),
    ],
    [
      'BatchNormalization in training mode',
      old(17, (b, x) => {
        const parameters = ['weight', 'bias', 'running_mean', 'running_var'].map((name) =>
          b.parameter(`bn.${name}`, [3]),
        );
        return b.nodes('BatchNormalization', [x, ...parameters], 3, { attributes: { training_mode: int(1) } })[0]!;
      }),
    ],
  ])('says %s in the newer form', async (_, graph) => {
    expect((await rewritten(graph, raiseOpset(4))).opset).toBe(18);
  });
});

describe('flattenHead', () => {
  it.each<[string, Graph, string[]]>([
    ['a constant target', one((b, x) => b.node('Reshape', [x, target(b, 1, 48)])), ['Flatten']],
    ['a target with -1', one((b, x) => b.node('Reshape', [x, target(b, -1, 48)]), ['N', 3, 4, 4]), ['Flatten']],
    [
      'a Squeeze',
      one((b, x) => b.node('Squeeze', [b.node('GlobalAveragePool', [x]), b.constant('axes', 'int64', [2], [2, 3])])),
      ['GlobalAveragePool', 'Flatten'],
    ],
    ['what is flat already', one((b, x) => b.node('Flatten', [b.node('Relu', [x])]), VECTOR), ['Relu']],
  ])('makes one Flatten, or none, of %s', async (_, graph, expected) => {
    expect(ops(await rewritten(graph, flattenHead(4)))).toEqual(expected);
  });
});

it.each<[string, (b: GraphBuilder, padded: string) => string]>([
  ['right before', (_, padded) => padded],
  ['before an Identity and', (b, padded) => b.node('Identity', [padded])],
  ['before two Transposes and', (b, padded) => toFirst(b, toLast(b, padded))],
])('keepPaddingApart makes the engine count zeros that were padded %s a max pooling', async (_, between) => {
  const graph = padThenPool({ pads: ints(0, 0, 0, 0) }, between);
  const x = randomTensor(shape(MAP));
  const asWritten = await runGraph(graph, { x }, { optimization: 'disabled' });
  const guarded = applyPass(graph, keepPaddingApart())!;
  expectClose(await run(guarded, x), Object.values(asWritten)[0]);
});

describe.each([10, 18])('keepPaddingApart in operator set %s', (opset) => {
  it.each<[string, Record<string, Attribute>]>([
    ['padding of its own', { pads: ints(1, 1, 1, 1) }],
    ['uneven padding and a stride', { pads: ints(0, 0, 1, 1), strides: ints(2, 2) }],
    ['a last, partial window', { ceil_mode: int(1), strides: ints(2, 2) }],
    ['both', { pads: ints(1, 1, 0, 0), strides: ints(3, 3), kernel_shape: ints(4, 4), ceil_mode: int(1) }],
  ])('keeps the zeros in front of a max pooling with %s', async (_, attributes) => {
    const made = padThenPool(attributes, undefined, opset);
    const graph = { ...made, opset, inputs: [{ ...made.inputs[0]!, dims: ['N', 3, 'H', 'W'] }] };
    const guarded = applyPass(graph, keepPaddingApart())!;
    for (const side of [4, 5, 6, 7]) {
      const x = randomTensor([1, 3, side, side + 1]);
      const asWritten = await runGraph(graph, { x }, { optimization: 'disabled' });
      expectClose(Object.values(await runGraph(guarded, { x }))[0], Object.values(asWritten)[0]);
    }
  });
});

describe('skipIdleViews', () => {
  const pooled = (b: GraphBuilder, x: string): string => b.node('GlobalAveragePool', [x]);
  const gated = (b: GraphBuilder, gate: string): string => b.node('Sigmoid', [gate]);

  it.each<[string, Graph, string[]]>([
    [
      'a vector made a map of one cell again, channels last in between',
      one(
        (b, x) => gated(b, toFirst(b, b.node('Reshape', [b.node('Flatten', [pooled(b, x)]), target(b, 0, 1, 1, 3)]))),
        MAP,
        4,
      ),
      ['GlobalAveragePool', 'Sigmoid'],
    ],
    [
      'a squeezed vector that is unsqueezed again',
      one(
        (b, x) => {
          const axes = b.constant('axes', 'int64', [2], [2, 3]);
          return gated(b, b.node('Unsqueeze', [b.node('Squeeze', [pooled(b, x), axes]), axes]));
        },
        MAP,
        4,
      ),
      ['GlobalAveragePool', 'Sigmoid'],
    ],
    [
      'one cell flattened with its channels last',
      one((b, x) => b.node('Flatten', [toLast(b, pooled(b, x))])),
      ['GlobalAveragePool', 'Flatten'],
    ],
    [
      'one cell reshaped with its channels last',
      one((b, x) => b.node('Reshape', [toLast(b, pooled(b, x)), target(b, 0, 3)])),
      ['GlobalAveragePool', 'Flatten'],
    ],
  ])('leaves out %s', async (_, graph, expected) => {
    expect(ops(await rewritten(graph, skipIdleViews(4)))).toEqual(expected);
  });
});

describe('undoStridedViews', () => {
  /** A view of a pooled map as torch's exporter writes it; `order` are its indices. */
  const viewed = (order: readonly number[], dims: readonly number[]): Graph =>
    one((b, x) => {
      const pooled = b.node('GlobalAveragePool', [x]);
      const flat = b.node('Reshape', [pooled, b.constant('all', 'int64', [1], [-1])]);
      const seen = b.node('Gather', [flat, b.constant('order', 'int64', dims, order)], {
        attributes: { axis: int(0) },
      });
      return b.node('Reshape', [seen, target(b, 1, 3)]);
    });

  it('leaves out one that shows all numbers in their order', async () => {
    const after = await rewritten(viewed([0, 1, 2], [1, 3, 1, 1]), undoStridedViews(4));
    expect(ops(after)).toEqual(['GlobalAveragePool', 'Identity', 'Reshape']);
  });

  it.each<[string, number[], number[]]>([
    ['in another order', [0, 2, 1], [1, 3, 1, 1]],
    ['in another shape', [0, 1, 2], [1, 1, 1, 3]],
  ])('leaves one that shows them %s', (_, order, dims) => {
    expect(applyPass(viewed(order, dims), undoStridedViews(4))).toBeUndefined();
  });
});

describe('unifyGlobalPool', () => {
  it.each<[string, Graph, string[]]>([
    [
      'ReduceMean that keeps its axes',
      one((b, x) => b.node('ReduceMean', [x, b.constant('axes', 'int64', [2], [-1, -2])]), MAP, 4),
      ['GlobalAveragePool'],
    ],
    [
      'AveragePool over the whole map',
      one((b, x) => b.node('AveragePool', [x], { attributes: { kernel_shape: ints(4, 4) } }), MAP, 4),
      ['GlobalAveragePool'],
    ],
    [
      'AveragePool over the whole map and padding that does not count',
      one(
        (b, x) => b.node('AveragePool', [x], { attributes: { kernel_shape: ints(5, 5), pads: ints(0, 0, 1, 1) } }),
        MAP,
        4,
      ),
      ['GlobalAveragePool'],
    ],
    [
      'ReduceMean over channels last',
      one((b, x) => {
        const last = b.node('Transpose', [x], { attributes: { perm: ints(0, 2, 3, 1) } });
        const axes = b.constant('axes', 'int64', [2], [1, 2]);
        return b.node('ReduceMean', [last, axes], { attributes: { keepdims: int(0) } });
      }),
      ['GlobalAveragePool', 'Flatten'],
    ],
    [
      'a mean, and GlobalMaxPool of a MaxPool over the whole map beside it',
      one(
        (b, x) => {
          const attributes = { kernel_shape: ints(4, 4), strides: ints(4, 4) };
          return b.node(
            'Add',
            ['GlobalAveragePool', 'MaxPool'].map((op) => b.node(op, [x], op === 'MaxPool' ? { attributes } : {})),
          );
        },
        MAP,
        4,
      ),
      ['GlobalAveragePool', 'GlobalMaxPool', 'Add'],
    ],
  ])('makes a global pooling of %s', async (_, graph, expected) => {
    expect(ops(await rewritten(graph, unifyGlobalPool(4)))).toEqual(expected);
  });
});

describe('mergeMatMulAdd and transposeGemmWeight', () => {
  it('make one Gemm with the weight [O, I]', async () => {
    const graph = one((b, x) => {
      const product = b.node('MatMul', [x, b.parameter('fc.weight', [6, 5])]);
      return b.node('Add', [b.parameter('fc.bias', [1, 5]), product]);
    }, VECTOR);
    const merged = await rewritten(graph, mergeMatMulAdd(4));
    expect(ops(merged)).toEqual(['Gemm']);
    const transposed = await rewritten(merged, transposeGemmWeight());
    expect(transposed.initializers.get('fc.weight')!.dims).toEqual([5, 6]);
    expect(applyPass(transposed, transposeGemmWeight())).toBeUndefined();
  });
});

describe('reorderFlattenedWeight', () => {
  it.each([
    ['[I, O]', [48, 5], {}],
    ['[O, I]', [5, 48], { transB: int(1) }],
  ])('flattens channels first with the weight %s', async (_, dims, attributes) => {
    const graph = one((b, x) => {
      const last = b.node('Transpose', [x], { attributes: { perm: ints(0, 2, 3, 1) } });
      return gemm(b, b.node('Flatten', [last]), dims, attributes);
    });
    expect(ops(await rewritten(graph, reorderFlattenedWeight(4)))).toEqual(['Flatten', 'Gemm']);
  });
});

describe('foldWeightViews', () => {
  it('gives a weight the form in which it is used', async () => {
    const graph = one((b, x) => {
      const wide = b.node('Reshape', [b.parameter('fc.weight', [5, 6, 1, 1]), target(b, 5, 6)]);
      const turned = b.node('Transpose', [wide], { attributes: { perm: ints(1, 0) } });
      const bias = b.node('Unsqueeze', [b.parameter('fc.bias', [5]), b.constant('axes', 'int64', [1], [0])]);
      return b.node('Add', [b.node('MatMul', [x, turned]), bias]);
    }, VECTOR);
    const folded = await rewritten(graph, foldWeightViews(4));
    expect(ops(folded)).toEqual(['MatMul', 'Add']);
    expect([...folded.initializers.values()].map(({ dims }) => dims)).toEqual([
      [6, 5],
      [1, 5],
    ]);
  });

  it('does not match what is computed from the image', () => {
    const graph = one((b, x) => b.node('Reshape', [x, target(b, 1, 48)]));
    expect(applyPass(graph, foldWeightViews(4))).toBeUndefined();
  });
});

describe('pickShuffledChannels', () => {
  const shuffle = (perm: readonly number[]): Graph =>
    one(
      (b, x) => {
        const groups = b.node('Reshape', [x, target(b, 1, 2, 3, 4, 4)]);
        const swapped = b.node('Transpose', [groups], { attributes: { perm: ints(...perm) } });
        return b.node('Reshape', [swapped, target(b, 1, 6, 4, 4)]);
      },
      [1, 6, 4, 4],
      4,
    );

  it('makes one Gather of a shuffle', async () => {
    const picked = await rewritten(shuffle([0, 2, 1, 3, 4]), pickShuffledChannels(4));
    expect(ops(picked)).toEqual(['Gather']);
  });

  it('does not match another transposition', () => {
    expect(applyPass(shuffle([0, 2, 1, 4, 3]), pickShuffledChannels(4))).toBeUndefined();
  });
});

describe('freeSizes', () => {
  // torch.export writes allowzero everywhere: it says that a 0 in the target is a size.
  it.each([0, 1])('lets a net made for one image take any batch and size, with allowzero=%i', async (allowzero) => {
    const graph = one((b, x) => {
      const scaled = b.node('GlobalAveragePool', [b.node('Relu', [x])]);
      return b.node('Reshape', [scaled, target(b, 1, 3)], { attributes: { allowzero: int(allowzero) } });
    });
    const free = await rewritten(graph, freeSizes(4));
    expect((await run(free, randomTensor([2, 3, 7, 5]))).dims).toEqual([2, 3]);
    expect(applyPass(free, freeSizes(4))).toBeUndefined();
  });
});
