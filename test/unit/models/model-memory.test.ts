import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ModelMemory, type Resident } from '../../../src/models/model-memory.js';

/** A model that is loaded and unloaded as the memory says; it has left when `leave` is called. */
class FakeModel implements Resident {
  bytes = 0;
  isInUse = false;
  evictions = 0;
  leave: (() => void) | undefined;
  readonly #isSlow: boolean;

  constructor(isSlow = false) {
    this.#isSlow = isSlow;
  }

  evict(): Promise<void> {
    this.evictions += 1;
    return new Promise((resolve) => {
      this.leave = () => {
        this.bytes = 0;
        resolve();
      };
      if (!this.#isSlow) this.leave();
    });
  }
}

async function load(memory: ModelMemory, model: FakeModel, bytes: number): Promise<void> {
  const release = await memory.take(model, bytes);
  model.bytes = bytes;
  memory.used(model);
  release();
}

/** Let everything happen that can. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function isWaiting(promise: Promise<unknown>): Promise<boolean> {
  await settled();
  return (await Promise.race([promise.then(() => 'over'), Promise.resolve('waiting')])) === 'waiting';
}

it('has room for everything without a bound', async () => {
  const memory = new ModelMemory();
  const [a, b] = [new FakeModel(), new FakeModel()];
  await load(memory, a, 1e12);
  await load(memory, b, 1e12);
  expect(memory.bytes).toBe(2e12);
  expect(a.evictions + b.evictions).toBe(0);
});

describe('a load that does not fit', () => {
  it('has the model unloaded that was used longest ago, and no more of them than it takes', async () => {
    const memory = new ModelMemory(30);
    const [a, b, c, d] = [new FakeModel(), new FakeModel(), new FakeModel(), new FakeModel()];
    for (const model of [a, b, c]) await load(memory, model, 10);
    memory.used(a);
    await load(memory, d, 10);
    expect([a, b, c].map(({ evictions }) => evictions)).toEqual([0, 1, 0]);
    expect(memory.bytes).toBe(30);
  });

  it('begins when the memory has really been given back', async () => {
    const memory = new ModelMemory(10);
    const [slow, next] = [new FakeModel(true), new FakeModel()];
    await load(memory, slow, 10);
    const loading = load(memory, next, 10);
    expect(await isWaiting(loading)).toBe(true);
    slow.leave!();
    await loading;
    expect(slow.evictions).toBe(1);
  });

  it('passes over models in use, and waits while all are', async () => {
    const memory = new ModelMemory(20);
    const [a, b, c] = [new FakeModel(), new FakeModel(), new FakeModel()];
    await load(memory, a, 10);
    await load(memory, b, 10);
    a.isInUse = b.isInUse = true;
    const loading = load(memory, c, 10);
    expect(await isWaiting(loading)).toBe(true);
    b.isInUse = false;
    memory.settle();
    await loading;
    expect([a.evictions, b.evictions]).toEqual([0, 1]);
  });

  it('goes before a smaller one that came later, and leaves the line when its signal is aborted', async () => {
    const memory = new ModelMemory(20);
    const [a, large, small] = [new FakeModel(), new FakeModel(), new FakeModel()];
    await load(memory, a, 10);
    a.isInUse = true;
    const nobodyWaits = new AbortController();
    const failing = expect(memory.take(large, 20, nobodyWaits.signal)).rejects.toThrow('gone');
    const loading = load(memory, small, 10);
    expect(await isWaiting(loading)).toBe(true);
    nobodyWaits.abort(new Error('gone'));
    await failing;
    await loading;
    expect(memory.bytes).toBe(20);
  });

  it('may have the old load of the same model beside it, if that is all there is', async () => {
    const memory = new ModelMemory(10);
    const model = new FakeModel();
    await load(memory, model, 10);
    const release = await memory.take(model, 10);
    expect(memory.bytes).toBe(20);
    release();
    expect(model.evictions).toBe(0);
  });
});

it('keeps the bytes of a load under way, and takes them at once only if they are free', async () => {
  const memory = new ModelMemory(20);
  const release = await memory.take(new FakeModel(), 15);
  expect(memory.takeNow(new FakeModel(), 10)).toBeUndefined();
  release();
  release();
  expect(memory.takeNow(new FakeModel(), 10)).toBeTypeOf('function');
});

it('unloads others when a model has grown, but not the one used last', async () => {
  const memory = new ModelMemory(20);
  const [a, b] = [new FakeModel(), new FakeModel()];
  await load(memory, a, 10);
  await load(memory, b, 10);
  b.bytes = 40;
  memory.settle();
  await settled();
  expect([a.evictions, b.evictions]).toEqual([1, 0]);
});

describe('models that are in use without a pause', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => vi.useRealTimers());

  it('have the work for the one used longest ago held back after a second, until it is unloaded', async () => {
    const memory = new ModelMemory(20);
    const [a, b, c] = [new FakeModel(), new FakeModel(), new FakeModel()];
    await load(memory, a, 10);
    await load(memory, b, 10);
    a.isInUse = b.isInUse = true;
    const loading = load(memory, c, 10);
    await settled();
    expect(memory.isHeld(a)).toBe(false);
    vi.advanceTimersByTime(1000);
    expect([memory.isHeld(a), memory.isHeld(b)]).toEqual([true, false]);
    const letGo = memory.whenLetGo();
    a.isInUse = false;
    memory.settle();
    await Promise.all([loading, letGo]);
    expect(memory.isHeld(a)).toBe(false);
    expect([a.evictions, b.evictions]).toEqual([1, 0]);
  });

  it('are let go when nobody waits any more', async () => {
    const memory = new ModelMemory(10);
    const [a, b] = [new FakeModel(), new FakeModel()];
    await load(memory, a, 10);
    a.isInUse = true;
    const nobodyWaits = new AbortController();
    const failing = expect(memory.take(b, 10, nobodyWaits.signal)).rejects.toThrow();
    vi.advanceTimersByTime(1000);
    expect(memory.isHeld(a)).toBe(true);
    const letGo = memory.whenLetGo();
    nobodyWaits.abort();
    await Promise.all([failing, letGo]);
    expect(memory.isHeld(a)).toBe(false);
  });
});
