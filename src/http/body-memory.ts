/**
 * The memory that requests' bodies are held in. A body is charged for the buffer that the bytes which came have needed, at
 * most twice their number: what a client announces costs nothing. All bodies together have one budget.
 *
 * Whoever holds a body releases it when it is needed no more. What is on its way to another process then keeps the memory, as
 * garbage that the socket still reads.
 */
import { ServiceError } from '../errors.js';

const FIRST_BYTES = 4096;

export interface BodyMemory {
  /** Bytes of all buffers that hold bodies now. */
  readonly held: number;
  /** Throws QUEUE_FULL if a body of this length would not fit at present. */
  expect(bytes: number): void;
  /** A body of at most `maxBytes`, still empty. */
  open(maxBytes: number): HeldBody;
}

/** Bytes that come piece by piece. */
export interface HeldBody {
  /** Throws QUEUE_FULL if the budget is used up. The chunk is copied. */
  append(chunk: Uint8Array): void;
  /** What has come so far; valid until `release`. */
  bytes(): Buffer;
  /** Give the memory back. May be called again. */
  release(): void;
}

export function createBodyMemory(budget: number): BodyMemory {
  let held = 0;

  const check = (more: number): void => {
    if (held + more > budget) {
      throw new ServiceError('QUEUE_FULL', 'The server holds as many bytes of request bodies as it may.', {
        limit: { name: 'bodies_bytes', value: budget, needed: held + more },
      });
    }
  };

  function open(maxBytes: number): HeldBody {
    let buffer = new ArrayBuffer(0);
    let length = 0;

    function replace(next: ArrayBuffer): void {
      held += next.byteLength - buffer.byteLength;
      buffer = next;
    }

    function grow(needed: number): void {
      const capacity = Math.min(Math.max(maxBytes, needed), Math.max(FIRST_BYTES, 2 * needed));
      check(capacity - buffer.byteLength);
      const next = new ArrayBuffer(capacity);
      new Uint8Array(next).set(new Uint8Array(buffer, 0, length));
      replace(next);
    }

    return {
      append(chunk) {
        const needed = length + chunk.length;
        if (needed > buffer.byteLength) grow(needed);
        new Uint8Array(buffer).set(chunk, length);
        length = needed;
      },
      bytes: () => Buffer.from(buffer, 0, length),
      release() {
        length = 0;
        replace(new ArrayBuffer(0));
      },
    };
  }

  return {
    get held() {
      return held;
    },
    expect: check,
    open,
  };
}
