/** How long the pool waits before it replaces a worker, by a fake clock, with processes that do what the test says. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkerLostError } from '../../../src/errors.js';
import type { ChildEvents } from '../../../src/processes/child.js';
import { createPool, type PoolOptions, type WorkerLost, type WorkerPool } from '../../../src/processes/pool.js';

interface FakeChild {
  /** The engine is loaded. */
  becomeReady(): void;
  die(): void;
}

/** Every process that the pool has started, in order. */
const children = vi.hoisted((): FakeChild[] => []);

vi.mock('../../../src/processes/child.js', () => {
  class Child {
    readonly sessions = new Set<string>();
    readonly exited = Promise.resolve();
    ready = false;
    #busy = false;
    #fail: (error: Error) => void = () => undefined;
    readonly #events: ChildEvents;

    constructor(_file: string, _start: unknown, events: ChildEvents) {
      this.#events = events;
      children.push(this);
    }

    get idle(): boolean {
      return this.ready && !this.#busy;
    }

    get load(): number {
      return this.#busy ? 1 : 0;
    }

    becomeReady(): void {
      this.ready = true;
      this.#events.onReady();
    }

    die(): void {
      const error = new WorkerLostError('the worker was lost');
      this.ready = false;
      this.#fail(error);
      this.#events.onLost(error, this.#busy);
    }

    open({ id }: { id: string }): Promise<unknown> {
      this.sessions.add(id);
      return Promise.resolve({ provider: 'cpu', warmUpMs: [] });
    }

    run(id: string): Promise<unknown> {
      if (id === 'quick') return Promise.resolve({ outcomes: [], runMs: 1 });
      this.#busy = true;
      return new Promise((_, reject) => (this.#fail = reject));
    }

    stop(): void {
      this.ready = false;
    }
  }
  return { Child };
});

describe('the pool, when a worker dies', () => {
  let pool: WorkerPool<unknown, unknown>;
  let lost: WorkerLost[];
  const options: PoolOptions = {
    devices: [{ kind: 'cpu', index: 0 }],
    workers: 1,
    engine: 'onnxruntime',
    engineOptions: { threads: 1 },
    decoders: 1,
    workerFile: 'no file',
    onWorkerLost: (info) => lost.push(info),
  };

  beforeEach(async () => {
    vi.useFakeTimers();
    children.length = 0;
    lost = [];
    const starting = createPool<unknown, unknown>(options);
    children[0]!.becomeReady();
    pool = await starting;
    await pool.open({ id: 'quick', model: new Uint8Array() });
    await pool.open({ id: 'endless', model: new Uint8Array() });
  });

  afterEach(async () => {
    await pool.drain();
    vi.useRealTimers();
  });

  /** The process that was started last. */
  const last = (): FakeChild => children.at(-1)!;
  const delays = (): (number | undefined)[] => lost.map(({ restartInMs }) => restartInMs);

  /** Let the last process take `startMs` to be ready, and die `idleMs` later. */
  async function live(startMs: number, idleMs: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(startMs);
    last().becomeReady();
    await vi.advanceTimersByTimeAsync(idleMs);
    last().die();
  }

  it('ends a crash loop of workers that take seconds to start and die idle', async () => {
    last().die();
    for (let count = 1; count < 5; count += 1) {
      await vi.advanceTimersByTimeAsync(lost.at(-1)!.restartInMs!);
      expect(children).toHaveLength(count + 1);
      await live(4000, 2000);
    }
    expect(delays()).toEqual([100, 200, 400, 800, undefined]);
    expect(lost.every(({ during }) => during === 'start')).toBe(true);
    expect(pool.failure?.message).toContain('no worker can be started');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(children).toHaveLength(5);
  });

  it('does not start a worker before its delay has passed', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(99);
    expect(children).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(children).toHaveLength(2);
  });

  it('starts the count again after a worker that has served', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(100);
    await vi.advanceTimersByTimeAsync(3000);
    last().becomeReady();
    await vi.advanceTimersByTimeAsync(0);
    await pool.run('quick', []);
    last().die();
    await live(3000, 10);
    expect(delays()).toEqual([100, 0, 100]);
  });

  it('starts the count again after a worker that stayed up', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(100);
    await live(3000, 60_000);
    await live(3000, 10);
    expect(delays()).toEqual([100, 0, 100]);
  });

  it('replaces a worker that a run has killed at once, and does not take that for a good start', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(100);
    last().becomeReady();
    await vi.advanceTimersByTimeAsync(0);
    const run = pool.run('endless', []);
    last().die();
    await expect(run).rejects.toBeInstanceOf(WorkerLostError);
    expect(children).toHaveLength(3);
    await live(3000, 10);
    expect(delays()).toEqual([100, 0, 200]);
  });

  it('counts no worker that was given up among those that it has', async () => {
    await pool.drain();
    children.length = 0;
    const starting = createPool<unknown, unknown>({ ...options, workers: 2 });
    children.forEach((child) => child.becomeReady());
    pool = await starting;
    expect({ size: pool.size, free: pool.free }).toEqual({ size: 2, free: 2 });
    children[1]!.die();
    expect({ size: pool.size, free: pool.free }).toEqual({ size: 2, free: 1 });
    for (let count = 1; count < 5; count += 1) {
      await vi.advanceTimersByTimeAsync(lost.at(-1)!.restartInMs!);
      await live(0, 0);
    }
    expect({ size: pool.size, free: pool.free }).toEqual({ size: 1, free: 1 });
    expect(pool.processes).toEqual({ ready: 1, starting: 0, given_up: 1 });
  });
});
