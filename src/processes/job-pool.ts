/**
 * Processes that do single jobs, one or a few at a time each: started when there is more to do than those that run can take,
 * and replaced when they die. Jobs wait in their order. A job whose process is lost is tried once more, with a process to itself: so the one
 * that is to blame takes no other with it a second time. When one cannot be started and no other is ready, every job that was
 * asked for before its last try is told so at once; a later job tries again.
 */
import pLimit from 'p-limit';
import { ServiceError, WorkerLostError } from '../errors.js';
import { Slot, type WorkerLost } from './slot.js';

export interface JobPoolOptions {
  /** Processes there may be. */
  readonly size: number;
  /** Jobs that each does at the same time. Default: 1. */
  readonly jobsEach?: number;
  /** What a job is, for whoever reads of a lost one: `draw this picture`. */
  readonly task: string;
  /** Path of the built file that they run. */
  readonly workerFile: string;
  /** Told of each process that dies, before it is replaced. */
  readonly onWorkerLost?: (info: WorkerLost) => void;
  /** Told when a process cannot be started and no other is ready. */
  readonly onNoneLeft?: (reason: Error) => void;
}

export interface JobOptions {
  /** Absent: somebody waits to the end. */
  readonly signal?: AbortSignal | undefined;
  readonly maxAnswerBytes: number;
  /** Whether a value is an answer; a process that sends another is replaced. Default: any is. */
  readonly isAnswer?: ((value: unknown) => boolean) | undefined;
  /** The most milliseconds that the job may take in a process, a second try included. Default: any. */
  readonly limitMs?: number | undefined;
}

export interface JobPool<Job> {
  /**
   * Have a job done. When `signal` is aborted its process is told, and killed when it goes on; it is killed, too, when its
   * answer is longer than `maxAnswerBytes`, is none by `isAnswer`, or takes longer than `limitMs`. Rejects with what the job throws, with the signal's
   * reason, or with WORKER_LOST.
   */
  do<Answer>(job: Job, options: JobOptions): Promise<Answer>;
  /** Start all processes that there may be, before there is anything to do. */
  start(): void;
  /** Have the processes that do nothing give free memory back to the system. */
  returnMemory(): Promise<void>;
  /** Finish what was asked, and end the processes. */
  drain(): Promise<void>;
}

type JobSlot<Job> = Slot<never, never, Job>;

/** A job on its way. */
interface Errand {
  /** Which of all jobs it is, from 1. */
  readonly number: number;
  readonly signal: AbortSignal | undefined;
  /** What processes have done for it so far, in vain. */
  tries: number;
  ms: number;
}

const isAlone = ({ tries }: Errand): boolean => tries > 0;

/** Why no process could be started. */
interface Failure {
  readonly cause: Error;
  /** The last job that was asked for before a try began that failed. */
  readonly upTo: number;
}

export function createJobPool<Job>({
  size,
  jobsEach = 1,
  task,
  workerFile: file,
  onWorkerLost,
  onNoneLeft,
}: JobPoolOptions): JobPool<Job> {
  const turns = pLimit(size * jobsEach);
  /** Those that have been started, in that order. */
  const slots: JobSlot<Job>[] = [];
  /** Jobs that each has now. */
  const taken = new WeakMap<JobSlot<Job>, number>();
  /** Those that a job has to itself, or will have. */
  const kept = new Set<JobSlot<Job>>();
  const waiting = new Set<() => void>();
  let asked = 0;
  let failure: Failure | undefined;
  const wake = (): void => waiting.forEach((listener) => listener());
  const jobsOf = (slot: JobSlot<Job>): number => taken.get(slot) ?? 0;
  const fewest = (among: readonly JobSlot<Job>[]): JobSlot<Job> | undefined =>
    among.reduce<JobSlot<Job> | undefined>(
      (best, each) => (best === undefined || jobsOf(each) < jobsOf(best) ? each : best),
      undefined,
    );

  function startAnother(): void {
    let askedBefore = asked;
    const slot = new Slot<never, never, Job>(
      { file, start: { decoders: jobsEach }, sessions: () => [] },
      {
        onStart: () => (askedBefore = asked),
        onIdle: wake,
        onKept: () => undefined,
        onLost: (info) => onWorkerLost?.(info),
        onGivenUp(reason) {
          slots.splice(slots.indexOf(slot), 1);
          kept.delete(slot);
          if (!slots.some(({ isReady }) => isReady)) {
            failure = { cause: reason, upTo: Math.max(failure?.upTo ?? 0, askedBefore) };
            onNoneLeft?.(reason);
          }
          wake();
        },
      },
    );
    slots.push(slot);
    slot.start();
  }

  /** Why a job need not wait for a process any longer. */
  function reasonToLeave({ number, signal }: Errand): Error | undefined {
    if (signal?.aborted === true) return signal.reason as Error;
    if (failure === undefined || number > failure.upTo) return undefined;
    return new ServiceError('WORKER_LOST', `No process can be started to ${task}.`, { cause: failure.cause });
  }

  /** Take a process for a job: the one with the fewest, and for a second try one to itself. There may be enough of them for all turns. */
  async function take(errand: Errand): Promise<JobSlot<Job>> {
    const alone = isAlone(errand);
    let own: JobSlot<Job> | undefined;
    for (;;) {
      const reason = reasonToLeave(errand);
      if (reason !== undefined) {
        if (own !== undefined) {
          kept.delete(own);
          wake();
        }
        throw reason;
      }
      // It gets no other job from now on, and is taken when it has none.
      if (alone && (own === undefined || !slots.includes(own))) {
        const others = slots.filter((slot) => !kept.has(slot));
        own = fewest(others.filter(({ isReady }) => isReady)) ?? fewest(others);
        if (own !== undefined) kept.add(own);
      }
      const candidates = alone ? [own].filter((slot) => slot !== undefined) : slots.filter((slot) => !kept.has(slot));
      const most = alone ? 1 : jobsEach;
      const slot = fewest(candidates.filter((each) => each.isReady && jobsOf(each) < most));
      if (slot !== undefined) {
        taken.set(slot, jobsOf(slot) + 1);
        return slot;
      }
      if (slots.length * jobsEach < turns.activeCount) startAnother();
      await new Promise<void>((resolve) => {
        const listener = (): void => {
          waiting.delete(listener);
          resolve();
        };
        waiting.add(listener);
      });
    }
  }

  async function tryOnce<Answer>(
    wanted: () => Job | undefined,
    { limitMs, ...options }: JobOptions,
    errand: Errand,
  ): Promise<Answer> {
    const alone = isAlone(errand);
    const slot = await take(errand);
    const started = performance.now();
    try {
      // Between the process and this line others have had their turn.
      options.signal?.throwIfAborted();
      const leftMs = limitMs === undefined ? undefined : limitMs - errand.ms;
      return await slot.do<Answer>(wanted()!, { ...options, limitMs: leftMs });
    } finally {
      errand.tries += 1;
      errand.ms += performance.now() - started;
      if (alone) kept.delete(slot);
      taken.set(slot, jobsOf(slot) - 1);
      wake();
    }
  }

  async function tryTwice<Answer>(wanted: () => Job | undefined, options: JobOptions, errand: Errand): Promise<Answer> {
    const { limitMs = Infinity } = options;
    for (;;) {
      try {
        return await tryOnce<Answer>(wanted, options, errand);
      } catch (cause) {
        if (!(cause instanceof WorkerLostError)) throw cause;
        if (errand.ms >= limitMs)
          throw new ServiceError('WORKER_LOST', `A process took too long to ${task}.`, { cause });
        if (errand.tries < 2) continue;
        throw new ServiceError('WORKER_LOST', `Two processes were lost that were to ${task}.`, { cause });
      }
    }
  }

  return {
    do<Answer>(job: Job, options: JobOptions): Promise<Answer> {
      const { signal } = options;
      const errand: Errand = { number: (asked += 1), signal, tries: 0, ms: 0 };
      // A job that nobody waits for ends at once. Its place in the queue stays, without its memory.
      let wanted: Job | undefined = job;
      let hasBegun = false;
      return new Promise<Answer>((resolve, reject) => {
        const drop = (): void => {
          wanted = undefined;
          if (!hasBegun) reject(signal!.reason as Error);
          wake();
        };
        signal?.addEventListener('abort', drop, { once: true });
        const done = turns(() => {
          hasBegun = true;
          return tryTwice<Answer>(() => wanted, options, errand);
        });
        void done.then(resolve, reject).finally(() => signal?.removeEventListener('abort', drop));
      });
    },
    start() {
      while (slots.length < size) startAnother();
    },
    async returnMemory() {
      await Promise.all(slots.map((slot) => slot.returnMemory()));
    },
    async drain() {
      while (turns.activeCount + turns.pendingCount > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      await Promise.all(slots.map((slot) => slot.end()));
    },
  };
}
