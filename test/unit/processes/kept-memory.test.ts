import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KEPT_MS, KeptMemory } from '../../../src/processes/kept-memory.js';

let unused: number;
let kept: KeptMemory;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  unused = 0;
  kept = new KeptMemory({ onChange: () => undefined, onUnused: () => (unused += 1) });
});
afterEach(() => vi.useRealTimers());

function ran(session: string, bytes: number, isKept = true): void {
  kept.began(session, bytes);
  kept.ended(session, bytes, isKept);
}

it('is the most that a run of each session has taken', () => {
  ran('a', 30);
  ran('a', 50);
  ran('a', 40);
  ran('b', 7);
  ran('c', 100, false);
  expect([kept.bytes, kept.of('a'), kept.of('b'), kept.of('c')]).toEqual([57, 50, 7, 0]);
});

it('is what the runs that are under way do not use of it', () => {
  ran('a', 50);
  kept.began('a', 20);
  expect(kept.of('a')).toBe(30);
  kept.began('a', 40);
  expect(kept.of('a')).toBe(0);
  kept.began('b', 10);
  kept.ended('a', 20, true);
  expect([kept.of('a'), kept.bytes]).toEqual([10, 10]);
  kept.ended('a', 40, true);
  kept.ended('b', 10, true);
  expect(kept.bytes).toBe(60);
});

it('is unused when no run has needed it for a while: one of its size does, a small one does not', () => {
  ran('a', 50);
  vi.advanceTimersByTime(KEPT_MS - 1);
  ran('a', 25);
  vi.advanceTimersByTime(KEPT_MS - 1);
  expect(unused).toBe(0);
  ran('a', 24);
  vi.advanceTimersByTime(1);
  expect(unused).toBe(1);
});

it('is gone when it was given back, and nobody is told that it is unused', () => {
  ran('a', 50);
  kept.began('a', 10);
  kept.gone();
  expect(kept.bytes).toBe(0);
  kept.ended('a', 10, false);
  vi.advanceTimersByTime(2 * KEPT_MS);
  expect([kept.bytes, unused]).toEqual([0, 0]);
});
