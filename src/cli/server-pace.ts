/**
 * How fast a server is asked. A request that the server refuses for now (429, 503) is sent again after its Retry-After.
 * Until then nothing else is sent, and from then on half as many requests are in flight: the server has said that it is
 * asked for too much. Hides how long that is worth it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { ProblemError } from '../client/index.js';

/** Seconds that a request waits for its Retry-Afters together. Longer than a minute, in which a key's cost is counted. */
const PATIENCE_S = 120;

const REFUSED_FOR_NOW: readonly number[] = [429, 503];

export interface Pace {
  /**
   * Send a request, again where it is refused for now, and resolve to its answer. Rejects with the last refusal if the next
   * try is too far off, with any other error of `send` at once, and with the reason of `signal` if that aborts.
   */
  ask<T>(send: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** `wait` resolves after so many seconds, or rejects if the signal aborts. */
export function createPace(atOnce: number, wait = waitSeconds): Pace {
  const slots = pLimit(atOnce);
  let pause: Promise<unknown> = Promise.resolve();
  /** How often the server was found to be asked for too much. */
  let round = 0;

  async function pauses(): Promise<void> {
    for (let seen: Promise<unknown> | undefined; seen !== pause;) await (seen = pause);
  }

  function slowDown(sentIn: number, seconds: number, signal: AbortSignal): void {
    pause = Promise.all([pause, wait(seconds, signal)]);
    pause.catch(() => undefined);
    // What was sent before the last time is refused for the same reason.
    if (sentIn < round) return;
    round += 1;
    slots.concurrency = Math.max(1, Math.floor(Math.min(slots.concurrency, slots.activeCount) / 2));
  }

  return {
    async ask(send, signal) {
      for (let waitedS = 0; ;) {
        const sent = await slots(async () => {
          await pauses();
          signal.throwIfAborted();
          const sentIn = round;
          try {
            return { answer: await send() };
          } catch (error) {
            if (!isRefusedForNow(error)) throw error;
            const seconds = Math.max(1, error.retryAfterS ?? 1);
            waitedS += seconds;
            if (waitedS > PATIENCE_S) throw error;
            slowDown(sentIn, seconds, signal);
            return undefined;
          }
        });
        if (sent !== undefined) return sent.answer;
      }
    },
  };
}

function isRefusedForNow(error: unknown): error is ProblemError {
  return error instanceof ProblemError && REFUSED_FOR_NOW.includes(error.problem.status);
}

function waitSeconds(seconds: number, signal: AbortSignal): Promise<void> {
  return sleep(seconds * 1000, undefined, { signal });
}
