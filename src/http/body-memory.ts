/**
 * The memory that requests' bodies are held in. A body is charged for the buffer that the bytes which came have needed, at
 * most twice their number: what a client announces costs nothing. All bodies together have one budget.
 *
 * An address may hold as much as is free beside it: one alone half of the budget, two a third each, and so on. So whoever comes
 * next finds room, however many there are. An address's only request may have all that is free, so that the largest body
 * fits into a small budget.
 *
 * Whoever holds a body releases it when it is needed no more. What is on its way to another process then still counts, until
 * it has left (in-transit.ts).
 *
 * Source of the shares: A. K. Choudhury, E. L. Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet Switches,
 * IEEE/ACM Transactions on Networking 1998, with α = 1.
 */
import { ServiceError } from '../errors.js';
import { whenFree } from '../in-transit.js';

const FIRST_BYTES = 4096;

export interface BodyMemory {
  /** Bytes of all buffers that hold bodies now. */
  readonly held: number;
  /** The bodies of a request that comes from this address. */
  account(client: string): BodyAccount;
}

/** What one request holds. */
export interface BodyAccount {
  /** Throws QUEUE_FULL or RATE_LIMITED if a body of this length would not fit at present. */
  expect(bytes: number): void;
  /** A body of at most `maxBytes`, still empty. */
  open(maxBytes: number): HeldBody;
  /** Count other memory that the request needs, instead of what was said before. Throws as `expect` does. */
  setOther(bytes: number): void;
  /** Give all memory back. What still comes is dropped. May be called again. */
  release(): void;
}

/** Bytes that come piece by piece. */
export interface HeldBody {
  /** Throws QUEUE_FULL or RATE_LIMITED if the budget, or the address's part of it, is used up. The chunk is copied. */
  append(chunk: Uint8Array): void;
  /** What has come so far; valid until the account is released. */
  bytes(): Buffer;
}

export function createBodyMemory(budget: number): BodyMemory {
  let held = 0;
  /** By address, of those that hold some. */
  const heldBy = new Map<string, number>();

  function account(client: string): BodyAccount {
    const buffers = new Set<ArrayBuffer>();
    let own = 0;
    let other = 0;
    let isOver = false;

    function change(bytes: number): void {
      held += bytes;
      own += bytes;
      const ofClient = (heldBy.get(client) ?? 0) + bytes;
      if (ofClient === 0) heldBy.delete(client);
      else heldBy.set(client, ofClient);
    }

    function check(more: number): void {
      if (held + more > budget) {
        throw new ServiceError('QUEUE_FULL', 'The server holds as many bytes of request bodies as it may.', {
          limit: { name: 'bodies_bytes', value: budget, needed: held + more },
        });
      }
      const ofClient = heldBy.get(client) ?? 0;
      const share = Math.floor((budget - (held - ofClient)) / 2);
      if (ofClient === own || ofClient + more <= share) return;
      throw new ServiceError(
        'RATE_LIMITED',
        'The server holds as many bytes of request bodies from this address as it may.',
        { limit: { name: 'bodies_bytes_per_address', value: share, needed: ofClient + more } },
      );
    }

    function open(maxBytes: number): HeldBody {
      let buffer = new ArrayBuffer(0);
      let length = 0;

      function grow(needed: number): void {
        const capacity = Math.min(Math.max(maxBytes, needed), Math.max(FIRST_BYTES, 2 * needed));
        check(capacity - buffer.byteLength);
        const next = new ArrayBuffer(capacity);
        new Uint8Array(next).set(new Uint8Array(buffer, 0, length));
        buffers.delete(buffer);
        buffers.add(next);
        change(next.byteLength - buffer.byteLength);
        buffer = next;
      }

      return {
        append(chunk) {
          if (isOver) return;
          const needed = length + chunk.length;
          if (needed > buffer.byteLength) grow(needed);
          new Uint8Array(buffer).set(chunk, length);
          length = needed;
        },
        bytes: () => Buffer.from(buffer, 0, length),
      };
    }

    return {
      expect: check,
      open,
      setOther(bytes) {
        if (isOver) return;
        if (bytes > other) check(bytes - other);
        change(bytes - other);
        other = bytes;
      },
      release() {
        isOver = true;
        change(-other);
        other = 0;
        for (const buffer of buffers) whenFree(buffer, () => change(-buffer.byteLength));
        buffers.clear();
      },
    };
  }

  return {
    get held() {
      return held;
    },
    account,
  };
}
