import { describe, expect, it } from 'vitest';
import { ints } from '../../../../src/graph/attributes.js';
import { mapGeometry } from '../../../../src/graph/geometry.js';
import type { Attribute, Graph } from '../../../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { reduceOutputStride } from '../../../../src/graph/passes/reduce-output-stride.js';
import { resolveAutoPadding } from '../../../../src/graph/passes/resolve-auto-padding.js';
import { everyCell, expectClose, randomTensor, relativeError, runGraph, type Value } from '../../../support/ort.js';
import { graphOf, output } from '../../../support/tiny-graphs.js';

const text = (value: string): Attribute => ({ type: 'string', value });

/** Three windows that pad by the size of what they see, of stride 2, and one of stride 1. */
function net(mode: 'SAME_UPPER' | 'SAME_LOWER', pooling: 'MaxPool' | 'AveragePool', countsPadding = 0): Graph {
  const auto_pad = text(mode);
  return graphOf(['N', 3, 'H', 'W'], (b, x) => {
    const conv = (from: string, name: string, kernel: number, stride: number): string =>
      b.node('Conv', [from, b.parameter(`${name}.weight`, [3, 3, kernel, kernel])], {
        attributes: { strides: ints(stride, stride), auto_pad },
      });
    const counts = { count_include_pad: { type: 'int', value: countsPadding } } as const;
    let y = conv(x, 'a', 3, 2);
    y = b.node(pooling, [y], {
      attributes: {
        kernel_shape: ints(3, 3),
        strides: ints(2, 2),
        auto_pad,
        ...(pooling === 'AveragePool' ? counts : {}),
      },
    });
    y = conv(conv(y, 'b', 1, 2), 'c', 4, 1);
    return [{ ...output(y), dims: ['N', 3, 'h', 'w'] }];
  });
}

const mapOf = async (graph: Graph, x: Value): Promise<Value> => (await runGraph(graph, { x }))[graph.outputs[0]!.name]!;

describe.each(['SAME_UPPER', 'SAME_LOWER'] as const)('%s', (mode) => {
  it.each([
    ['MaxPool', 32, 0],
    ['MaxPool', 35, 0],
    ['AveragePool', 32, 0],
    ['AveragePool', 37, 0],
    ['AveragePool', 38, 1],
  ] as const)('is equal at the native size, and has as many cells at any: %s, %s', async (pooling, native, counts) => {
    const graph = net(mode, pooling, counts);
    const resolved = applyPasses(graph, [resolveAutoPadding(native)]);
    const x = randomTensor([1, 3, native, native]);
    expectClose(await mapOf(resolved, x), await mapOf(graph, x));
    for (const [height, width] of [
      [native + 1, native + 2],
      [native + 3, 2 * native],
    ] as const) {
      const larger = randomTensor([1, 3, height, width]);
      expect((await mapOf(resolved, larger)).dims).toEqual((await mapOf(graph, larger)).dims);
    }
  });

  it('leaves a finer map exact at every size, not only at multiples of the stride', async () => {
    const coarse = applyPasses(net(mode, 'MaxPool'), [resolveAutoPadding(32)]);
    expect(mapGeometry(coarse, coarse.outputs[0]!.name).outputStride).toBe(8);
    for (const rate of [2, 4, 8]) {
      const fine = applyPasses(coarse, [reduceOutputStride(8 / rate)]);
      for (const [height, width] of [
        [40, 41],
        [43, 46],
        [37, 39],
      ] as const) {
        const x = randomTensor([1, 3, height, width]);
        const [expected, actual] = [await mapOf(coarse, x), everyCell(rate, await mapOf(fine, x))];
        expect(actual.dims).toEqual(expected.dims);
        expect(relativeError(actual.data, expected.data)).toBeLessThan(1e-5);
      }
    }
  });
});

it('does not match padding that is given by numbers, nor a pooling that would need more than its kernel', () => {
  const pool = (attributes: Record<string, Attribute>): Graph =>
    graphOf(['N', 3, 'H', 'W'], (b, x) => [
      output(b.node('MaxPool', [x], { attributes: { kernel_shape: ints(2, 2), ...attributes } })),
    ]);
  expect(applyPass(pool({ pads: ints(1, 1, 0, 0) }), resolveAutoPadding(32))).toBeUndefined();
  expect(applyPass(pool({ auto_pad: text('VALID') }), resolveAutoPadding(32))).toBeUndefined();
  expect(
    applyPass(pool({ auto_pad: text('SAME_UPPER'), dilations: ints(5, 5) }), resolveAutoPadding(32)),
  ).toBeUndefined();
  expect(applyPass(pool({ auto_pad: text('SAME_UPPER') }), resolveAutoPadding(32))).toBeDefined();
});
