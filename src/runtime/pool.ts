/**
 * A fixed number of worker threads on each device, each with every open session. Hides which thread runs a request, and
 * the recycling of feed buffers; worker-slot.ts hides the lives of threads, open-sessions.ts the sessions on them. The
 * pool has no queue: the batcher decides what an idle worker runs (batching/batcher.ts).
 *
 * A dead worker is replaced, and its replacement opens the sessions again; a crash loop costs seconds, not a core. The
 * pool has failed when every worker has been given up; `failure` then says why.
 */
import { fileURLToPath } from 'node:url';
import { createBufferPool, type BufferPool } from '../buffer-pool.js';
import type { Device } from '../device.js';
import type { TensorMap } from '../tensor.js';
import type { EngineName } from './engines.js';
import { OpenSessions } from './open-sessions.js';
import type { EngineOptions, SessionSpec } from './session.js';
import { WorkerSlot, type WorkerLost } from './worker-slot.js';
import type { WorkerThread } from './worker-thread.js';

export type { WorkerLost } from './worker-slot.js';
export { WorkerLostError } from './worker-thread.js';

export interface PoolOptions {
  readonly devices: readonly Device[];
  /** Number of worker threads for each device. */
  readonly workers: number;
  readonly engine: EngineName;
  readonly engineOptions: Omit<EngineOptions, 'device'>;
  /** Path of the built worker.js; default: beside this file. */
  readonly workerFile?: string;
  /** Called for each worker that dies, before it is replaced. */
  readonly onWorkerLost?: (info: WorkerLost) => void;
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
  /** Workers started to replace a dead one. */
  readonly replacements: number;
  /** Why the pool has failed; undefined while it can run. */
  readonly failure: Error | undefined;
  /**
   * Open a session on every worker. Resolves to the milliseconds of its warm-ups, on the first device. Rejects with the
   * engine's message; the session is then open on none.
   */
  open(spec: SessionSpec): Promise<readonly number[]>;
  /** Close a session on every worker, after the runs in flight. Runs after this reject. */
  close(sessionId: string): Promise<void>;
  /**
   * Run on an idle worker; throws when none is. The feeds' whole buffers are transferred, so the caller gives them up
   * for good; `acquireBuffer` hands them out again. Rejects with WorkerLostError, or with the engine's message.
   */
  run(sessionId: string, feeds: TensorMap): Promise<RunResult>;
  /**
   * Call `callback` when a worker becomes idle, and when a worker is given up or the pool has failed. Returns a
   * function that ends this.
   */
  onIdle(callback: () => void): () => void;
  /** A buffer for feeds, of at least `byteLength` bytes and unknown content. */
  acquireBuffer(byteLength: number): ArrayBuffer;
  /**
   * Refuse new work, finish the runs in flight, end the threads. Call it before the process exits: exiting while the
   * engine runs aborts the process.
   */
  drain(): Promise<void>;
}

/** The built worker, beside this file. */
const WORKER_FILE = fileURLToPath(new URL('./worker.js', import.meta.url));

/** Feed buffers kept for the next batches. */
const MAX_FREE_BYTES = 128 * 1024 * 1024;

/**
 * Start the workers. Resolves when each is ready or given up. Rejects if all are given up, with an OperatorError if the
 * engine is not installed.
 */
export async function createPool(options: PoolOptions): Promise<WorkerPool> {
  const pool = new Pool(options);
  await pool.start();
  return pool;
}

class Pool implements WorkerPool {
  readonly #slots: readonly WorkerSlot[];
  readonly #sessions = new OpenSessions();
  readonly #buffers: BufferPool = createBufferPool(MAX_FREE_BYTES);
  readonly #listeners = new Set<() => void>();
  #failure: Error | undefined;
  #draining: Promise<void> | undefined;

  constructor({ devices, workers, engine, engineOptions, workerFile = WORKER_FILE, onWorkerLost }: PoolOptions) {
    // The devices alternate, so that the first idle workers found are not all on one device.
    const places = Array.from({ length: workers * devices.length }, (_, index) => devices[index % devices.length]!);
    this.#slots = places.map((device) => {
      const start = { engine, options: { ...engineOptions, device } };
      return new WorkerSlot(
        { workerFile, start, sessions: () => this.#sessions.list() },
        {
          onIdle: () => this.#notify(),
          onLost: (info) => onWorkerLost?.(info),
          onGivenUp: (reason) => {
            if (this.#slots.every((slot) => slot.isGivenUp)) this.#failure = reason;
            this.#notify();
          },
        },
      );
    });
  }

  /** Start the workers, as createPool does. Call it once. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const unlisten = this.onIdle(() => {
        if (!this.#slots.every((slot) => slot.isReady || slot.isGivenUp)) return;
        unlisten();
        if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      });
      this.#slots.forEach((slot) => slot.start());
    });
  }

  get size(): number {
    return this.#slots.length;
  }

  get ready(): number {
    return this.#slots.filter((slot) => slot.isReady).length;
  }

  get idle(): number {
    return this.#draining === undefined ? this.#slots.filter((slot) => slot.isIdle).length : 0;
  }

  get provider(): string | undefined {
    return this.#sessions.provider;
  }

  get replacements(): number {
    return this.#slots.reduce((sum, { replacements }) => sum + replacements, 0);
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  async open(spec: SessionSpec): Promise<readonly number[]> {
    this.#assertWorking();
    const threads = this.#threads();
    if (threads.length === 0) throw new Error('no worker is running; one is about to start again');
    return this.#sessions.open(spec, threads);
  }

  close(sessionId: string): Promise<void> {
    return this.#sessions.close(sessionId, this.#threads());
  }

  run(sessionId: string, feeds: TensorMap): Promise<RunResult> {
    this.#assertWorking();
    const spec = this.#sessions.get(sessionId);
    const slot = this.#slots.find(({ isIdle }) => isIdle);
    if (slot === undefined) throw new Error('no worker is idle');
    return this.#runOn(slot, spec, feeds);
  }

  onIdle(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  acquireBuffer(byteLength: number): ArrayBuffer {
    return this.#buffers.acquire(byteLength);
  }

  drain(): Promise<void> {
    this.#draining ??= Promise.all(this.#slots.map((slot) => slot.end())).then(() => undefined);
    return this.#draining;
  }

  async #runOn(slot: WorkerSlot, spec: SessionSpec, feeds: TensorMap): Promise<RunResult> {
    const { outputs, runMs, buffers } = await slot.run(spec, feeds);
    buffers.forEach((buffer) => this.#buffers.recycle(buffer));
    return { outputs, runMs };
  }

  /** The threads that run or start. A dead one is missing until its replacement starts. */
  #threads(): WorkerThread[] {
    return this.#slots.flatMap(({ thread }) => thread ?? []);
  }

  #assertWorking(): void {
    if (this.#draining !== undefined) throw new Error('the pool is draining');
    if (this.#failure !== undefined) throw this.#failure;
  }

  #notify(): void {
    this.#listeners.forEach((listener) => listener());
  }
}
