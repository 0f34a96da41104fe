/**
 * A place for a process: the processes in it change, the place stays. Hides a process's life: it starts, opens the sessions
 * that there are, works, dies, and is replaced when restart-policy.ts says so, or is given up. A process whose engine is
 * not installed is given up at once.
 */
import { OperatorError, WorkerLostError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import { Child, type AskOptions } from './child.js';
import { KeptMemory } from './kept-memory.js';
import { lanesOf, type ProcessStart, type RanBatch } from './protocol.js';
import { planRestart, type Restart } from './restart-policy.js';

export interface WorkerLost {
  readonly error: Error;
  /** `start`: before it had proven itself; `run`: while it was asked something, or later. */
  readonly during: Restart['during'];
  /** When its replacement starts; undefined when it is given up. */
  readonly restartInMs: number | undefined;
}

export interface SlotOptions {
  /** Path of the built file that the process runs. */
  readonly file: string;
  readonly start: ProcessStart;
  /** The sessions that a new process opens before it is given work. */
  readonly sessions: () => readonly SessionSpec[];
}

export interface RunOptions extends AskOptions {
  /** Milliseconds that the run is expected to take inside the engine; absent: unknown. */
  readonly expectedMs?: number | undefined;
  /** Memory that the run takes, by estimate. */
  readonly bytes?: number | undefined;
}

interface Run {
  /** The time has passed that it was expected to take. */
  shouldBeOver: boolean;
}

export interface SlotEvents {
  /** A process is about to be started here: the first, or one more after a loss. */
  onStart?(): void;
  /** It may be asked. */
  onIdle(): void;
  /** `kept` has changed. */
  onKept(): void;
  /** A process died, or one that it had started, and is to be replaced or not. Not said of one whose engine is not installed. */
  onLost(info: WorkerLost): void;
  /** No process will be started here any more, and why. */
  onGivenUp(reason: Error): void;
}

export class Slot<Work = unknown, Output = unknown, Job = unknown> {
  readonly #options: SlotOptions;
  readonly #events: SlotEvents;
  /** What the process keeps of runs that are over. */
  readonly #kept: KeptMemory;
  #child: Child<Work, Output, Job> | undefined;
  /** When the process had its sessions open again, by `performance.now()`. */
  #readySince: number | undefined;
  /** The process has answered a run or a job. */
  #hasServed = false;
  #failedStarts = 0;
  #replacements = 0;
  /** That are not over. */
  readonly #runs = new Set<Run>();
  /** Runs that the process may have at the same time. */
  readonly lanes: number;
  #isShrinking = false;
  #restart: NodeJS.Timeout | undefined;
  #isGivenUp = false;
  #isEnding = false;

  constructor(options: SlotOptions, events: SlotEvents) {
    this.#options = options;
    this.lanes = lanesOf(options.start);
    this.#events = events;
    this.#kept = new KeptMemory({ onChange: () => events.onKept(), onUnused: () => void this.shrink() });
  }

  /** The process that is starting or running here; undefined between two. */
  get child(): Child<Work, Output, Job> | undefined {
    return this.#child;
  }

  /** The process has started and opened its sessions: it may be given work. */
  get isReady(): boolean {
    return this.#readySince !== undefined && this.#child?.ready === true;
  }

  /** Ready, with nothing to do. */
  get isIdle(): boolean {
    return this.free === this.lanes;
  }

  /** Runs that would begin at once. */
  get free(): number {
    return this.#isAskedRunsAlone ? Math.max(0, this.lanes - this.#runs.size) : 0;
  }

  /**
   * Runs that may be asked now: those that begin at once, and in each lane one more behind a run that should be over by the time that the
   * images of the next are decoded. Decoding takes as long for that run as for the next: it began when the run was asked, so
   * the next may come when the time in the engine has passed since then.
   */
  get places(): number {
    if (!this.#isAskedRunsAlone) return 0;
    const due = [...this.#runs].filter(({ shouldBeOver }) => !shouldBeOver).length;
    return Math.max(0, Math.min(this.lanes - due, 2 * this.lanes - this.#runs.size));
  }

  /** Sessions that are opened or closed are a reason to wait. */
  get #isAskedRunsAlone(): boolean {
    return this.isReady && this.#child?.load === this.#runs.size;
  }

  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  /** Processes started in the place of a dead one, or about to be. */
  get replacements(): number {
    return this.#replacements;
  }

  /** Bytes that the process keeps of runs that are over, beside the memory of those that are not. */
  get keptBytes(): number {
    return this.#kept.bytes;
  }

  /** Those of them that the next run of a session finds there. */
  keptFor(session: string): number {
    return this.#kept.of(session);
  }

  /** Have the process give them back, after the runs that it was asked for. Does nothing if it keeps nothing. */
  async shrink(): Promise<void> {
    const child = this.#child;
    if (child?.ready !== true || this.#isShrinking || this.#kept.bytes === 0) return;
    this.#isShrinking = true;
    try {
      await child.shrink();
      if (this.#child === child) this.#kept.gone();
    } catch {
      // It is lost, and its memory with it.
    } finally {
      this.#isShrinking = false;
    }
  }

  /** Have the process give free memory back to the system. */
  async returnMemory(): Promise<void> {
    // If it is lost, its memory is back.
    if (this.isIdle) await this.#child?.returnMemory().catch(() => undefined);
  }

  start(): void {
    this.#events.onStart?.();
    const child = new Child<Work, Output, Job>(this.#options.file, this.#options.start, {
      onReady: () => void this.#reopen(child),
      onIdle: () => {
        if (this.isIdle) this.#events.onIdle();
      },
      onHelperLost: ({ message, during, restartInMs }) =>
        this.#events.onLost({ error: new WorkerLostError(message), during, restartInMs }),
      onLost: (error, wasBusy) => this.#replace(error, wasBusy),
    });
    this.#child = child;
  }

  /**
   * Run here; only while there are `places`, which are one less at once. Rejects with WorkerLostError, or with the engine's
   * message.
   */
  async run(spec: SessionSpec, works: readonly Work[], options: RunOptions = {}): Promise<RanBatch<Output>> {
    const child = this.#child!;
    const { bytes = 0 } = options;
    let hasGrown = false;
    const run: Run = { shouldBeOver: false };
    this.#runs.add(run);
    const timer = this.#expect(run, options.expectedMs);
    this.#kept.began(spec.id, bytes);
    try {
      // It did not open when the process was started: its caller is told why.
      if (!child.sessions.has(spec.id)) await child.open(spec);
      const ran = await child.run(spec.id, works, options);
      hasGrown = ran.hasGrown && this.#child === child;
      return this.#served(child, ran);
    } finally {
      this.#runs.delete(run);
      this.#kept.ended(spec.id, bytes, hasGrown);
      clearTimeout(timer);
      if (this.places > 0) this.#events.onIdle();
    }
  }

  /** Have a job done here, beside others; only while `isReady`. Rejects as `run` does. */
  async do<Answer>(job: Job, options?: AskOptions): Promise<Answer> {
    const child = this.#child!;
    return this.#served(child, await child.do<Answer>(job, options));
  }

  /** Let the process finish what it was asked, and start no other. */
  async end(): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#restart);
    this.#child?.stop();
    await this.#child?.exited;
  }

  #expect(run: Run, expectedMs: number | undefined): NodeJS.Timeout | undefined {
    if (expectedMs === undefined) return undefined;
    // The timer alone decides. A clock that is read when it rings may lag behind it, and then nobody would look again.
    return setTimeout(() => {
      run.shouldBeOver = true;
      if (this.places > 0) this.#events.onIdle();
    }, Math.ceil(expectedMs));
  }

  #served<T>(child: Child<Work, Output, Job>, answer: T): T {
    if (this.#child === child) this.#hasServed = true;
    return answer;
  }

  /** A session that does not open again is left to its next run, which tries once more. */
  async #reopen(child: Child<Work, Output, Job>): Promise<void> {
    await Promise.allSettled(this.#options.sessions().map((spec) => child.open(spec)));
    if (!child.ready) return;
    this.#readySince = performance.now();
    this.#events.onIdle();
  }

  #replace(error: WorkerLostError, wasBusy: boolean): void {
    const readyForMs = this.#readySince === undefined ? undefined : performance.now() - this.#readySince;
    const life = { readyForMs, hasServed: this.#hasServed, wasBusy };
    this.#child = undefined;
    this.#kept.gone();
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
