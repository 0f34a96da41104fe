/** How long the pool waits before it replaces a worker, by a fake clock, with threads that do what the test says. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPool, WorkerLostError, type WorkerLost, type WorkerPool } from '../../../src/runtime/pool.js';
import type { WorkerThreadEvents } from '../../../src/runtime/worker-thread.js';
import type { TensorMap } from '../../../src/tensor.js';

interface FakeThread {
  /** The engine is loaded. */
  becomeReady(): void;
  die(): void;
}

/** Every thread that the pool has started, in order. */
const threads = vi.hoisted((): FakeThread[] => []);

vi.mock('../../../src/runtime/worker-thread.js', async (importOriginal) => {
  const { WorkerLostError } = await importOriginal<typeof import('../../../src/runtime/worker-thread.js')>();
  class WorkerThread {
    readonly sessions = new Set<string>();
    readonly exited = Promise.resolve();
    ready = false;
    #busy = false;
    #fail: (error: Error) => void = () => undefined;
    readonly #events: WorkerThreadEvents;

    constructor(_file: string, _start: unknown, events: WorkerThreadEvents) {
      this.#events = events;
      threads.push(this);
    }

    get idle(): boolean {
      return this.ready && !this.#busy;
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
      return Promise.resolve({ kind: 'opened', provider: 'cpu', warmUpMs: [] });
    }

    run(id: string, outputs: TensorMap): Promise<unknown> {
      if (id === 'quick') return Promise.resolve({ kind: 'ran', outputs, runMs: 1, buffers: [] });
      this.#busy = true;
      return new Promise((_, reject) => (this.#fail = reject));
    }

    stop(): void {
      this.ready = false;
    }
  }
  return { WorkerThread, WorkerLostError };
});

describe('the pool, when a worker dies', () => {
  let pool: WorkerPool;
  let lost: WorkerLost[];

  beforeEach(async () => {
    vi.useFakeTimers();
    threads.length = 0;
    lost = [];
    const starting = createPool({
      devices: [{ kind: 'cpu', index: 0 }],
      workers: 1,
      engine: 'onnxruntime',
      engineOptions: { threads: 1 },
      onWorkerLost: (info) => lost.push(info),
    });
    threads[0]!.becomeReady();
    pool = await starting;
    await pool.open({ id: 'quick', model: new Uint8Array() });
    await pool.open({ id: 'endless', model: new Uint8Array() });
  });

  afterEach(async () => {
    await pool.drain();
    vi.useRealTimers();
  });

  /** The thread that was started last. */
  const last = (): FakeThread => threads.at(-1)!;
  const delays = (): (number | undefined)[] => lost.map(({ restartInMs }) => restartInMs);

  /** Let the last thread take `startMs` to be ready, and die `idleMs` later. */
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
      expect(threads).toHaveLength(count + 1);
      await live(4000, 2000);
    }
    expect(delays()).toEqual([100, 200, 400, 800, undefined]);
    expect(lost.every(({ during }) => during === 'start')).toBe(true);
    expect(pool.failure?.message).toContain('no worker can be started');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(threads).toHaveLength(5);
  });

  it('does not start a worker before its delay has passed', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(99);
    expect(threads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(threads).toHaveLength(2);
  });

  it('starts the count again after a worker that has served', async () => {
    last().die();
    await vi.advanceTimersByTimeAsync(100);
    await vi.advanceTimersByTimeAsync(3000);
    last().becomeReady();
    await vi.advanceTimersByTimeAsync(0);
    await pool.run('quick', {});
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
    const run = pool.run('endless', {});
    last().die();
    await expect(run).rejects.toBeInstanceOf(WorkerLostError);
    expect(threads).toHaveLength(3);
    await live(3000, 10);
    expect(delays()).toEqual([100, 0, 200]);
  });
});
