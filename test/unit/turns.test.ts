import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Steps } from '../../src/maps/steps.js';
import { inTurns, nextTurn } from '../../src/turns.js';

/** A step of at least a millisecond; longer where the machine is busy, and then fewer fit into a slice. */
function workAMillisecond(): void {
  const end = performance.now() + 1;
  while (performance.now() < end);
}

/** Counts its steps in `taken`. */
function* steps(count: number, taken: { count: number }): Steps<number> {
  for (let i = 0; i < count; i++) {
    workAMillisecond();
    taken.count += 1;
    yield;
  }
  return taken.count;
}

/** Run the loop until all is done. The most steps of all computations together between two of its turns. */
async function mostInOneTurn(taken: { count: number }, all: Promise<unknown>): Promise<number> {
  const state = { isOver: false };
  const over = all.finally(() => (state.isOver = true));
  let [most, before] = [taken.count, taken.count];
  while (!state.isOver) {
    await setImmediate();
    most = Math.max(most, taken.count - before);
    before = taken.count;
  }
  await over;
  return most;
}

describe('inTurns', () => {
  it('gives the event loop a turn after each slice, and resolves to the result', async () => {
    const taken = { count: 0 };
    const result = inTurns(steps(60, taken));
    // The first slice is taken at once.
    expect(taken.count).toBeGreaterThan(0);
    expect(await mostInOneTurn(taken, result)).toBeLessThan(12);
    expect(await result).toBe(60);
  });

  it('lets computations that begin at the same time share the slices, however many they are', async () => {
    const taken = { count: 0 };
    const all = Promise.all(Array.from({ length: 30 }, () => inTurns(steps(4, taken))));
    // One slice of those that begin now, one of the computation whose turn it is.
    expect(await mostInOneTurn(taken, all)).toBeLessThan(20);
    expect(taken.count).toBe(120);
  });

  it('lets them go round', async () => {
    const order: string[] = [];
    function* named(name: string): Steps<void> {
      for (let i = 0; i < 30; i++) {
        workAMillisecond();
        order.push(name);
        yield;
      }
    }
    await Promise.all([inTurns(named('a')), inTurns(named('b'))]);
    expect(order.indexOf('b')).toBeLessThan(12);
    expect(order.lastIndexOf('a')).toBeGreaterThan(30);
  });

  it('ends with what the check throws, and ends the computation', async () => {
    let isEnded = false;
    function* endless(): Steps<void> {
      try {
        for (;;) {
          workAMillisecond();
          yield;
        }
      } finally {
        isEnded = true;
      }
    }
    const gone = new Error('nobody waits');
    let checks = 0;
    const check = (): void => {
      checks += 1;
      if (checks === 3) throw gone;
    };
    await expect(inTurns(endless(), check)).rejects.toBe(gone);
    expect(isEnded).toBe(true);
  });

  it('ends with what a step throws', async () => {
    function* broken(): Steps<void> {
      yield;
      throw new Error('broken');
    }
    await expect(inTurns(broken())).rejects.toThrow('broken');
  });
});

it('nextTurn gives every waiter a turn of its own', async () => {
  const order: string[] = [];
  const waiters = ['a', 'b', 'c'].map((name) => nextTurn().then(() => order.push(name)));
  const turns: number[] = [];
  while (order.length < 3) {
    await setImmediate();
    turns.push(order.length);
  }
  await Promise.all(waiters);
  expect(order).toEqual(['a', 'b', 'c']);
  expect(turns.every((count, i) => count - (turns[i - 1] ?? 0) <= 1)).toBe(true);
});
