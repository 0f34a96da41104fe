/** Answers by their keys, bounded by the memory that they take. When it is used up, those go that were used longest ago. */
import type { WholeAnswer } from './answer.js';

export interface KeptAnswers {
  /** Of all that is kept: bodies, headers, keys, and what the tables around them take. */
  readonly bytes: number;
  readonly entries: number;
  /** Answers that had to go for others. */
  readonly evictions: number;
  /** The largest body that is kept, in bytes. */
  readonly maxBodyBytes: number;
  /** The answer, which counts as used. */
  get(key: string): WholeAnswer | undefined;
  /** Keep an answer, and return whether it is kept: one that is too large is not. */
  put(key: string, answer: WholeAnswer): boolean;
}

/** The largest answer takes this part of all, so that it does not push out everything. */
const LARGEST = 8;
/** Objects and tables around an answer, measured at about 700 bytes. */
const OVERHEAD_BYTES = 1024;

/** `budget`: bytes; 0 keeps nothing. */
export function createKeptAnswers(budget: number): KeptAnswers {
  /** A Map has its keys in the order in which they were set. */
  const kept = new Map<string, WholeAnswer>();
  const maxBytes = Math.floor(budget / LARGEST);
  let bytes = 0;
  let evictions = 0;

  function drop(key: string): void {
    const answer = kept.get(key);
    if (answer === undefined) return;
    kept.delete(key);
    bytes -= bytesOf(key, answer);
  }

  return {
    get bytes() {
      return bytes;
    },
    get entries() {
      return kept.size;
    },
    get evictions() {
      return evictions;
    },
    maxBodyBytes: Math.max(0, maxBytes - OVERHEAD_BYTES),
    get(key) {
      const answer = kept.get(key);
      if (answer === undefined) return undefined;
      kept.delete(key);
      kept.set(key, answer);
      return answer;
    },
    put(key, answer) {
      const size = bytesOf(key, answer);
      if (size > maxBytes) return false;
      drop(key);
      for (const oldest of kept.keys()) {
        if (bytes + size <= budget) break;
        drop(oldest);
        evictions += 1;
      }
      kept.set(key, answer);
      bytes += size;
      return true;
    },
  };
}

/** A character of a key or a header is a byte: they are ASCII. */
function bytesOf(key: string, { headers, body }: WholeAnswer): number {
  const described = Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + String(value).length, 0);
  return OVERHEAD_BYTES + key.length + described + body.byteLength;
}
