import { describe, expect, it } from 'vitest';
import { dominatorsOf } from '../../../src/graph/dominators.js';
import { graphOf } from '../../support/tiny-graphs.js';

/** x → a → (b, c → d) → sum → end; a size of x and a constant beside it. */
const graph = graphOf(['N', 2], (b, x) => {
  const a = b.node('Relu', [x], { name: 'a' });
  const left = b.node('Abs', [a], { name: 'b' });
  const right = b.node('Neg', [b.node('Tanh', [a], { name: 'c' })], { name: 'd' });
  const scaled = b.node('Mul', [right, b.constant('two', 'float32', [], [2])], { name: 'scaled' });
  b.node('Shape', [x], { name: 'size' });
  b.node('Add', [left, scaled], { name: 'sum' });
  return b.node('Reshape', ['sum', 'size'], { name: 'end' });
});

describe('dominators', () => {
  const dominators = dominatorsOf(graph);

  it('are what every path passes through', () => {
    expect(['x', 'a', 'sum', 'end'].every((name) => dominators.dominates(name, 'end'))).toBe(true);
    expect(['b', 'c', 'd', 'scaled'].some((name) => dominators.dominates(name, 'end'))).toBe(false);
    expect(dominators.dominates('c', 'scaled')).toBe(true);
    expect(dominators.dominates('end', 'a')).toBe(false);
  });

  it('of several values are the last that all come from, one of them perhaps', () => {
    expect(dominators.common(['b', 'scaled'])).toBe('a');
    expect(dominators.common(['c', 'scaled'])).toBe('c');
    expect(dominators.common(['b', 'two'])).toBe('b');
    expect(dominators.common(['two'])).toBeUndefined();
  });

  it('leave out constants and sizes', () => {
    expect(['x', 'sum'].map((name) => dominators.isData(name))).toEqual([true, true]);
    expect(['two', 'size', 'absent'].map((name) => dominators.isData(name))).toEqual([false, false, false]);
  });
});
