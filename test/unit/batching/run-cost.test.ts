import { describe, expect, it } from 'vitest';
import { createRunCostFit, createRunCosts, predictMs } from '../../../src/batching/run-cost.js';

const GMAC = 1e9;

/** Noise that is the same each time, in [-1, 1]. */
const noise = (index: number): number => Math.sin(index * 12.9898) * Math.cos(index * 78.233);

describe('the cost of a run', () => {
  it('is not known before the first', () => {
    expect(createRunCostFit().line).toBeUndefined();
  });

  it('is the line through runs of different sizes', () => {
    const fit = createRunCostFit();
    for (const size of [1, 2, 4, 8, 16]) fit.add(size * 2 * GMAC, 3 + 0.5 * size * 2);
    expect(fit.line!.fixedMs).toBeCloseTo(3, 9);
    expect(fit.line!.msPerGmac).toBeCloseTo(0.5, 9);
  });

  it('is found under noise', () => {
    const fit = createRunCostFit();
    for (let run = 0; run < 200; run += 1) {
      const gmacs = 2 * 2 ** (run % 5);
      fit.add(gmacs * GMAC, 3 + 0.5 * gmacs + 0.3 * noise(run));
    }
    expect(fit.line!.fixedMs).toBeCloseTo(3, 0);
    expect(fit.line!.msPerGmac).toBeCloseTo(0.5, 1);
  });

  it('follows a machine that becomes slower', () => {
    const fit = createRunCostFit();
    const runs = (count: number, factor: number): void => {
      for (let run = 0; run < count; run += 1) fit.add((1 + (run % 4)) * GMAC, factor * (2 + 1 + (run % 4)));
    };
    runs(500, 1);
    expect(fit.line!.fixedMs).toBeCloseTo(2, 6);
    runs(300, 3);
    expect(fit.line!.fixedMs).toBeCloseTo(6, 1);
    expect(fit.line!.msPerGmac).toBeCloseTo(3, 1);
  });

  it('is all marginal while every run has had the same size', () => {
    const fit = createRunCostFit();
    for (let run = 0; run < 10; run += 1) fit.add((2 + 0.01 * noise(run)) * GMAC, 10 + noise(run));
    expect(fit.line!.fixedMs).toBe(0);
    expect(fit.line!.msPerGmac).toBeCloseTo(5, 0);
  });

  it('is never negative', () => {
    const superlinear = createRunCostFit();
    [1, 2, 4].forEach((gmacs) => superlinear.add(gmacs * GMAC, gmacs * gmacs));
    expect(superlinear.line!.fixedMs).toBe(0);
    expect(superlinear.line!.msPerGmac).toBeGreaterThan(0);
    const falling = createRunCostFit();
    [1, 2, 4].forEach((gmacs) => falling.add(gmacs * GMAC, 10 - gmacs));
    expect(falling.line!.msPerGmac).toBe(0);
    expect(falling.line!.fixedMs).toBeGreaterThan(5);
  });

  it('predicts several runs', () => {
    expect(predictMs({ fixedMs: 3, msPerGmac: 0.5 }, 2, 8 * GMAC)).toBe(10);
  });
});

describe('the costs of sessions', () => {
  it('are each session’s own, and that of all for one that has not run', () => {
    const costs = createRunCosts();
    expect(costs.of('a')).toBeUndefined();
    costs.ran('a', 1 * GMAC, 4);
    costs.ran('b', 1 * GMAC, 8);
    expect(costs.of('a')).toEqual({ fixedMs: 0, msPerGmac: 4 });
    expect(costs.of('new')!.msPerGmac).toBeCloseTo(6, 0);
    expect([...costs.all().keys()]).toEqual(['a', 'b']);
    costs.forget('a');
    expect([...costs.all().keys()]).toEqual(['b']);
  });

  it('leave out the first run of each shape, where shapes are named, and runs without a cost', () => {
    const costs = createRunCosts();
    costs.ran('a', 1 * GMAC, 5000, '64×64 × 1');
    costs.ran('a', 0, 5000);
    expect(costs.of('a')).toBeUndefined();
    costs.ran('a', 1 * GMAC, 5, '64×64 × 1');
    costs.ran('a', 2 * GMAC, 5000, '64×64 × 2');
    expect(costs.of('a')).toEqual({ fixedMs: 0, msPerGmac: 5 });
  });

  it('remember a bounded number of sessions', () => {
    const costs = createRunCosts();
    for (let session = 0; session < 300; session += 1) costs.ran(String(session), GMAC, 1);
    expect(costs.all().size).toBe(256);
    expect(costs.all().has('299')).toBe(true);
  });
});
