/** What the thread of inside.ts and its watch (watch.ts) say to each other, and the memory in which the case that runs is shown. */
import type { SearchResult } from './search.js';

export interface InsideStart {
  readonly kind: 'models' | 'parsers';
  readonly target: string;
  readonly cases: number;
  readonly milliseconds: number;
  readonly seed: number;
  readonly shared: SharedArrayBuffer;
}

export type Insider = { readonly fault: string; readonly bytes: Uint8Array } | { readonly done: SearchResult };

const MOST_BYTES = 2 ** 19;
/** Two integers: cases that were shown so far, and the length of the one that runs, or −1. */
const HEAD = 8;

/** Memory for a case, with none in it. */
export function sharedCase(): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(HEAD + MOST_BYTES);
  createShownCase(shared).hide();
  return shared;
}

export interface ShownCase {
  /** Changes with each case. */
  readonly count: number;
  /** The case that runs, in a copy; undefined between two. */
  readonly running: Buffer | undefined;
  show(bytes: Uint8Array): void;
  hide(): void;
}

export function createShownCase(shared: SharedArrayBuffer): ShownCase {
  const head = new Int32Array(shared, 0, 2);
  const body = new Uint8Array(shared, HEAD);
  return {
    get count() {
      return Atomics.load(head, 0);
    },
    get running() {
      const length = Atomics.load(head, 1);
      return length < 0 ? undefined : Buffer.from(body.subarray(0, length));
    },
    show(bytes) {
      body.set(bytes.subarray(0, MOST_BYTES));
      Atomics.store(head, 1, Math.min(bytes.length, MOST_BYTES));
      Atomics.add(head, 0, 1);
    },
    hide: () => void Atomics.store(head, 1, -1),
  };
}
