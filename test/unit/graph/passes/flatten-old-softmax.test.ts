import { expect, it } from 'vitest';
import { int } from '../../../../src/graph/attributes.js';
import type { Graph } from '../../../../src/graph/graph.js';
import { flattenOldSoftmax } from '../../../../src/graph/passes/flatten-old-softmax.js';
import { verifyGraph } from '../../../../src/graph/verify.js';
import { expectClose, randomTensor, runGraph } from '../../../support/ort.js';
import { graphOf } from '../../../support/tiny-graphs.js';

const softmax = (op: string, opset: number, axis?: number): Graph => ({
  ...graphOf([2, 3, 4, 5], (b, x) => b.node(op, [x], axis === undefined ? {} : { attributes: { axis: int(axis) } })),
  opset,
});

it.each(['Softmax', 'LogSoftmax'].flatMap((op) => [undefined, 0, 1, 2, 3].map((axis) => [op, axis] as const)))(
  '%s of an old operator set over all axes from %s on is the same in nodes',
  async (op, axis) => {
    const before = softmax(op, 11, axis);
    const after = flattenOldSoftmax().apply(before)!;
    verifyGraph(after);
    expect(after.nodes.map((node) => node.op)).toEqual(['Shape', 'Flatten', op, 'Reshape']);
    const x = randomTensor([2, 3, 4, 5]);
    const [expected, found] = await Promise.all([runGraph(before, { x }), runGraph(after, { x })]);
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected)) expectClose(found[name], value);
  },
);

it('leaves newer operator sets alone, and graphs without a softmax', () => {
  expect(flattenOldSoftmax().apply(softmax('Softmax', 13, 1))).toBeUndefined();
  expect(flattenOldSoftmax().apply({ ...graphOf([1, 3], (b, x) => b.node('Relu', [x])), opset: 11 })).toBeUndefined();
});
