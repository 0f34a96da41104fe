import { beforeEach, describe, expect, it } from 'vitest';
import { createMemory, type Memory } from '../../src/memory.js';

describe('memory for runs and drawings', () => {
  let memory: Memory;
  let freed = 0;
  const never = new AbortController().signal;

  beforeEach(() => {
    memory = createMemory(100);
    freed = 0;
    memory.onFreed(() => (freed += 1));
  });

  /** Ask for a drawing's bytes, and tell whether it has them. */
  function ask(bytes: number, signal = never) {
    const asked = { giveBack: undefined as (() => void) | undefined, error: undefined as unknown };
    memory.takeForDrawing(bytes, signal).then(
      (giveBack) => (asked.giveBack = giveBack),
      (error: unknown) => (asked.error = error),
    );
    return asked;
  }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('is what runs have, less what drawings have', async () => {
    const endRun = memory.takeForRun(30);
    const drawing = ask(40);
    await settled();
    expect(memory.freeForRuns).toBe(30);
    drawing.giveBack!();
    endRun();
    endRun();
    expect(memory.freeForRuns).toBe(100);
  });

  it('counts what engines keep, and says when something lacks that', async () => {
    let wanted = 0;
    memory.onWanted(() => (wanted += 1));
    memory.wanted();
    expect(wanted).toBe(0);
    memory.kept(80);
    expect(memory.freeForRuns).toBe(20);
    memory.wanted();
    expect(wanted).toBe(1);
    const drawing = ask(30);
    await settled();
    expect({ isDrawn: drawing.giveBack !== undefined, wanted }).toEqual({ isDrawn: false, wanted: 2 });
    const before = freed;
    memory.kept(70);
    await settled();
    expect(drawing.giveBack).toBeDefined();
    expect(memory.freeForRuns).toBe(0);
    expect(freed).toBe(before + 1);
  });

  it('gives drawings no more than half, one after the other', async () => {
    const [first, second, third] = [ask(30), ask(30), ask(10)];
    await settled();
    expect([first, second, third].map(({ giveBack }) => giveBack !== undefined)).toEqual([true, false, false]);
    // The second does not fit beside the first, so runs need not leave anything for it.
    expect(memory.freeForRuns).toBe(70);
    first.giveBack!();
    await settled();
    expect([second, third].every(({ giveBack }) => giveBack !== undefined)).toBe(true);
    expect(memory.freeForRuns).toBe(60);
  });

  it('lets a small drawing pass large ones that fill that half', async () => {
    const [large, other, small] = [ask(50), ask(40), ask(6)];
    await settled();
    expect([large, other, small].map(({ giveBack }) => giveBack !== undefined)).toEqual([true, false, true]);
    expect(memory.freeForRuns).toBe(44);
    large.giveBack!();
    await settled();
    expect(other.giveBack).toBeDefined();
  });

  it('counts a drawing that would take more than there is as all of it', async () => {
    const drawing = ask(1000);
    await settled();
    expect(drawing.giveBack).toBeDefined();
    expect(memory.freeForRuns).toBe(50);
  });

  it('keeps what the first drawing waits for from further runs', async () => {
    const [end, endOther] = [memory.takeForRun(60), memory.takeForRun(20)];
    const drawing = ask(30);
    await settled();
    expect(drawing.giveBack).toBeUndefined();
    expect(memory.freeForRuns).toBe(-10);
    endOther();
    await settled();
    expect(drawing.giveBack).toBeDefined();
    expect(memory.freeForRuns).toBe(10);
    end();
    expect(memory.freeForRuns).toBe(70);
  });

  it('forgets a drawing that nobody waits for, and tells runs', async () => {
    memory.takeForRun(90);
    const over = new AbortController();
    const [gone, next] = [ask(30, over.signal), ask(10)];
    await settled();
    const before = freed;
    over.abort(new Error('gone'));
    await settled();
    expect(gone.error).toEqual(new Error('gone'));
    expect(next.giveBack).toBeDefined();
    expect(freed).toBeGreaterThan(before);
    expect(memory.freeForRuns).toBe(0);
  });
});
