import { describe, expect, it } from 'vitest';
import { createPace, PACE_MS } from '../../../src/http/pace.js';

describe('a pace of 1,000 bytes a second', () => {
  it('is kept by whoever sends as many in each window', () => {
    const pace = createPace(1000);
    for (let second = 0; second <= 100; second += 1) expect(pace.isTooSlow(second * 1000, second * 1000)).toBe(false);
  });

  it('is not judged before a window has passed, and then is', () => {
    const pace = createPace(1000);
    expect(pace.isTooSlow(0, 5000)).toBe(false);
    expect(pace.isTooSlow(0, 5000 + PACE_MS - 1)).toBe(false);
    expect(pace.isTooSlow(0, 5000 + PACE_MS)).toBe(true);
  });

  it('is not kept by a fast beginning and a stall', () => {
    const pace = createPace(1000);
    pace.isTooSlow(0, 0);
    expect(pace.isTooSlow(10_000_000, PACE_MS)).toBe(false);
    expect(pace.isTooSlow(10_000_100, 2 * PACE_MS)).toBe(true);
  });
});

it('any pace will do where none is asked for', () => {
  const pace = createPace(0);
  pace.isTooSlow(0, 0);
  expect(pace.isTooSlow(0, 3_600_000)).toBe(false);
});
