import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { direction, oneOf, shuffled } from '../../../src/experiments/chance.js';
import { kendallTau } from '../../../src/experiments/kendall.js';
import { countPaths, partOf, sharesOf, shortestRange, totalOf } from '../../../src/experiments/path-counts.js';
import { findResidualBlocks, type ResidualBlock } from '../../../src/graph/residual-blocks.js';

const node = (name: string) => ({ op: 'Add', name, inputs: [], outputs: [name], attributes: {} });

/** A block with so many shortcuts and branches; `inner` stands in the first branch. */
function block({ shortcuts = 1, branches = 1, inner = [] as readonly ResidualBlock[] } = {}): ResidualBlock {
  const operand = (nodes: ResidualBlock['branches'][number]['nodes']) => ({ value: '', nodes });
  return {
    ...{ name: '', stage: 1, start: '', join: node(`join ${Math.random()}`), sums: [], inner },
    shortcuts: Array.from({ length: shortcuts }, () => operand([])),
    branches: Array.from({ length: branches }, (_, index) => operand(index === 0 ? inner.map(({ join }) => join) : [])),
    ...{ from: [1], to: [1], changesShape: false, downsamples: false },
  };
}

const chain = (length: number): ResidualBlock[] => Array.from({ length }, () => block());

describe('the paths through blocks', () => {
  it('are 2ⁿ, C(n, k) of each length', () => {
    expect(countPaths(chain(5))).toEqual([1n, 5n, 10n, 10n, 5n, 1n]);
    expect(totalOf(countPaths(chain(54)))).toBe(2n ** 54n);
    expect(totalOf(countPaths(chain(600)))).toBe(2n ** 600n);
    expect(countPaths([])).toEqual([1n]);
  });

  it('are as many more as there are branches: 3ⁿ with two', () => {
    expect(totalOf(countPaths(Array.from({ length: 4 }, () => block({ branches: 2 }))))).toBe(81n);
    expect(countPaths([block({ branches: 2, shortcuts: 2 })])).toEqual([2n, 2n]);
  });

  it('lead around blocks that stand inside of others', () => {
    expect(countPaths([block({ inner: chain(2) })])).toEqual([2n, 2n, 1n]);
    expect(countPaths([block({ inner: [block({ inner: chain(1) })], branches: 2 })])).toEqual([3n, 2n]);
  });

  it('are those of a net', () => {
    const blocks = findResidualBlocks(buildArchitecture('resnet50', {}), 224);
    expect(totalOf(countPaths(blocks))).toBe(2n ** 16n);
  });
});

describe('the lengths of 54 modules', () => {
  const shares = sharesOf(countPaths(chain(54)));

  it('are binomial: 98.02 % of the paths go through 19 to 35 modules, 0.4537 % through 5 to 17', () => {
    expect(partOf(shares, 0, 54)).toBeCloseTo(1, 12);
    expect(partOf(shares, 19, 35)).toBeCloseTo(0.9802, 4);
    expect(partOf(shares, 5, 17)).toBeCloseTo(0.004537, 6);
  });

  it.each([
    [8, 1, 6],
    [9, 2, 7],
    [15, 4, 11],
    [16, 4, 11],
    [21, 6, 15],
    [27, 8, 18],
    [33, 11, 22],
    [50, 18, 31],
    [54, 20, 34],
    [66, 25, 40],
  ])('of %d modules lie between %d and %d', (modules, from, to) => {
    const range = shortestRange(sharesOf(countPaths(chain(modules))));
    expect(range).toMatchObject({ from, to });
    expect(range.share).toBeGreaterThan(0.95);
  });

  it('in the shortest range are 95.98 %', () => {
    expect(shortestRange(shares).share).toBeCloseTo(0.9598, 4);
  });
});

describe("Kendall's τ", () => {
  it.each([
    [[0, 1, 2, 3], 1],
    [[3, 2, 1, 0], -1],
    [[1, 0, 2, 3], 2 / 3],
    [[3, 1, 2, 0], -2 / 3],
    [[0], 1],
  ])('of %j is %f', (order, tau) => {
    expect(kendallTau(order)).toBeCloseTo(tau, 12);
  });
});

describe('chance', () => {
  it('is the same for one seed, and another for another', () => {
    const list = Array.from({ length: 50 }, (_, index) => index);
    expect(shuffled(list, 'a')).toEqual(shuffled(list, 'a'));
    expect(shuffled(list, 'a')).not.toEqual(shuffled(list, 'b'));
    expect(shuffled(list, 'a').sort((x, y) => x - y)).toEqual(list);
    expect(new Set(list.map((seed) => oneOf(list, `${seed}`))).size).toBeGreaterThan(20);
    expect(oneOf<string>([], 'a')).toBeUndefined();
  });

  it('gives directions of length 1', () => {
    expect(Math.hypot(...direction(100, 'a'))).toBeCloseTo(1, 6);
  });
});
