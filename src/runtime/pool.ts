/**
 * A fixed number of worker threads on each device, each with every open session. Hides which thread runs what, the
 * recycling of feed buffers, and the replacement of threads that die. The pool has no queue: the batcher decides what runs
 * when one is idle (batching/batcher.ts).
 *
 * A dead worker is replaced and opens the sessions again. When it is replaced, and when it is given up, is decided in
 * restart-policy.ts: a crash loop costs seconds, not a core. A worker whose engine is not installed is given up at once.
 * The pool has failed when every worker has been given up; it then says why to whoever asks.
 */
import { fileURLToPath } from 'node:url';
import type { Device } from '../device.js';
import { OperatorError } from '../errors.js';
import type { TensorMap } from '../tensor.js';
import { createBufferPool } from '../buffer-pool.js';
import type { EngineName } from './engines.js';
import { planRestart, START_ATTEMPTS, type Restart } from './restart-policy.js';
import type { EngineOptions, SessionSpec } from './session.js';
import { WorkerLostError, WorkerThread } from './worker-thread.js';

export { WorkerLostError } from './worker-thread.js';

export interface PoolOptions {
  readonly devices: readonly Device[];
  /** Number of worker threads for each device. */
  readonly workers: number;
  readonly engine: EngineName;
  readonly engineOptions: Omit<EngineOptions, 'device'>;
  /** Path of the built worker.js; default: beside this file. */
  readonly workerFile?: string;
  /** Told of each worker that dies, before it is replaced. */
  readonly onWorkerLost?: (info: WorkerLost) => void;
}

export interface WorkerLost {
  readonly error: Error;
  /** `start`: before it had proven itself; `run`: in a run, or later. */
  readonly during: Restart['during'];
  /** When its replacement starts; undefined when it is given up. */
  readonly restartInMs: number | undefined;
}

export interface RunResult {
  /** The caller owns them. */
  readonly outputs: TensorMap;
  /** Time inside the engine, in milliseconds. */
  readonly runMs: number;
}

export interface WorkerPool {
  /** Number of workers asked for, on all devices. */
  readonly size: number;
  /** Workers that have started and opened their sessions. */
  readonly ready: number;
  /** Ready workers with nothing to do. */
  readonly idle: number;
  /** The execution provider of the session opened last; undefined before the first. */
  readonly provider: string | undefined;
  /** Workers started in the place of a dead one. */
  readonly replacements: number;
  /** Why the pool can run nothing any more; undefined while it can. */
  readonly failure: Error | undefined;
  /**
   * Open a session on every worker. Resolves to the milliseconds of its warm-ups, on the first device. Rejects with the
   * engine's message, and then it is open on none.
   */
  open(spec: SessionSpec): Promise<readonly number[]>;
  /** Close a session on every worker, after the runs in flight. Runs after this reject. */
  close(sessionId: string): Promise<void>;
  /**
   * Run on an idle worker; throws when none is. The feeds' whole buffers are transferred, so the caller gives them up
   * for good: they go back to `acquireBuffer`. Rejects with WorkerLostError, or with the engine's message.
   */
  run(sessionId: string, feeds: TensorMap): Promise<RunResult>;
  /** Be told when a worker becomes idle, and when the pool has failed. Returns a function that ends this. */
  onIdle(callback: () => void): () => void;
  /** A buffer for feeds, of at least `byteLength` bytes and unknown content. */
  acquireBuffer(byteLength: number): ArrayBuffer;
  /**
   * Refuse new work, finish what runs, end the threads. Before any exit of the process: to end it while the engine runs
   * is to abort it.
   */
  drain(): Promise<void>;
}

/** Feed buffers kept for the next batches. */
const MAX_FREE_BYTES = 128 * 1024 * 1024;

/** A place for a worker: the threads in it change, the place stays. */
interface Slot {
  readonly device: Device;
  thread: WorkerThread | undefined;
  /** When the thread had its sessions open again, by `performance.now()`: it may be given work. */
  readySince: number | undefined;
  /** The thread has answered a run. */
  hasServed: boolean;
  failedStarts: number;
  restart: NodeJS.Timeout | undefined;
}

/**
 * Start the workers. Resolves when all are ready; rejects, with none left, when they cannot start: with an OperatorError
 * where the engine is not installed.
 */
export async function createPool(options: PoolOptions): Promise<WorkerPool> {
  const { engine, engineOptions, onWorkerLost } = options;
  const workerFile = options.workerFile ?? fileURLToPath(new URL('./worker.js', import.meta.url));
  const buffers = createBufferPool(MAX_FREE_BYTES);
  const sessions = new Map<string, SessionSpec>();
  const listeners = new Set<() => void>();
  // The devices in turn, so that the first workers found idle are not all of one.
  const slots: Slot[] = Array.from({ length: options.workers * options.devices.length }, (_, index) => ({
    device: options.devices[index % options.devices.length]!,
    thread: undefined,
    readySince: undefined,
    hasServed: false,
    failedStarts: 0,
    restart: undefined,
  }));
  let provider: string | undefined;
  let replacements = 0;
  let failure: Error | undefined;
  let draining: Promise<void> | undefined;

  const notify = (): void => listeners.forEach((listener) => listener());
  const isGivenUp = (slot: Slot): boolean => slot.failedStarts >= START_ATTEMPTS;
  const isReady = (slot: Slot): boolean => slot.readySince !== undefined;
  const isIdle = (slot: Slot): boolean => isReady(slot) && slot.thread?.idle === true;
  const threads = (): WorkerThread[] => slots.flatMap(({ thread }) => (thread === undefined ? [] : [thread]));

  function start(slot: Slot): void {
    slot.restart = undefined;
    const thread = new WorkerThread(
      workerFile,
      { engine, options: { ...engineOptions, device: slot.device } },
      {
        onReady: () => void reopen(slot, thread),
        onIdle: () => {
          if (isReady(slot)) notify();
        },
        onLost: (error, busy) => replace(slot, error, busy),
      },
    );
    slot.thread = thread;
  }

  /** A session that does not open again is left to its next run, which tries once more and tells its caller why. */
  async function reopen(slot: Slot, thread: WorkerThread): Promise<void> {
    await Promise.allSettled([...sessions.values()].map((spec) => thread.open(spec)));
    if (!thread.ready) return;
    slot.readySince = performance.now();
    notify();
  }

  function replace(slot: Slot, error: WorkerLostError, wasBusy: boolean): void {
    const readyForMs = slot.readySince === undefined ? undefined : performance.now() - slot.readySince;
    const life = { readyForMs, hasServed: slot.hasServed, wasBusy };
    slot.thread = undefined;
    slot.readySince = undefined;
    slot.hasServed = false;
    if (draining !== undefined) return;
    if (error.cause instanceof OperatorError) {
      slot.failedStarts = START_ATTEMPTS;
      if (slots.every(isGivenUp)) failure = error.cause;
      notify();
      return;
    }
    const { failedStarts, during, restartInMs } = planRestart(slot.failedStarts, life);
    slot.failedStarts = failedStarts;
    onWorkerLost?.({ error, during, restartInMs });
    if (restartInMs !== undefined) {
      replacements += 1;
      if (restartInMs === 0) start(slot);
      else slot.restart = setTimeout(() => start(slot), restartInMs);
      return;
    }
    if (slots.every(isGivenUp)) failure = new Error(`no worker can be started: ${error.message}`, { cause: error });
    notify();
  }

  function assertWorking(): void {
    if (draining !== undefined) throw new Error('the pool is draining');
    if (failure !== undefined) throw failure;
  }

  async function runOn(slot: Slot, thread: WorkerThread, spec: SessionSpec, feeds: TensorMap): Promise<RunResult> {
    if (!thread.sessions.has(spec.id)) await thread.open(spec);
    const { outputs, runMs, buffers: used } = await thread.run(spec.id, feeds);
    if (slot.thread === thread) slot.hasServed = true;
    used.forEach((buffer) => buffers.recycle(buffer));
    return { outputs, runMs };
  }

  async function closeEverywhere(sessionId: string): Promise<void> {
    await Promise.allSettled(threads().map((thread) => thread.close(sessionId)));
  }

  async function endThreads(): Promise<void> {
    slots.forEach((slot) => clearTimeout(slot.restart));
    await Promise.all(
      threads().map((thread) => {
        thread.stop();
        return thread.exited;
      }),
    );
  }

  const pool: WorkerPool = {
    size: slots.length,
    get ready() {
      return slots.filter((slot) => isReady(slot) && slot.thread?.ready === true).length;
    },
    get idle() {
      return draining === undefined ? slots.filter(isIdle).length : 0;
    },
    get provider() {
      return provider;
    },
    get replacements() {
      return replacements;
    },
    get failure() {
      return failure;
    },
    async open(spec) {
      assertWorking();
      if (threads().length === 0) throw new Error('no worker is running; one is about to start again');
      const openOn = (some: readonly WorkerThread[]) => Promise.allSettled(some.map((thread) => thread.open(spec)));
      // What an engine keeps of a model the first worker makes, and the others find: else each would make its own.
      const all = threads();
      const ahead = spec.digest === undefined ? 0 : 1;
      const results = [...(await openOn(all.slice(0, ahead))), ...(await openOn(all.slice(ahead)))];
      const failed = results.find((result) => result.status === 'rejected');
      if (failed !== undefined) {
        await closeEverywhere(spec.id);
        throw failed.reason;
      }
      const opened = results.find((result) => result.status === 'fulfilled')?.value;
      provider = opened?.provider ?? provider;
      sessions.set(spec.id, spec);
      return opened?.warmUpMs ?? [];
    },
    async close(sessionId) {
      sessions.delete(sessionId);
      await closeEverywhere(sessionId);
    },
    run(sessionId, feeds) {
      assertWorking();
      const spec = sessions.get(sessionId);
      if (spec === undefined) throw new Error(`the session ${sessionId} is not open`);
      const slot = slots.find(isIdle);
      if (slot?.thread === undefined) throw new Error('no worker is idle');
      return runOn(slot, slot.thread, spec, feeds);
    },
    onIdle(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    acquireBuffer: (byteLength) => buffers.acquire(byteLength),
    drain() {
      draining ??= endThreads();
      return draining;
    },
  };

  await new Promise<void>((resolve, reject) => {
    const unlisten = pool.onIdle(() => {
      if (!slots.every((slot) => isReady(slot) || isGivenUp(slot))) return;
      unlisten();
      if (failure === undefined) resolve();
      else reject(failure);
    });
    slots.forEach(start);
  });
  return pool;
}
