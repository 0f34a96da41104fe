/**
 * A fixed number of workers for each device: places for a run at a time. A process is a worker, or several where its engine has
 * lanes for them; each has every open session. Hides which process runs what; slot.ts hides the lives of processes,
 * open-sessions.ts what is open in them. The pool has no queue: the batcher decides what runs when a worker is idle
 * (batching/batcher.ts).
 *
 * A dead process is replaced and opens the sessions again; a crash loop costs seconds, not a core. The pool has failed when
 * every process has been given up; it then says why to whoever asks.
 */
import { deviceName, type Device } from '../device.js';
import { decodingProcesses } from '../runtime/device-policy.js';
import type { EngineName } from '../runtime/engines.js';
import type { EngineOptions, SessionSpec } from '../runtime/session.js';
import type { Child } from './child.js';
import { OpenSessions } from './open-sessions.js';
import { fromPlainError, type RanBatch } from './protocol.js';
import { Slot, type RunOptions, type WorkerLost } from './slot.js';

export type { WorkerLost } from './slot.js';

export interface PoolOptions {
  readonly devices: readonly Device[];
  /** Runs at the same time on each device. */
  readonly workers: number;
  /** The most workers that one process is. Default: 1. */
  readonly lanes?: number | undefined;
  readonly engine: EngineName;
  readonly engineOptions: Omit<EngineOptions, 'device' | 'lanes'>;
  /** Images that each worker decodes at the same time. */
  readonly decoders: number;
  /**
   * The most images that a process decodes at the same time; where a worker's process would decode more, it has processes of
   * its own for that. Default: any number.
   */
  readonly decodersEach?: number | undefined;
  /** Path of the built file that the processes run. */
  readonly workerFile: string;
  /** Told how many bytes the processes keep of runs that are over, when that has changed. */
  readonly onKept?: ((bytes: number) => void) | undefined;
  /** Told of each process that dies, before it is replaced. */
  readonly onWorkerLost?: (info: WorkerLost) => void;
}

/** What became of one item of a batch. */
export type ItemOutcome<Output> = { readonly output: Output } | { readonly error: Error };

export interface BatchResult<Output> {
  /** In the order of the batch. The caller owns the outputs. */
  readonly outcomes: readonly ItemOutcome<Output>[];
  /** Time inside the engine, in milliseconds. */
  readonly runMs: number;
  /** When the engine was done, by the machine's clock; undefined if nothing ran. */
  readonly ranAtMachineMs: number | undefined;
  /** The process that ran it: its place, which stays when it is replaced, and its device. */
  readonly worker: { readonly number: number; readonly device: string };
}

export interface WorkerPool<Work, Output> {
  /** Number of workers on all devices: those asked for, less those whose process has been given up. */
  readonly size: number;
  /** Processes that have started and opened their sessions. */
  readonly ready: number;
  /** Processes by their state. */
  readonly processes: Readonly<Record<'ready' | 'starting' | 'given_up', number>>;
  /** Runs that may be started now: by workers with nothing to do, or about to have nothing (slot.ts). */
  readonly idle: number;
  /** Those of them by workers with nothing to do. */
  readonly free: number;
  /** The execution provider of the session opened last; undefined before the first. */
  readonly provider: string | undefined;
  /** Processes started in the place of a dead one. */
  readonly replacements: number;
  /** Why the pool can run nothing any more; undefined while it can. */
  readonly failure: Error | undefined;
  /** Of the processes that run or start, for those who watch them. */
  readonly pids: readonly number[];
  /**
   * Open a session in every process. Resolves to the milliseconds of its warm-ups, on the first device. Rejects with the
   * engine's message, and then it is open in none.
   */
  open(spec: SessionSpec): Promise<readonly number[]>;
  /** Close a session in every process, after the runs in flight. Runs after this reject. */
  close(sessionId: string): Promise<void>;
  /**
   * Run a batch in an idle process; throws when none is. Items that fail by themselves are outcomes; the whole rejects with
   * WorkerLostError, or with the engine's message.
   */
  run(sessionId: string, works: readonly Work[], options?: RunOptions): Promise<BatchResult<Output>>;
  /** Be told when a process becomes idle or takes its next run, and when the pool has failed. Returns a function that ends this. */
  onIdle(callback: () => void): () => void;
  /** Bytes that the process of the next run keeps of earlier runs of its session, which it will use. */
  keptForNext(sessionId: string): number;
  /** Have all processes give back what they keep of runs that are over. */
  shrink(): void;
  /** Have the processes that do nothing give free memory back to the system. */
  returnMemory(): Promise<void>;
  /** Refuse new work, finish what runs, end the processes. */
  drain(): Promise<void>;
}

/**
 * Start the processes. Resolves when all are ready; rejects, with none left, when they cannot start: with an OperatorError
 * where the engine is not installed.
 */
export async function createPool<Work, Output>(options: PoolOptions): Promise<WorkerPool<Work, Output>> {
  const pool = new Pool<Work, Output>(options);
  await pool.start();
  return pool;
}

class Pool<Work, Output> implements WorkerPool<Work, Output> {
  readonly #slots: readonly Slot<Work, Output>[];
  /** Of each slot. */
  readonly #workers: readonly BatchResult<Output>['worker'][];
  readonly #sessions = new OpenSessions();
  readonly #listeners = new Set<() => void>();
  #failure: Error | undefined;
  #draining: Promise<void> | undefined;

  constructor({
    devices,
    workers,
    lanes: most = 1,
    engine,
    engineOptions,
    decoders,
    decodersEach,
    workerFile: file,
    ...told
  }: PoolOptions) {
    // The devices in turn, so that the first processes found idle are not all of one.
    const starts = shared(workers, most).flatMap((lanes) => devices.map((device) => ({ device, lanes })));
    this.#workers = starts.map(({ device }, number) => ({ number, device: deviceName(device) }));
    this.#slots = starts.map(({ device, lanes }) => {
      const processes = decodingProcesses({ decodersEach }, decoders * lanes);
      const start = {
        engine: { name: engine, options: { ...engineOptions, device, lanes } },
        decoders: decoders * lanes,
        decoding: processes > 0 ? { processes } : undefined,
      };
      return new Slot<Work, Output>(
        { file, start, sessions: () => this.#sessions.list() },
        {
          onIdle: () => this.#notify(),
          onKept: () => told.onKept?.(this.#slots.reduce((sum, { keptBytes }) => sum + keptBytes, 0)),
          onLost: (info) => told.onWorkerLost?.(info),
          onGivenUp: (reason) => {
            if (this.#slots.every((slot) => slot.isGivenUp)) this.#failure = reason;
            this.#notify();
          },
        },
      );
    });
  }

  /** Start the processes, as createPool does. To be called once. */
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
    return this.#slots.reduce((sum, { lanes, isGivenUp }) => sum + (isGivenUp ? 0 : lanes), 0);
  }

  get ready(): number {
    return this.#slots.filter((slot) => slot.isReady).length;
  }

  get processes(): Readonly<Record<'ready' | 'starting' | 'given_up', number>> {
    const given_up = this.#slots.filter((slot) => slot.isGivenUp).length;
    return { ready: this.ready, starting: this.#slots.length - this.ready - given_up, given_up };
  }

  get idle(): number {
    return this.#draining === undefined ? this.#slots.reduce((sum, { places }) => sum + places, 0) : 0;
  }

  get free(): number {
    return this.#draining === undefined ? this.#slots.reduce((sum, { free }) => sum + free, 0) : 0;
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

  get pids(): readonly number[] {
    return this.#children().flatMap(({ pid }) => pid ?? []);
  }

  async open(spec: SessionSpec): Promise<readonly number[]> {
    this.#assertWorking();
    const children = this.#children();
    if (children.length === 0) throw new Error('no worker is running; one is about to start again');
    return this.#sessions.open(spec, children);
  }

  close(sessionId: string): Promise<void> {
    return this.#sessions.close(sessionId, this.#children());
  }

  run(sessionId: string, works: readonly Work[], options?: RunOptions): Promise<BatchResult<Output>> {
    this.#assertWorking();
    const spec = this.#sessions.get(sessionId);
    const slot = this.#next();
    if (slot === undefined) throw new Error('no worker is idle');
    const worker = this.#workers[this.#slots.indexOf(slot)]!;
    return slot.run(spec, works, options).then((ran) => asResult(ran, worker));
  }

  onIdle(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  keptForNext(sessionId: string): number {
    return this.#next()?.keptFor(sessionId) ?? 0;
  }

  shrink(): void {
    this.#slots.forEach((slot) => void slot.shrink());
  }

  async returnMemory(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.returnMemory()));
  }

  drain(): Promise<void> {
    this.#draining ??= Promise.all(this.#slots.map((slot) => slot.end())).then(() => undefined);
    return this.#draining;
  }

  /** Those that run or start; in the place of a dead one there is none for a moment. */
  #children(): Child<Work, Output>[] {
    return this.#slots.flatMap(({ child }) => child ?? []);
  }

  /** Where the next run begins: where most workers have nothing to do. */
  #next(): Slot<Work, Output> | undefined {
    const most = (number: (slot: Slot<Work, Output>) => number): Slot<Work, Output> | undefined => {
      const greatest = Math.max(0, ...this.#slots.map(number));
      return greatest === 0 ? undefined : this.#slots.find((slot) => number(slot) === greatest);
    };
    return most(({ free }) => free) ?? most(({ places }) => places);
  }

  #assertWorking(): void {
    if (this.#draining !== undefined) throw new Error('the pool is draining');
    if (this.#failure !== undefined) throw this.#failure;
  }

  #notify(): void {
    this.#listeners.forEach((listener) => listener());
  }
}

/** The workers of each process: as few processes as may be, with about as many each. */
function shared(workers: number, most: number): number[] {
  const processes = Math.ceil(workers / most);
  return Array.from({ length: processes }, (_, index) => Math.floor((workers + index) / processes));
}

function asResult<Output>(
  { outcomes, runMs, ranAtMachineMs }: RanBatch<Output>,
  worker: BatchResult<Output>['worker'],
): BatchResult<Output> {
  const items = outcomes.map((outcome) => ('error' in outcome ? { error: fromPlainError(outcome.error) } : outcome));
  return { outcomes: items, runMs, ranAtMachineMs, worker };
}
