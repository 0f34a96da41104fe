import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors.js';
import type { QuotaSettings } from '../../../src/keys/keys-file.js';
import { Quota } from '../../../src/keys/quota.js';

const GMAC = 1e9;

/** A quota, and its clock in milliseconds. */
function quotaOf(settings: QuotaSettings): { quota: Quota; clock: { now: number } } {
  const clock = { now: 1000 };
  return { quota: new Quota(settings, () => clock.now), clock };
}

function refusalOf(work: () => unknown): Pick<ServiceError, 'code' | 'limit' | 'retryAfterS'> | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    const { code, limit, retryAfterS } = error as ServiceError;
    return { code, limit, retryAfterS };
  }
}

const taken = (quota: Quota, times: number): number => {
  let count = 0;
  for (let i = 0; i < times; i++) if (refusalOf(() => quota.takeRequest()) === undefined) count += 1;
  return count;
};

describe('requests a second', () => {
  it('come at once as many as those of a second, then evenly', () => {
    const { quota, clock } = quotaOf({ requestsPerSecond: 10 });
    expect(taken(quota, 20)).toBe(10);
    clock.now += 100;
    expect(taken(quota, 20)).toBe(1);
    clock.now += 60_000;
    expect(taken(quota, 20)).toBe(10);
  });

  it('are refused with the limit and the wait', () => {
    const { quota } = quotaOf({ requestsPerSecond: 0.1 });
    expect(taken(quota, 2)).toBe(1);
    expect(refusalOf(() => quota.takeRequest())).toEqual({
      code: 'RATE_LIMITED',
      limit: { name: 'requests_per_second', value: 0.1 },
      retryAfterS: 10,
    });
  });

  it('may burst', () => {
    const { quota } = quotaOf({ requestsPerSecond: 1, burst: 5 });
    expect(taken(quota, 9)).toBe(5);
  });

  it('of a refused request are not taken', () => {
    const { quota, clock } = quotaOf({ requestsPerSecond: 1 });
    expect(taken(quota, 100)).toBe(1);
    clock.now += 1000;
    expect(taken(quota, 1)).toBe(1);
  });

  it('do not come back with a clock that stands or goes back', () => {
    const { quota, clock } = quotaOf({ requestsPerSecond: 1 });
    taken(quota, 1);
    clock.now -= 5000;
    expect(taken(quota, 1)).toBe(0);
  });
});

describe('images at once', () => {
  it('are places that are given back', () => {
    const { quota } = quotaOf({ imagesAtOnce: 3 });
    const giveBack = quota.holdImages(2);
    expect(refusalOf(() => quota.holdImages(2))).toEqual({
      code: 'RATE_LIMITED',
      limit: { name: 'images_at_once', value: 3, needed: 4 },
      retryAfterS: 1,
    });
    giveBack();
    quota.holdImages(3);
  });
});

describe('cost', () => {
  it('is taken whole or not at all, and comes back over a minute', () => {
    const { quota, clock } = quotaOf({ costPerMinute: 60 });
    quota.spend(50 * GMAC);
    expect(refusalOf(() => quota.spend(20 * GMAC))).toEqual({
      code: 'RATE_LIMITED',
      limit: { name: 'cost_per_minute', value: 60, needed: 20 },
      retryAfterS: 10,
    });
    quota.spend(10 * GMAC);
    clock.now += 20_000;
    quota.spend(20 * GMAC);
  });

  it('that no minute has is refused, and said to be', () => {
    const { quota } = quotaOf({ costPerMinute: 60 });
    expect(() => quota.spend(61 * GMAC)).toThrow('Ask for less at once.');
    expect(refusalOf(() => quota.takeRequest())).toBeUndefined();
  });

  it('that is owed refuses requests before they are read', () => {
    const { quota, clock } = quotaOf({ costPerMinute: 60 });
    quota.owe(90 * GMAC);
    expect(refusalOf(() => quota.takeRequest())).toMatchObject({ limit: { name: 'cost_per_minute', value: 60 } });
    clock.now += 31_000;
    expect(refusalOf(() => quota.takeRequest())).toBeUndefined();
  });
});

describe('other limits', () => {
  it('hold at once, and what was used stays used', () => {
    const { quota, clock } = quotaOf({ requestsPerSecond: 10, costPerMinute: 100 });
    expect(taken(quota, 8)).toBe(8);
    quota.spend(90 * GMAC);
    quota.change({ requestsPerSecond: 9, costPerMinute: 200 });
    expect(taken(quota, 9)).toBe(1);
    quota.spend(110 * GMAC);
    expect(refusalOf(() => quota.spend(GMAC))).toBeDefined();
    quota.change({});
    expect(taken(quota, 100)).toBe(100);
    clock.now += 1;
    quota.spend(1e6 * GMAC);
    expect(quota.states).toEqual([]);
  });

  it('null lifts a default', () => {
    const { quota } = quotaOf({ requestsPerSecond: null, imagesAtOnce: null, costPerMinute: null });
    expect(taken(quota, 100)).toBe(100);
    expect(quota.states).toEqual([]);
  });
});

describe('what is left', () => {
  it('is told in whole numbers', () => {
    const { quota, clock } = quotaOf({ requestsPerSecond: 10, imagesAtOnce: 4, costPerMinute: 60 });
    taken(quota, 7);
    quota.holdImages(1);
    quota.spend(10.5 * GMAC);
    clock.now += 50;
    expect(quota.states).toEqual([
      { name: 'requests', quota: 10, windowS: 1, unit: 'requests', left: 3, fullInS: 1 },
      { name: 'images', quota: 4, windowS: undefined, unit: 'images', left: 3, fullInS: undefined },
      { name: 'cost', quota: 60, windowS: 60, unit: 'gmac', left: 49, fullInS: 11 },
    ]);
  });

  it.each([
    [0.5, 1, 2],
    [2.5, 5, 2],
    [0.01, 1, 100],
    [Math.PI, 188, 60],
  ])('%d requests a second are %d in %d seconds', (requestsPerSecond, quota, windowS) => {
    expect(quotaOf({ requestsPerSecond }).quota.states).toMatchObject([{ quota, windowS }]);
  });
});
