/**
 * Processes that do single jobs, one at a time each: started when there is more to do than those that run can take, and
 * replaced when they die. Jobs wait in their order. A job whose process is lost is tried once more, in another.
 */
import pLimit from 'p-limit';
import { ServiceError, WorkerLostError } from '../errors.js';
import { Slot, type WorkerLost } from './slot.js';

export interface JobPoolOptions {
  /** Processes there may be. */
  readonly size: number;
  /** Path of the built file that they run. */
  readonly workerFile: string;
  /** Told of each process that dies, before it is replaced. */
  readonly onWorkerLost?: (info: WorkerLost) => void;
}

export interface JobOptions {
  readonly signal: AbortSignal;
  readonly maxAnswerBytes: number;
}

export interface JobPool<Job> {
  /**
   * Have a job done. When `signal` is aborted its process is told, and killed when it goes on; it is killed, too, when its
   * answer is longer than `maxAnswerBytes`. Rejects with what the job throws, with the signal's reason, or with WORKER_LOST.
   */
  do<Answer>(job: Job, options: JobOptions): Promise<Answer>;
  /** Have the processes that do nothing give free memory back to the system. */
  returnMemory(): Promise<void>;
  /** Finish what was asked, and end the processes. */
  drain(): Promise<void>;
}

export function createJobPool<Job>({ size, workerFile: file, onWorkerLost }: JobPoolOptions): JobPool<Job> {
  const turns = pLimit(size);
  /** Those that have been started, in that order. */
  const slots: Slot<never, never, Job>[] = [];
  const taken = new Set<Slot<never, never, Job>>();
  const waiting = new Set<() => void>();
  let failure: Error | undefined;
  const wake = (): void => waiting.forEach((listener) => listener());

  function startAnother(): void {
    const slot = new Slot<never, never, Job>(
      { file, start: { decoders: 1 }, sessions: () => [] },
      {
        onIdle: wake,
        onKept: () => undefined,
        onLost: (info) => onWorkerLost?.(info),
        onGivenUp(reason) {
          failure = reason;
          slots.splice(slots.indexOf(slot), 1);
          wake();
        },
      },
    );
    slots.push(slot);
    slot.start();
  }

  /** Take a process with nothing to do. There may be one for each turn. */
  async function takeIdle(): Promise<Slot<never, never, Job>> {
    for (;;) {
      const idle = slots.find((slot) => slot.isIdle && !taken.has(slot));
      if (idle !== undefined) {
        taken.add(idle);
        return idle;
      }
      if (failure !== undefined) {
        const cause = failure;
        // The next job tries again.
        failure = undefined;
        throw new ServiceError('WORKER_LOST', 'No process that draws can be started.', { cause });
      }
      if (slots.length < turns.activeCount) startAnother();
      await new Promise<void>((resolve) => {
        const listener = (): void => {
          waiting.delete(listener);
          resolve();
        };
        waiting.add(listener);
      });
    }
  }

  async function tryOnce<Answer>(job: Job, options: JobOptions): Promise<Answer> {
    const slot = await takeIdle();
    try {
      options.signal.throwIfAborted();
      return await slot.do<Answer>(job, options);
    } finally {
      taken.delete(slot);
      wake();
    }
  }

  return {
    do<Answer>(job: Job, options: JobOptions): Promise<Answer> {
      const { signal } = options;
      // A job that nobody waits for keeps its turn, but not its memory.
      let wanted: Job | undefined = job;
      const drop = (): void => void (wanted = undefined);
      signal.addEventListener('abort', drop, { once: true });
      return turns(async (): Promise<Answer> => {
        signal.throwIfAborted();
        try {
          return await tryOnce<Answer>(wanted!, options);
        } catch (error) {
          if (!(error instanceof WorkerLostError)) throw error;
          signal.throwIfAborted();
          return await tryOnce<Answer>(wanted!, options).catch(twiceLost);
        }
      }).finally(() => signal.removeEventListener('abort', drop));
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

function twiceLost(error: unknown): never {
  if (!(error instanceof WorkerLostError)) throw error;
  throw new ServiceError('WORKER_LOST', 'Two processes were lost while they drew this picture.', { cause: error });
}
