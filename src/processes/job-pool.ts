/**
 * Processes that do single jobs, one or a few at a time each: started when there is more to do than those that run can take,
 * and replaced when they die. Jobs wait in their order. A job whose process is lost is tried once more, with a process to itself: so the one
 * that is to blame takes no other with it a second time.
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
}

export interface JobOptions {
  /** Absent: somebody waits to the end. */
  readonly signal?: AbortSignal | undefined;
  readonly maxAnswerBytes: number;
  /** The most milliseconds that the job may take in a process, a second try included. Default: any. */
  readonly limitMs?: number | undefined;
}

export interface JobPool<Job> {
  /**
   * Have a job done. When `signal` is aborted its process is told, and killed when it goes on; it is killed, too, when its
   * answer is longer than `maxAnswerBytes`, or takes longer than `limitMs`. Rejects with what the job throws, with the signal's
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

/** What processes have done for a job so far, in vain. */
interface Spent {
  tries: number;
  ms: number;
}

export function createJobPool<Job>({
  size,
  jobsEach = 1,
  task,
  workerFile: file,
  onWorkerLost,
}: JobPoolOptions): JobPool<Job> {
  const turns = pLimit(size * jobsEach);
  /** Those that have been started, in that order. */
  const slots: JobSlot<Job>[] = [];
  /** Jobs that each has now. */
  const taken = new Map<JobSlot<Job>, number>();
  /** Those that a job has to itself, or will have. */
  const kept = new Set<JobSlot<Job>>();
  const waiting = new Set<() => void>();
  let failure: Error | undefined;
  const wake = (): void => waiting.forEach((listener) => listener());
  const jobsOf = (slot: JobSlot<Job>): number => taken.get(slot) ?? 0;
  const fewest = (among: readonly JobSlot<Job>[]): JobSlot<Job> | undefined =>
    among.reduce<JobSlot<Job> | undefined>(
      (best, each) => (best === undefined || jobsOf(each) < jobsOf(best) ? each : best),
      undefined,
    );

  function startAnother(): void {
    const slot = new Slot<never, never, Job>(
      { file, start: { decoders: jobsEach }, sessions: () => [] },
      {
        onIdle: wake,
        onKept: () => undefined,
        onLost: (info) => onWorkerLost?.(info),
        onGivenUp(reason) {
          failure = reason;
          slots.splice(slots.indexOf(slot), 1);
          kept.delete(slot);
          wake();
        },
      },
    );
    slots.push(slot);
    slot.start();
  }

  /** Take a process for a job: the one with the fewest. `alone`: for this job only. There may be enough of them for all turns. */
  async function take(alone: boolean): Promise<JobSlot<Job>> {
    let own: JobSlot<Job> | undefined;
    for (;;) {
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
      if (failure !== undefined) {
        const cause = failure;
        // The next job tries again.
        failure = undefined;
        if (own !== undefined) kept.delete(own);
        throw new ServiceError('WORKER_LOST', `No process can be started to ${task}.`, { cause });
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

  async function tryOnce<Answer>(job: Job, { limitMs, ...options }: JobOptions, spent: Spent): Promise<Answer> {
    const alone = spent.tries > 0;
    const slot = await take(alone);
    const started = performance.now();
    try {
      options.signal?.throwIfAborted();
      const leftMs = limitMs === undefined ? undefined : limitMs - spent.ms;
      return await slot.do<Answer>(job, { ...options, limitMs: leftMs });
    } finally {
      spent.tries += 1;
      spent.ms += performance.now() - started;
      if (alone) kept.delete(slot);
      taken.set(slot, jobsOf(slot) - 1);
      wake();
    }
  }

  async function tryTwice<Answer>(wanted: () => Job, options: JobOptions): Promise<Answer> {
    const { signal, limitMs = Infinity } = options;
    const spent: Spent = { tries: 0, ms: 0 };
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await tryOnce<Answer>(wanted(), options, spent);
      } catch (cause) {
        if (!(cause instanceof WorkerLostError)) throw cause;
        if (spent.ms >= limitMs)
          throw new ServiceError('WORKER_LOST', `A process took too long to ${task}.`, { cause });
        if (spent.tries < 2) continue;
        throw new ServiceError('WORKER_LOST', `Two processes were lost that were to ${task}.`, { cause });
      }
    }
  }

  return {
    do<Answer>(job: Job, options: JobOptions): Promise<Answer> {
      const { signal } = options;
      // A job that nobody waits for keeps its turn, but not its memory.
      let wanted: Job | undefined = job;
      const drop = (): void => void (wanted = undefined);
      signal?.addEventListener('abort', drop, { once: true });
      return turns(() => tryTwice<Answer>(() => wanted!, options)).finally(() =>
        signal?.removeEventListener('abort', drop),
      );
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
