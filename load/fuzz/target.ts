/** What a fuzzer in this process feeds with bytes: a reader of strangers' bytes, and what it starts from. */
import type { Random } from '../chaos/random.js';

export interface Target {
  /** Prepare it; it may write into the folder. */
  open(folder: string): Promise<OpenTarget>;
}

export interface OpenTarget {
  /** Right inputs; at least one. */
  readonly seeds: readonly Buffer[];
  /** Throws whatever is a fault: all but the reader's own refusals. The bytes are its own. */
  readonly run: (bytes: Buffer) => Promise<void> | void;
  /** Words of the format. */
  readonly words?: readonly string[];
  /** Another way to change an input, used half of the time. */
  readonly mutate?: (random: Random, original: Buffer) => Buffer;
}

/** Throws Error if it does not hold. */
export function check(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Error(`broken rule: ${rule}`);
}
