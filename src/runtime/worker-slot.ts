/**
 * A place for a worker: its threads change, the place stays. Hides a thread's life: it starts, opens the current
 * sessions, runs, dies, and is then replaced or given up, as restart-policy.ts decides. A worker is given up at once if
 * its engine is not installed.
 */
import { OperatorError } from '../errors.js';
import type { TensorMap } from '../tensor.js';
import { planRestart, type Restart } from './restart-policy.js';
import type { SessionSpec } from './session.js';
import type { WorkerStart } from './worker-protocol.js';
import { WorkerThread, type Ran, type WorkerLostError } from './worker-thread.js';

export interface WorkerLost {
  readonly error: Error;
  /** `start`: before it had proven itself; `run`: in a run, or later. */
  readonly during: Restart['during'];
  /** When its replacement starts; undefined when it is given up. */
  readonly restartInMs: number | undefined;
}

export interface WorkerSlotOptions {
  /** Path of the built worker.js. */
  readonly workerFile: string;
  readonly start: WorkerStart;
  /** The sessions that a new thread opens before it is given work. */
  readonly sessions: () => readonly SessionSpec[];
}

export interface WorkerSlotEvents {
  /** The worker may be given a run. */
  onIdle(): void;
  /** A worker died; `info` says whether it is replaced. Not called if its engine is not installed. */
  onLost(info: WorkerLost): void;
  /** No thread will be started here any more; `reason` says why. */
  onGivenUp(reason: Error): void;
}

export class WorkerSlot {
  readonly #options: WorkerSlotOptions;
  readonly #events: WorkerSlotEvents;
  #thread: WorkerThread | undefined;
  /** When the thread had opened its sessions, by `performance.now()`. */
  #readySince: number | undefined;
  /** The thread has answered a run. */
  #hasServed = false;
  #failedStarts = 0;
  #replacements = 0;
  #restart: NodeJS.Timeout | undefined;
  #isGivenUp = false;
  #isEnding = false;

  constructor(options: WorkerSlotOptions, events: WorkerSlotEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** The thread that is starting or running here; undefined between two. */
  get thread(): WorkerThread | undefined {
    return this.#thread;
  }

  /** The thread has started and opened its sessions: it may be given work. */
  get isReady(): boolean {
    return this.#readySince !== undefined && this.#thread?.ready === true;
  }

  /** Ready, with nothing to do. */
  get isIdle(): boolean {
    return this.isReady && this.#thread?.idle === true;
  }

  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  /** Threads that replaced a dead one, or are about to. */
  get replacements(): number {
    return this.#replacements;
  }

  start(): void {
    const thread = new WorkerThread(this.#options.workerFile, this.#options.start, {
      onReady: () => void this.#reopen(thread),
      onIdle: () => {
        if (this.isReady) this.#events.onIdle();
      },
      onLost: (error, wasBusy) => this.#replace(error, wasBusy),
    });
    this.#thread = thread;
  }

  /**
   * Run here; only while `isIdle`, which is false at once. Rejects with WorkerLostError, or with the engine's message.
   */
  async run(spec: SessionSpec, feeds: TensorMap): Promise<Ran> {
    const thread = this.#thread!;
    // The session did not open when the thread started. Another try tells the caller why.
    if (!thread.sessions.has(spec.id)) await thread.open(spec);
    const ran = await thread.run(spec.id, feeds);
    if (this.#thread === thread) this.#hasServed = true;
    return ran;
  }

  /** Let the thread finish its requests, and start no other. */
  async end(): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#restart);
    this.#thread?.stop();
    await this.#thread?.exited;
  }

  /** A session that does not open here is opened by its next run, which tries once more. */
  async #reopen(thread: WorkerThread): Promise<void> {
    await Promise.allSettled(this.#options.sessions().map((spec) => thread.open(spec)));
    if (!thread.ready) return;
    this.#readySince = performance.now();
    this.#events.onIdle();
  }

  #replace(error: WorkerLostError, wasBusy: boolean): void {
    const readyForMs = this.#readySince === undefined ? undefined : performance.now() - this.#readySince;
    const life = { readyForMs, hasServed: this.#hasServed, wasBusy };
    this.#thread = undefined;
    this.#readySince = undefined;
    this.#hasServed = false;
    if (this.#isEnding) return;
    if (error.cause instanceof OperatorError) {
      this.#giveUp(error.cause);
      return;
    }
    const { failedStarts, during, restartInMs } = planRestart(this.#failedStarts, life);
    this.#failedStarts = failedStarts;
    this.#events.onLost({ error, during, restartInMs });
    if (restartInMs === undefined) {
      this.#giveUp(new Error(`no worker can be started: ${error.message}`, { cause: error }));
      return;
    }
    this.#replacements += 1;
    if (restartInMs === 0) this.start();
    else this.#restart = setTimeout(() => this.start(), restartInMs);
  }

  #giveUp(reason: Error): void {
    this.#isGivenUp = true;
    this.#events.onGivenUp(reason);
  }
}
