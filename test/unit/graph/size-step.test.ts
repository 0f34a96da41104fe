import { describe, expect, it } from 'vitest';
import { ints } from '../../../src/graph/attributes.js';
import type { Graph } from '../../../src/graph/graph.js';
import { sizeStepOf, whyNoStep, whySizesDisagree } from '../../../src/graph/size-step.js';
import { graphOf, output, tinyResNet } from '../../support/tiny-graphs.js';

/** A convolution of stride 2 with padding on all sides, beside a pooling that is padded behind only. */
const branches = (times: number): Graph =>
  graphOf(['N', 3, 'H', 'W'], (b, x) => {
    let value = x;
    for (let stage = 0; stage < times; stage += 1) {
      const strides = ints(2, 2);
      const weight = b.parameter(`w${stage}`, [3, 3, 3, 3]);
      const convolved = b.node('Conv', [value, weight], { attributes: { strides, pads: ints(1, 1, 1, 1) } });
      const window = { kernel_shape: ints(3, 3), strides, pads: ints(0, 0, 1, 1) };
      value = b.node('Add', [convolved, b.node('MaxPool', [value], { attributes: window })]);
    }
    return [output(value)];
  });

describe('the sizes that a net takes', () => {
  it.each([
    [0, 1],
    [1, 2],
    [2, 4],
    [3, 8],
  ])('are multiples of a step, with %d such stages', (times, step) => {
    const graph = times === 0 ? tinyResNet() : branches(times);
    expect(sizeStepOf(graph, 64)).toBe(step);
    expect(sizeStepOf(graph, { height: 32, width: 64 })).toBe(step);
  });

  it('are told why not, with the node', () => {
    expect(sizeStepOf(branches(7), 64)).toBeUndefined();
    expect(whyNoStep(branches(7), 64)).toMatch(/node ".*" \(Add\): the sizes disagree/);
    expect(whySizesDisagree(branches(1), { height: 64, width: 64 })).toBeUndefined();
    expect(whySizesDisagree(branches(1), { height: 64, width: 33 })).toMatch(/\(Add\): the sizes disagree/);
  });
});
