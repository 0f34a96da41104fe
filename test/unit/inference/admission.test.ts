import { describe, expect, it } from 'vitest';
import { createAdmission } from '../../../src/inference/admission.js';

describe('admission', () => {
  const admission = () => createAdmission({ maxQueue: 4, expectedWaitMs: () => 2300 });

  it('counts places until they are given back', () => {
    const places = admission();
    const release = places.admit(3);
    expect(places.admitted).toBe(3);
    const other = places.admit(1);
    release();
    other();
    expect(places.admitted).toBe(0);
  });

  it('refuses with QUEUE_FULL what finds too few places, and says when to come again', () => {
    const places = admission();
    places.admit(2);
    expect(() => places.admit(3)).toThrow(
      expect.objectContaining({
        code: 'QUEUE_FULL',
        retryAfterS: 3,
        limit: { name: 'passes', value: 4, needed: 5 },
      }) as Error,
    );
    expect(places.admitted).toBe(2);
  });

  it('keeps the last quarter of the places for small requests, unless nobody else is there', () => {
    const places = createAdmission({ maxQueue: 256, expectedWaitMs: () => 0 });
    const release = places.admit(256);
    expect(() => places.admit(1)).toThrow('at its limit');
    release();
    places.admit(128);
    expect(() => places.admit(65)).toThrow(
      expect.objectContaining({ limit: { name: 'passes', value: 192, needed: 193 } }) as Error,
    );
    places.admit(64);
    for (let request = 0; request < 16; request++) places.admit(4);
    expect(() => places.admit(1)).toThrow('at its limit');
  });

  it('lets at most half of the places wait for models', () => {
    const places = admission();
    const release = places.admitWaiting(1);
    places.admitWaiting(1);
    expect(() => places.admitWaiting(1)).toThrow(
      expect.objectContaining({ code: 'QUEUE_FULL', limit: { name: 'model_waits', value: 2, needed: 3 } }) as Error,
    );
    expect(places.admitted).toBe(2);
    places.admit(1);
    release();
    expect(places.admitted).toBe(2);
    places.admitWaiting(1);
  });

  it('refuses on sight with QUEUE_FULL what would find no place, or would wait too long', () => {
    const asker = { flow: { client: 'somebody', connection: 1 }, priority: 0 };
    const places = createAdmission({ maxQueue: 4, expectedWaitMs: (who) => (who === asker ? 2300 : 9000) });
    expect(() => places.checkWait(2300, asker)).not.toThrow();
    expect(() => places.checkWait(2299, asker)).toThrow(
      expect.objectContaining({
        code: 'QUEUE_FULL',
        retryAfterS: 3,
        limit: { name: 'wait_ms', value: 2299, needed: 2300 },
      }) as Error,
    );
    places.admit(4);
    expect(() => places.checkWait(Infinity, asker)).toThrow('at its limit');
  });

  it('refuses with INVALID_REQUEST what would never find places', () => {
    expect(() => admission().admit(5)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        limit: { name: 'passes', value: 4, needed: 5 },
      }) as Error,
    );
  });
});
