/**
 * Places in the server. A request takes one for each of its passes before anything is decoded, and gives all of them
 * back when nothing of it runs any more. So a full server refuses at once and says when to retry. The last quarter of the
 * places is kept for small requests: a few requests of many passes do not shut out everybody else. Requests that wait for a
 * model to be loaded have half of the places at most: the models that are there go on to answer.
 */
import type { Asker } from '../batching/expected-wait.js';
import { ServiceError, type ExceededLimit } from '../errors.js';

/** A request of so many passes is small. */
const SMALL = 4;

export interface Admission {
  /** Places taken now. */
  readonly admitted: number;
  /**
   * Take `count` places. The caller must call the returned function once to give them back. Throws QUEUE_FULL, or
   * INVALID_REQUEST if `count` is above `maxQueue`.
   */
  admit(count: number): () => void;
  /**
   * As `admit`, for the time that a request waits for its model to be loaded. The places are to be given back before it is
   * admitted.
   */
  admitWaiting(count: number): () => void;
  /**
   * Why a request of `asker` that came now is refused: no place is free, or it would wait longer for a worker than this. Undefined
   * if it is not. Costs less than an error.
   */
  whyFull(limitMs: number, asker: Asker): Full | undefined;
  /** Throws QUEUE_FULL with that reason. */
  checkWait(limitMs: number, asker: Asker): void;
}

/** A refusal with QUEUE_FULL, as plain data. */
export interface Full {
  readonly detail: string;
  readonly retryAfterS: number;
  readonly limit: ExceededLimit;
}

export interface AdmissionOptions {
  /** All places, taken or free. */
  readonly maxQueue: number;
  /** How long a request would wait, of a certain asker or behind all others; becomes the Retry-After of a refused one. */
  readonly expectedWaitMs: (asker?: Asker) => number;
}

export function createAdmission({ maxQueue, expectedWaitMs }: AdmissionOptions): Admission {
  let admitted = 0;
  let waiting = 0;
  const maxWaiting = Math.max(1, Math.floor(maxQueue / 2));
  const full = (detail: string, waitMs: number, limit: ExceededLimit): Full => ({
    detail,
    retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)),
    limit,
  });
  const noPlace = (value: number, count: number): Full =>
    full(
      `The server is at its limit of ${value} passes (images × scales × mirrors)${value < maxQueue ? ' for large requests' : ''}.`,
      expectedWaitMs(),
      {
        name: 'passes',
        value,
        needed: admitted + count,
      },
    );

  function whyFull(limitMs: number, asker: Asker): Full | undefined {
    if (admitted >= maxQueue) return noPlace(maxQueue, 1);
    // Nobody waits for longer than behind all others, which is the quicker to tell.
    if (expectedWaitMs() <= limitMs) return undefined;
    const expected = expectedWaitMs(asker);
    if (expected <= limitMs) return undefined;
    return full('The server has more to do than it can answer in half of the time that a request may take.', expected, {
      name: 'wait_ms',
      value: limitMs,
      needed: Math.ceil(expected),
    });
  }

  function admit(count: number): () => void {
    if (count > maxQueue) {
      throw new ServiceError('INVALID_REQUEST', `The request needs ${count} passes (images × scales × mirrors).`, {
        errors: [{ parameter: 'scale', detail: `at most ${maxQueue} passes fit into the server` }],
        limit: { name: 'passes', value: maxQueue, needed: count },
      });
    }
    const kept = count > SMALL && admitted > 0 ? Math.floor(maxQueue / 4) : 0;
    if (admitted + count > maxQueue - kept) throw queueFull(noPlace(maxQueue - kept, count));
    admitted += count;
    return () => {
      admitted -= count;
    };
  }

  return {
    get admitted() {
      return admitted;
    },
    admit,
    admitWaiting(count) {
      const needed = waiting + count;
      if (waiting > 0 && needed > maxWaiting) {
        const detail = 'Too many requests wait for models to be loaded.';
        throw queueFull(full(detail, expectedWaitMs(), { name: 'model_waits', value: maxWaiting, needed }));
      }
      const release = admit(count);
      waiting += count;
      return () => {
        waiting -= count;
        release();
      };
    },
    whyFull,
    checkWait(limitMs, asker) {
      const why = whyFull(limitMs, asker);
      if (why !== undefined) throw queueFull(why);
    },
  };
}

function queueFull({ detail, ...more }: Full): ServiceError {
  return new ServiceError('QUEUE_FULL', detail, more);
}
