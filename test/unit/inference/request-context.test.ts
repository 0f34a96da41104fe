import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { allTogether, checkAlive, waitWithin, type RequestContext } from '../../../src/inference/request-context.js';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const GONE = new Error('the client has gone');
const TIMED_OUT = expect.objectContaining({ code: 'DEADLINE_EXCEEDED' }) as Error;

function contextOf({ ms = Infinity, client = new AbortController() } = {}): RequestContext {
  return {
    flow: { client: 'test', connection: 0 },
    priority: 0,
    deadline: performance.now() + ms,
    signal: client.signal,
  };
}

/** A promise, and what ends it. */
function pending<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Whether a promise has ended once all that can happen by itself has happened. */
async function hasEnded(promise: Promise<unknown>): Promise<boolean> {
  let ended = false;
  const end = (): boolean => (ended = true);
  promise.then(end, end);
  await vi.advanceTimersByTimeAsync(0);
  return ended;
}

describe('checkAlive', () => {
  it('lets pass before the deadline and throws from then on', () => {
    const context = contextOf({ ms: 100 });
    vi.advanceTimersByTime(99);
    expect(() => checkAlive(context)).not.toThrow();
    vi.advanceTimersByTime(1);
    expect(() => checkAlive(context)).toThrow(TIMED_OUT);
  });

  it('never throws where there is no deadline', () => {
    const context = contextOf();
    vi.advanceTimersByTime(1e9);
    expect(() => checkAlive(context)).not.toThrow();
  });

  it('throws why it was aborted, even behind the deadline', () => {
    const client = new AbortController();
    const context = contextOf({ ms: 1, client });
    client.abort(GONE);
    vi.advanceTimersByTime(2);
    expect(() => checkAlive(context)).toThrow(GONE);
  });
});

describe('allTogether', () => {
  it('lets any number of tasks wait, without a warning of leaks', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on('warning', onWarning);
    const tasks = Array.from(
      { length: 20 },
      (_, index) => async (context: RequestContext) => waitWithin(context, Promise.resolve(index)),
    );
    expect(await allTogether(contextOf(), tasks)).toHaveLength(20);
    await vi.advanceTimersByTimeAsync(0);
    await new Promise((resolve) => process.nextTick(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  it('gives the results in the order of the tasks, whichever ends first', async () => {
    const [first, second] = [pending<string>(), pending<string>()];
    const all = allTogether(contextOf(), [() => first.promise, () => second.promise]);
    second.resolve('second');
    expect(await hasEnded(all)).toBe(false);
    first.resolve('first');
    expect(await all).toEqual(['first', 'second']);
  });

  it('has no results of no tasks', async () => {
    expect(await allTogether(contextOf(), [])).toEqual([]);
  });

  it('hands priority and deadline on', async () => {
    const context = { ...contextOf({ ms: 5 }), priority: 3 };
    const [shared] = await allTogether(context, [(each) => Promise.resolve(each)]);
    expect(shared).toMatchObject({ priority: 3, deadline: context.deadline });
  });

  it('aborts the others when one fails, and rejects only when all of them have ended', async () => {
    const [failing, other] = [pending<never>(), pending<string>()];
    let signal: AbortSignal | undefined;
    const context = contextOf();
    const all = allTogether<string>(context, [
      () => failing.promise,
      (shared) => {
        ({ signal } = shared);
        return other.promise;
      },
    ]);
    const failure = new Error('a run failed');
    failing.reject(failure);
    expect(await hasEnded(all)).toBe(false);
    expect(signal!.reason).toBe(failure);
    expect(context.signal.aborted).toBe(false);
    other.resolve('too late');
    await expect(all).rejects.toBe(failure);
  });

  it('rejects with the first failure, not with what that made of the others', async () => {
    const failing = pending<never>();
    const all = allTogether(contextOf(), [
      ({ signal }) =>
        new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new Error('was aborted')))),
      () => failing.promise,
    ]);
    failing.reject(GONE);
    await expect(all).rejects.toBe(GONE);
  });

  it('aborts all of them when the client goes', async () => {
    const client = new AbortController();
    const waitFor = ({ signal }: RequestContext): Promise<never> =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const all = allTogether(contextOf({ client }), [waitFor, waitFor]);
    client.abort(GONE);
    await expect(all).rejects.toBe(GONE);
  });
});

describe('waitWithin', () => {
  it('leaves no rejection unhandled when the context is dead before it waits', async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): number => unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    const { promise, reject } = pending<undefined>();
    await expect(waitWithin(contextOf({ ms: 0 }), promise)).rejects.toEqual(TIMED_OUT);
    reject(new Error('later'));
    await vi.advanceTimersByTimeAsync(0);
    vi.useRealTimers();
    await new Promise((resolve) => setTimeout(resolve, 5));
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });

  it('gives what was waited for, and leaves no timer and no listener behind', async () => {
    const client = new AbortController();
    const removed = vi.spyOn(client.signal, 'removeEventListener');
    const { promise, resolve } = pending<string>();
    const waiting = waitWithin(contextOf({ ms: 100, client }), promise);
    expect(vi.getTimerCount()).toBe(1);
    resolve('session');
    expect(await waiting).toBe('session');
    expect(vi.getTimerCount()).toBe(0);
    expect(removed).toHaveBeenCalledOnce();
  });

  it('rejects as what was waited for does', async () => {
    await expect(waitWithin(contextOf(), Promise.reject(new Error('no such file')))).rejects.toThrow('no such file');
  });

  it('gives up at the deadline', async () => {
    const waiting = waitWithin(contextOf({ ms: 100 }), pending().promise);
    const refused = expect(waiting).rejects.toThrow(TIMED_OUT);
    await vi.advanceTimersByTimeAsync(99);
    expect(await hasEnded(waiting)).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await refused;
  });

  it('sets no timer where there is no deadline', async () => {
    const { promise, resolve } = pending<string>();
    const waiting = waitWithin(contextOf(), promise);
    expect(vi.getTimerCount()).toBe(0);
    resolve('session');
    expect(await waiting).toBe('session');
  });

  it('gives up with the reason when it is aborted', async () => {
    const client = new AbortController();
    const waiting = waitWithin(contextOf({ ms: 100, client }), pending().promise);
    client.abort(GONE);
    await expect(waiting).rejects.toBe(GONE);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not wait for anything once it is dead', async () => {
    await expect(waitWithin(contextOf({ ms: 0 }), Promise.resolve('session'))).rejects.toThrow(TIMED_OUT);
  });
});
