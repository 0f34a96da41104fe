/**
 * Places in the server: a request takes one for each pass it will make, before anything is decoded, and gives all of them
 * back when nothing of it runs any more. So a full server refuses at once, and says when to come again.
 */
import { ServiceError } from '../errors.js';

export interface Admission {
  /** Places that are taken. */
  readonly admitted: number;
  /**
   * Take `count` places. The caller gives them back by calling what is returned, once. Throws QUEUE_FULL, or
   * INVALID_REQUEST for more places than there are.
   */
  admit(count: number): () => void;
}

export interface AdmissionOptions {
  /** Places there are. */
  readonly maxQueue: number;
  /** How long who is refused had to wait. */
  readonly expectedWaitMs: () => number;
}

export function createAdmission({ maxQueue, expectedWaitMs }: AdmissionOptions): Admission {
  let admitted = 0;
  return {
    get admitted() {
      return admitted;
    },
    admit(count) {
      if (count > maxQueue) {
        throw new ServiceError('INVALID_REQUEST', `${count} passes (images × scales × mirrors) in one request.`, {
          errors: [{ parameter: 'scale', detail: `at most ${maxQueue} passes fit into the server` }],
        });
      }
      if (admitted + count > maxQueue) {
        throw new ServiceError('QUEUE_FULL', `The server is at its limit of ${maxQueue} images.`, {
          retryAfterS: Math.max(1, Math.ceil(expectedWaitMs() / 1000)),
        });
      }
      admitted += count;
      return () => {
        admitted -= count;
      };
    },
  };
}
