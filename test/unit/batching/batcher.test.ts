import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServiceError, WorkerLostError } from '../../../src/errors.js';
import { shapeKey, splitItems, stackItems } from '../../../src/batching/batch-tensors.js';
import type { BatchResult, RunOptions } from '../../../src/batching/executor.js';
import {
  createBatcher,
  type Batcher,
  type BatcherLimits,
  type DispatchReport,
  type Executor,
  type ItemResult,
  type Submission,
} from '../../../src/batching/batcher.js';
import { createMemory } from '../../../src/memory.js';
import { expectTensor, type TensorMap } from '../../../src/tensor.js';

const LIMITS: BatcherLimits = {
  maxBatchSize: 4,
  maxBatchCost: 100,
  maxQueue: 10,
  lingerMs: 0,
  maxRunMs: 1000,
};

interface Run {
  readonly session: string;
  /** Of all items, as they are stacked. */
  readonly feeds: TensorMap;
  readonly limitMs: number | undefined;
  readonly maxAnswerBytes: number | undefined;
  readonly expectedMs: number | undefined;
  /** Answer with each item's first pixel, after `runMs`. */
  succeed(runMs?: number): Promise<void>;
  fail(error: Error): Promise<void>;
  /** Fail with no worker in the place of the one that is lost. */
  lose(error: WorkerLostError): Promise<void>;
}

/** Workers that run until the test says otherwise. */
class FakeExecutor implements Executor<TensorMap, TensorMap> {
  readonly size: number;
  idle: number;
  failure: Error | undefined;
  readonly runs: Run[] = [];
  #onIdle: () => void = () => undefined;

  constructor(workers: number) {
    this.size = workers;
    this.idle = workers;
  }

  onIdle(callback: () => void): void {
    this.#onIdle = callback;
  }

  run(
    session: string,
    works: readonly TensorMap[],
    { limitMs, maxAnswerBytes, expectedMs }: RunOptions = {},
  ): Promise<BatchResult<TensorMap>> {
    if (this.idle === 0) throw new Error('no worker is idle');
    // Longer than asked for, and dirty, as a recycled buffer is.
    const feeds = stackItems(works, (byteLength) => new Uint8Array(byteLength + 16).fill(255).buffer);
    this.idle -= 1;
    return new Promise((resolve, reject) => {
      const finish = async (settle: () => void): Promise<void> => {
        this.idle += 1;
        settle();
        this.#onIdle();
        await vi.advanceTimersByTimeAsync(0);
      };
      this.runs.push({
        session,
        feeds,
        limitMs,
        maxAnswerBytes,
        expectedMs,
        succeed: async (runMs = 5) => {
          await vi.advanceTimersByTimeAsync(runMs);
          const outcomes = splitItems(firstPixels(feeds), works.length).map((output) => ({ output }));
          await finish(() => resolve({ outcomes, runMs }));
        },
        fail: (error) => finish(() => reject(error)),
        lose: async (error) => {
          reject(error);
          await vi.advanceTimersByTimeAsync(0);
        },
      });
    });
  }

  get free(): number {
    return this.idle;
  }

  /** What the next worker keeps of earlier runs. */
  kept = 0;

  keptForNext(): number {
    return this.kept;
  }

  /** The run that was started last. */
  get last(): Run {
    return this.runs.at(-1)!;
  }

  giveUp(error: Error): void {
    this.failure = error;
    this.#onIdle();
  }
}

function firstPixels(feeds: TensorMap): TensorMap {
  const { data, dims } = expectTensor(feeds, 'image', 'uint8');
  const [count = 0] = dims;
  const firsts = Array.from({ length: count }, (_, index) => data[(index * data.length) / count]!);
  return { first: { type: 'float32', dims: [count, 1], data: Float32Array.from(firsts) } };
}

function batchSizes(executor: FakeExecutor): number[] {
  return executor.runs.map(({ feeds }) => feeds['image']!.dims[0]!);
}

/** An image of `side`×`side` pixels, all of them `value`. */
function submission(
  value: number,
  overrides: Partial<Submission<TensorMap>> & { side?: number } = {},
): Submission<TensorMap> {
  const { side = 2, ...rest } = overrides;
  const work: TensorMap = {
    image: { type: 'uint8', dims: [side, side, 3], data: new Uint8Array(side * side * 3).fill(value) },
  };
  return {
    session: 'net',
    shape: shapeKey(work),
    work,
    cost: 1,
    bytes: 0,
    priority: 0,
    flow: { client: 'test', connection: 0 },
    deadline: Infinity,
    ...rest,
  };
}

function firstOf({ output }: ItemResult<TensorMap>): number | undefined {
  return expectTensor(output, 'first', 'float32').data[0];
}

/** Wait for a rejection without leaving it unhandled in the meantime. */
function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('did not reject');
    },
    (error: unknown) => error,
  );
}

describe('the batcher', () => {
  let executor: FakeExecutor;
  let batcher: Batcher<TensorMap, TensorMap>;
  let reports: DispatchReport[];

  function start(workers: number, limits: Partial<BatcherLimits> = {}): void {
    executor = new FakeExecutor(workers);
    reports = [];
    batcher = createBatcher({
      executor,
      limits: { ...LIMITS, ...limits },
      memory: createMemory(1000),
      onDispatch: (report) => reports.push(report),
    });
  }

  const turn = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    vi.useFakeTimers();
    start(1);
  });

  afterEach(() => {
    expect(batcher.queued).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('gives an idle worker a single item at once, without its batch axis on return', async () => {
    const result = batcher.submit(submission(7));
    await turn();
    expect(executor.last.feeds['image']!.dims).toEqual([1, 2, 2, 3]);
    expect(batcher.running).toBe(1);
    await executor.last.succeed(20);
    expect(await result).toEqual({
      output: { first: { type: 'float32', dims: [1], data: Float32Array.of(7) } },
      run: { reason: 'idle', sentAtMs: 0, ranAtMachineMs: undefined, worker: undefined },
      queueMs: 0,
      inferMs: 20,
      batchSize: 1,
    });
    expect(batcher.running).toBe(0);
  });

  it('has what workers keep given back when an item lacks it, and lets a run use what its worker keeps', async () => {
    const memory = createMemory(1000);
    memory.kept(600);
    const wanted = vi.fn(() => memory.kept(0));
    memory.onWanted(wanted);
    batcher = createBatcher({ executor, limits: LIMITS, memory });
    const first = batcher.submit({ ...submission(1), bytes: 400 });
    await turn();
    expect(wanted).not.toHaveBeenCalled();
    await executor.last.succeed();
    await first;
    executor.kept = 300;
    const second = batcher.submit({ ...submission(2), bytes: 700 });
    await turn();
    expect({ calls: wanted.mock.calls.length, running: batcher.running }).toEqual({ calls: 0, running: 1 });
    await executor.last.succeed();
    await second;
    const third = batcher.submit({ ...submission(3), bytes: 701 });
    await turn();
    expect({ calls: wanted.mock.calls.length, running: batcher.running }).toEqual({ calls: 1, running: 1 });
    await executor.last.succeed();
    await third;
  });

  it('expects nobody to wait for more than goes before them', async () => {
    const heavy = { flow: { client: 'heavy', connection: 1 } };
    batcher.learn('net', 1, 100);
    const results = Array.from({ length: 9 }, (_, value) => batcher.submit(submission(value, { ...heavy, cost: 100 })));
    await turn();
    const waitOf = (connection: number, client = 'heavy'): number =>
      batcher.expectedWaitMs({ flow: { client, connection }, priority: 0 });
    const all = batcher.expectedWaitMs();
    expect(batcher.queued).toBe(8);
    expect(waitOf(1)).toBe(all);
    expect(waitOf(2)).toBeCloseTo(all / 8, 0);
    expect(waitOf(3, 'light')).toBeCloseTo(all / 8, 0);
    while (batcher.running > 0) await executor.last.succeed(5);
    await Promise.all(results);
  });

  it('gathers equal shapes while the worker is busy', async () => {
    const results = [1].map((value) => batcher.submit(submission(value)));
    await turn();
    results.push(...[2, 3, 4].map((value) => batcher.submit(submission(value))));
    await turn();
    expect(batcher.queued).toBe(3);
    await executor.last.succeed(5);
    await executor.last.succeed(5);
    expect(batchSizes(executor)).toEqual([1, 3]);
    expect((await Promise.all(results)).map(firstOf)).toEqual([1, 2, 3, 4]);
    expect(reports[1]).toEqual({ session: 'net', batchSize: 3, reason: 'idle', queueMs: [5, 5, 5], inferMs: 5 });
  });

  it('batches sizes A, B, A, B by shape and answers the right caller', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const results = [1, 2, 3, 4].map((value) => batcher.submit(submission(value, { side: value % 2 === 0 ? 3 : 4 })));
    await executor.last.succeed();
    await executor.last.succeed();
    await executor.last.succeed();
    expect(executor.runs.map(({ feeds }) => feeds['image']!.dims)).toEqual([
      [1, 2, 2, 3],
      [2, 4, 4, 3],
      [2, 3, 3, 3],
    ]);
    expect((await Promise.all([busy, ...results])).map(firstOf)).toEqual([0, 1, 2, 3, 4]);
  });

  it('has no quick item wait for one that is slow to prepare: another batch, and a worker kept', async () => {
    start(2);
    batcher.learn('net', 1, 5);
    const kinds = [2000, 0, 2000, 5].map((prepareMs, value) => submission(value, { prepareMs }));
    const results = kinds.map((each) => batcher.submit(each));
    await turn();
    // The slow ones have one worker, in turn; the quick ones share the other.
    expect(executor.runs.map(({ feeds }) => feeds['image']!.dims[0])).toEqual([1, 2]);
    expect(batcher.queued).toBe(1);
    await executor.runs[1]!.succeed();
    expect((await Promise.all([results[1], results[3]])).map((result) => firstOf(result!))).toEqual([1, 3]);
    expect(batcher.queued).toBe(1);
    await executor.runs[0]!.succeed();
    await turn();
    await executor.last.succeed();
    expect(firstOf((await results[2])!)).toBe(2);
    await results[0];
  });

  it('expects a worker to be busy for the run, and before it with what is slow to prepare', async () => {
    for (const prepareMs of [0, 50, 2000, 0]) {
      const result = batcher.submit(submission(0, { prepareMs, cost: 1e9 }));
      await turn();
      await executor.last.succeed(10);
      await result;
    }
    expect(executor.runs.map(({ expectedMs }) => expectedMs)).toEqual([undefined, 10, 2010, 10]);
  });

  it("counts what an item takes to prepare as its client's part of the work", async () => {
    const order: string[] = [];
    const ask = async (client: string, prepareMs: number): Promise<unknown> => {
      const flow = { client, connection: client.charCodeAt(0) };
      await batcher.submit(submission(0, { flow, prepareMs, cost: 1e9 }));
      return order.push(client);
    };
    // A first run tells what a multiply-add takes.
    const first = ask('x', 0);
    await turn();
    await executor.last.succeed(10);
    await first;
    const busy = ask('x', 0);
    await turn();
    const all = [ask('slow', 90), ask('slow', 90), ask('quick', 0), ask('quick', 0), ask('quick', 0)];
    for (let run = 0; run < 6; run++) {
      await turn();
      await executor.last.succeed(10);
    }
    await Promise.all([busy, ...all]);
    expect(order.slice(2)).toEqual(['slow', 'quick', 'quick', 'quick', 'slow']);
  });

  it('runs the images of busy connections one by one while another asks little, and again and again', async () => {
    start(1, { maxBatchSize: 4, runOverhead: 100, maxQueue: 64 });
    let over = false;
    const ask = (connection: number): Promise<unknown> =>
      batcher.submit(submission(0, { flow: { client: 'x', connection } }));
    const busy = async (connection: number): Promise<void> => {
      while (!over) await ask(connection);
    };
    const clients = Array.from({ length: 32 }, (_, connection) => busy(connection));
    const all: Promise<unknown>[] = [...clients];
    /** Sizes of the batches within so many runs of 20 ms, in every fifth of which the light connection asks. */
    const sizesOf = async (runs: number, light = false): Promise<number[]> => {
      const before = batchSizes(executor).length;
      for (let run = 0; run < runs; run++) {
        if (light && run % 5 === 0) all.push(ask(100 + run));
        await turn(20);
        await executor.last.succeed(1);
      }
      return batchSizes(executor).slice(before + 1);
    };
    await sizesOf(60);
    expect(Math.min(...(await sizesOf(10)))).toBe(4);
    await sizesOf(20, true);
    expect(Math.max(...(await sizesOf(20, true)))).toBe(1);
    await sizesOf(110);
    expect(Math.min(...(await sizesOf(10)))).toBe(4);
    over = true;
    while (batcher.queued + batcher.running > 0) {
      await turn();
      await executor.last.succeed(1);
    }
    await Promise.all(all);
  });

  it('takes batches of connections that all ask again as soon as they have their answer', async () => {
    start(1, { maxBatchSize: 8, runOverhead: 100, maxQueue: 64 });
    let over = false;
    const client = async (connection: number): Promise<void> => {
      while (!over) await batcher.submit(submission(0, { flow: { client: 'x', connection } }));
    };
    const clients = Array.from({ length: 32 }, (_, connection) => client(connection));
    for (let run = 0; run < 60; run++) {
      await turn();
      await vi.advanceTimersByTimeAsync(20);
      await executor.last.succeed(1);
    }
    expect(Math.min(...batchSizes(executor).slice(10))).toBe(8);
    over = true;
    while (batcher.queued + batcher.running > 0) {
      await turn();
      await executor.last.succeed(1);
    }
    await Promise.all(clients);
  });

  it('answers the connections of one client in turn, whatever the sizes of their photographs', async () => {
    const order: number[] = [];
    const ask = async (connection: number, prepareMs: number): Promise<unknown> => {
      const flow = { client: 'x', connection };
      await batcher.submit(submission(0, { flow, prepareMs, cost: 1e9 }));
      return order.push(connection);
    };
    start(1, { maxBatchSize: 1 });
    // A first run tells what a multiply-add takes.
    const first = ask(0, 0);
    await turn();
    await executor.last.succeed(10);
    await first;
    const all = [1, 2, 3, 1, 2, 3].map((connection) => ask(connection, connection === 1 ? 90 : 5));
    for (let run = 0; run < 6; run++) {
      await turn();
      await executor.last.succeed(10);
    }
    await Promise.all(all);
    expect(order.slice(1)).toEqual([1, 2, 3, 1, 2, 3]);
  });

  it('does not let new connections of one client go before the next item of another', async () => {
    const order: string[] = [];
    const ask = async (name: string, connection: number): Promise<unknown> => {
      await batcher.submit(submission(0, { flow: { client: name, connection }, cost: 1e9 }));
      return order.push(name);
    };
    start(1, { maxBatchSize: 1 });
    const all = [ask('steady', 1)];
    await turn();
    all.push(...[2, 3, 4, 5, 6].map((connection) => ask('flood', connection)), ask('steady', 1));
    for (let run = 0; run < 7; run++) {
      await executor.last.succeed();
      await turn();
    }
    await Promise.all(all);
    expect(order.indexOf('steady', 1)).toBeLessThanOrEqual(3);
  });

  it('keeps sessions apart and stacks every feed', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const withClasses = (value: number, session: string): Submission<TensorMap> => {
      const { work: image, ...rest } = submission(value, { session });
      const classes = { type: 'int64', dims: [2], data: BigInt64Array.of(BigInt(value), 9n) } as const;
      const work = { ...image, classes };
      return { ...rest, shape: shapeKey(work), work };
    };
    const results = [withClasses(1, 'a'), withClasses(2, 'b'), withClasses(3, 'a')].map((s) => batcher.submit(s));
    await executor.last.succeed();
    const { session, feeds } = executor.last;
    expect(session).toBe('a');
    expect(feeds['classes']).toEqual({ type: 'int64', dims: [2, 2], data: BigInt64Array.of(1n, 9n, 3n, 9n) });
    await executor.last.succeed();
    await executor.last.succeed();
    expect((await Promise.all([busy, ...results])).map(firstOf)).toEqual([0, 1, 2, 3]);
  });

  it('shares what comes together among the idle workers', async () => {
    start(2);
    const results = [1, 2, 3, 4].map((value) => batcher.submit(submission(value)));
    await turn();
    expect(batchSizes(executor)).toEqual([2, 2]);
    await Promise.all(executor.runs.map((run) => run.succeed()));
    expect((await Promise.all(results)).map(firstOf)).toEqual([1, 2, 3, 4]);
  });

  it('keeps no worker for short runs because of items of which nothing was known yet', async () => {
    start(2);
    const results = [batcher.submit(submission(1))];
    await turn();
    // It turns out to be long; the other worker is not kept for runs that may be short.
    await executor.last.succeed(1000);
    results.push(batcher.submit(submission(2)));
    await turn();
    results.push(batcher.submit(submission(3)));
    await turn();
    expect(executor.idle).toBe(0);
    await Promise.all(executor.runs.slice(1).map((run) => run.succeed(1000)));
    await Promise.all(results);
  });

  it('takes a few items one by one, and full batches once its workers have been busy for long', async () => {
    start(1, { maxBatchSize: 8, runOverhead: 0.1, maxQueue: 200 });
    const submit = (count: number) => Array.from({ length: count }, (_, value) => batcher.submit(submission(value)));
    const few = submit(4);
    await turn();
    for (let run = 0; run < 4; run += 1) await executor.last.succeed();
    await Promise.all(few);
    expect(batchSizes(executor)).toEqual([1, 1, 1, 1]);
    const first = submit(1);
    await turn();
    const many = [...first, ...submit(100)];
    await turn();
    await executor.last.succeed();
    expect(batchSizes(executor).at(-1)).toBe(8);
    while (batcher.queued + batcher.running > 0) await executor.last.succeed();
    await Promise.all(many);
  });

  it('serves a higher priority first', async () => {
    start(1, { maxBatchSize: 1 });
    const order: number[] = [];
    const submit = (value: number, priority: number): Promise<unknown> =>
      batcher.submit(submission(value, { priority })).then(() => order.push(value));
    const results = [submit(0, 0)];
    await turn();
    results.push(submit(1, 0), submit(2, 1), submit(3, 0), submit(4, 1));
    for (let run = 0; run < 5; run += 1) await executor.last.succeed();
    await Promise.all(results);
    expect(order).toEqual([0, 2, 4, 1, 3]);
  });

  it('lingers on a GPU until the expected arrival comes or fails to come', async () => {
    start(1, { lingerMs: 10 });
    // A run costs 5 ms and 1 ms an item.
    batcher.learn('net', 1, 6);
    batcher.learn('net', 2, 7);
    const results = [batcher.submit(submission(1, { cost: 0 }))];
    await turn(2);
    await executor.last.succeed(0);
    results.push(batcher.submit(submission(2)));
    await turn(2);
    results.push(batcher.submit(submission(3)));
    await turn(4);
    expect(batchSizes(executor)).toEqual([1]);
    await turn(1);
    expect(batchSizes(executor)).toEqual([1, 2]);
    await executor.last.succeed();
    expect((await Promise.all(results)).map(firstOf)).toEqual([1, 2, 3]);
    expect(reports.map(({ reason }) => reason)).toEqual(['linger', 'linger']);
  });

  it('sends only counts that are allowed, the rest next', async () => {
    start(1, { maxBatchSize: 8, batchSizes: [1, 2, 4, 8] });
    const first = batcher.submit(submission(0));
    await turn();
    const results = [1, 2, 3, 4, 5, 6, 7].map((value) => batcher.submit(submission(value)));
    await turn();
    for (let run = 0; run < 4; run += 1) await executor.last.succeed();
    expect((await Promise.all([first, ...results])).map(firstOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(batchSizes(executor)).toEqual([1, 4, 2, 1]);
  });

  it('learns what a run costs, on a device with first runs of a shape without those', async () => {
    start(1, { lingerMs: 10, maxBatchCost: Infinity });
    const run = async (count: number, ms: number): Promise<void> => {
      const results = Array.from({ length: count }, () => batcher.submit(submission(1, { cost: 1e9 })));
      await turn(20);
      await executor.last.succeed(ms);
      await Promise.all(results);
    };
    await run(1, 900);
    expect(batcher.runCosts().size).toBe(0);
    await run(1, 6);
    await run(2, 900);
    await run(2, 7);
    const cost = batcher.runCosts().get('net')!;
    expect(cost.fixedMs).toBeCloseTo(5, 6);
    expect(cost.msPerGmac).toBeCloseTo(1, 6);
    batcher.forget('net');
    expect(batcher.runCosts().size).toBe(0);
  });

  it('rejects with QUEUE_FULL when the queue is full, with a Retry-After from the recent speed', async () => {
    start(1, { maxQueue: 4 });
    const first = batcher.submit(submission(0));
    await turn();
    await executor.last.succeed(3000);
    const results = [1, 2, 3, 4].map((value) => batcher.submit(submission(value)));
    const error = await rejection(batcher.submit(submission(5)));
    expect(error).toMatchObject({
      code: 'QUEUE_FULL',
      retryAfterS: 12,
      limit: { name: 'waiting_images', value: 4, needed: 5 },
    });
    await turn();
    await executor.last.succeed();
    await Promise.all([first, ...results]);
  });

  it('rejects with DEADLINE_EXCEEDED at the deadline of a waiting item, which costs no run', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const late = rejection(batcher.submit(submission(1, { deadline: performance.now() + 50 })));
    await turn(49);
    expect(batcher.queued).toBe(1);
    await turn(1);
    expect(await late).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await executor.last.succeed();
    await busy;
    expect(executor.runs).toHaveLength(1);
  });

  it('rejects with DEADLINE_EXCEEDED at the deadline of a running item and answers the rest of its batch', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const late = rejection(batcher.submit(submission(1, { deadline: performance.now() + 50 })));
    const other = batcher.submit(submission(2));
    await executor.last.succeed(5);
    expect(batchSizes(executor)).toEqual([1, 2]);
    await turn(45);
    expect(await late).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await executor.last.succeed();
    expect(firstOf(await other)).toBe(2);
    await busy;
  });

  it('rejects what comes after its own deadline', async () => {
    const error = await rejection(batcher.submit(submission(0, { deadline: performance.now() })));
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(executor.runs).toHaveLength(0);
  });

  it('drops a waiting item when its signal is aborted and removes its listener', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const controller = new AbortController();
    const removed = vi.spyOn(controller.signal, 'removeEventListener');
    const gone = rejection(batcher.submit(submission(1, { signal: controller.signal })));
    await turn();
    controller.abort(new Error('the client left'));
    expect(await gone).toBe(controller.signal.reason);
    expect(removed).toHaveBeenCalledOnce();
    await executor.last.succeed();
    await busy;
    expect(executor.runs).toHaveLength(1);
  });

  it('removes its listener from a signal that is never aborted', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    const result = batcher.submit(submission(1, { signal }));
    await turn();
    await executor.last.succeed();
    await result;
    expect(removed.mock.calls).toEqual(added.mock.calls);
  });

  it('rejects at once with the reason of a signal that is already aborted', async () => {
    const signal = AbortSignal.abort('gone');
    expect(await rejection(batcher.submit(submission(1, { signal })))).toBe('gone');
  });

  it('retries a failed batch item by item, so that only the bad one fails', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const results = [1, 2, 3].map((value) => batcher.submit(submission(value)));
    const bad = rejection(results[1]!);
    await executor.last.succeed();
    await executor.last.fail(new Error('bad batch'));
    await executor.last.succeed();
    const cause = new Error('bad image');
    await executor.last.fail(cause);
    await executor.last.succeed();
    expect(batchSizes(executor)).toEqual([1, 3, 1, 1, 1]);
    expect(await bad).toMatchObject({ code: 'INFERENCE_FAILED', cause });
    expect((await Promise.all([busy, results[0]!, results[2]!])).map(firstOf)).toEqual([0, 1, 3]);
    expect(reports.map(({ reason }) => reason)).toEqual(['idle', 'retry', 'retry']);
  });

  it('rejects an item that failed by itself with its own error, and counts the others only', async () => {
    const error = new ServiceError('IMAGE_UNDECODABLE', 'damaged');
    executor.run = (_, [, good]) => Promise.resolve({ outcomes: [{ error }, { output: good! }], runMs: 3 });
    const bad = rejection(batcher.submit(submission(1)));
    const good = batcher.submit(submission(2));
    await turn();
    expect(await bad).toBe(error);
    expect(await good).toMatchObject({ batchSize: 1, inferMs: 3 });
    expect(reports).toMatchObject([{ batchSize: 1 }]);
  });

  it('runs an item that lacks memory when others have given theirs back, and a larger one than all alone', async () => {
    start(3, { maxBatchSize: 1 });
    const results = [600, 600, 5000].map((bytes, value) => batcher.submit(submission(value, { bytes })));
    await turn();
    expect(executor.runs).toHaveLength(1);
    await executor.last.succeed();
    expect(executor.runs).toHaveLength(2);
    await executor.last.succeed();
    expect(executor.runs).toHaveLength(3);
    await executor.last.succeed();
    expect((await Promise.all(results)).map(firstOf)).toEqual([0, 1, 2]);
  });

  it('limits the bytes of an answer to the memory of the run and a megabyte for each item, where it limits the time', async () => {
    start(1);
    const results = [1, 2].map((value) => batcher.submit(submission(value, { deadline: 1e6, bytes: 300 })));
    await turn();
    expect(executor.last.maxAnswerBytes).toBe(600 + 2 * 2 ** 20);
    await executor.last.succeed();
    const patient = batcher.submit(submission(3, { bytes: 300 }));
    await turn();
    expect(executor.last.maxAnswerBytes).toBeUndefined();
    await executor.last.succeed();
    await Promise.all([...results, patient]);
  });

  it('limits the time of a run, but not of one that an item without a deadline is in', async () => {
    start(2);
    const deadline = performance.now() + 50;
    const late = [1, 2].map((value) => rejection(batcher.submit(submission(value, { deadline, cost: 60 }))));
    await turn();
    expect(executor.runs.map(({ limitMs }) => limitMs)).toEqual([1000, 1000]);
    await turn(50);
    for (const run of [...executor.runs]) await run.succeed();
    expect(await Promise.all(late)).toMatchObject([{ code: 'DEADLINE_EXCEEDED' }, { code: 'DEADLINE_EXCEEDED' }]);
    const patient = batcher.submit(submission(3));
    await turn();
    expect(executor.last.limitMs).toBeUndefined();
    await executor.last.succeed();
    await patient;
  });

  it('retries each item of a lost batch once, alone, and rejects with WORKER_LOST when it is lost again', async () => {
    const busy = batcher.submit(submission(0));
    await turn();
    const killer = rejection(batcher.submit(submission(1)));
    const innocent = batcher.submit(submission(2));
    await executor.last.succeed();
    await executor.last.fail(new WorkerLostError('first'));
    const second = new WorkerLostError('second');
    await executor.last.fail(second);
    await executor.last.succeed();
    expect(batchSizes(executor)).toEqual([1, 2, 1, 1]);
    expect(await killer).toMatchObject({ code: 'WORKER_LOST', cause: second });
    expect(firstOf(await innocent)).toBe(2);
    await busy;
  });

  it('does not retry an item that was settled in the meantime', async () => {
    const controller = new AbortController();
    const gone = rejection(batcher.submit(submission(1, { signal: controller.signal })));
    await turn();
    controller.abort();
    await gone;
    await executor.last.fail(new WorkerLostError('lost'));
    expect(executor.runs).toHaveLength(1);
  });

  it('rejects what waits and what comes when no worker can be started any more', async () => {
    const running = rejection(batcher.submit(submission(0)));
    await turn();
    const waiting = rejection(batcher.submit(submission(1)));
    await executor.last.lose(new WorkerLostError('crash'));
    expect(batcher.queued).toBe(2);
    executor.giveUp(new Error('crash loop'));
    const later = rejection(batcher.submit(submission(2)));
    await turn();
    for (const error of await Promise.all([running, waiting, later])) {
      expect(error).toBeInstanceOf(ServiceError);
      expect(error).toMatchObject({ code: 'WORKER_LOST' });
    }
  });

  it('drains: refuses new items with DRAINING and finishes what waits', async () => {
    const results = [batcher.submit(submission(0))];
    await turn();
    results.push(batcher.submit(submission(1)));
    let drained = false;
    const drain = batcher.drain().then(() => (drained = true));
    expect(await rejection(batcher.submit(submission(2)))).toMatchObject({ code: 'DRAINING' });
    await executor.last.succeed();
    expect(drained).toBe(false);
    await executor.last.succeed();
    await drain;
    expect((await Promise.all(results)).map(firstOf)).toEqual([0, 1]);
  });

  it('drains at once when nothing is to be done', async () => {
    await batcher.drain();
    await batcher.drain();
  });

  it('waits in a drain for the run of an item that was settled early', async () => {
    const late = rejection(batcher.submit(submission(1, { deadline: performance.now() + 10 })));
    await turn(10);
    await late;
    let drained = false;
    const drain = batcher.drain().then(() => (drained = true));
    await turn();
    expect(drained).toBe(false);
    await executor.last.succeed();
    await drain;
  });

  it('gives every caller its own outputs in any mix of shapes, priorities and failures', async () => {
    start(3, { maxQueue: 1000 });
    const values = Array.from({ length: 120 }, (_, index) => index);
    const results = values.map((value) =>
      batcher.submit(submission(value, { side: 1 + (value % 4), priority: value % 3, cost: 1 + ((value * 7) % 40) })),
    );
    await turn();
    for (let index = 0; index < executor.runs.length; index += 1) {
      const run = executor.runs[index]!;
      const alone = run.feeds['image']!.dims[0] === 1;
      await (index % 5 === 3 && !alone ? run.fail(new Error('flaky')) : run.succeed());
    }
    expect((await Promise.all(results)).map(firstOf)).toEqual(values);
  });
});
