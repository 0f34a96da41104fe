/**
 * The messages between the main thread and a worker. Each request has a number, and one reply with that number. Large buffers are
 * transferred, not copied: a feed's buffers go to the worker with the request and come back with the reply, an output's buffers
 * go to the main thread for good.
 */
import type { TensorMap } from '../tensor.js';
import type { EngineName } from './engines.js';
import type { EngineOptions, SessionSpec } from './session.js';

/** The worker's `workerData`. */
export interface WorkerStart {
  readonly engine: EngineName;
  readonly options: EngineOptions;
}

export interface NumberedRequest {
  readonly number: number;
  readonly request: WorkerRequest;
}

export type WorkerRequest =
  | { readonly kind: 'open'; readonly spec: SessionSpec }
  | { readonly kind: 'run'; readonly sessionId: string; readonly feeds: TensorMap }
  | { readonly kind: 'close'; readonly sessionId: string }
  /** Give back the memory that runs have left with the sessions. */
  | { readonly kind: 'shrink' }
  /** Give free memory back to the system. */
  | { readonly kind: 'return-memory' }
  /** Release every session and end the thread. No reply but its exit. */
  | { readonly kind: 'exit' };

/** What the worker sends. */
export type WorkerMessage =
  /** Once, without a request: the engine is loaded. */
  | { readonly kind: 'ready' }
  /** Once, in place of `ready`: the operator must act; the message is that of an OperatorError. The thread ends. */
  | { readonly kind: 'unusable'; readonly message: string }
  | { readonly kind: 'reply'; readonly number: number; readonly reply: WorkerReply };

/** The answer to a request. */
export type WorkerReply =
  | {
      readonly kind: 'opened';
      readonly provider: string;
      /** Milliseconds inside the engine for each of the spec's warm-ups, once it was warm. */
      readonly warmUpMs: readonly number[];
    }
  | {
      readonly kind: 'ran';
      readonly outputs: TensorMap;
      /** Milliseconds inside the engine. */
      readonly runMs: number;
      /** Whether it has left memory with the session that `shrink` gives back. */
      readonly hasGrown: boolean;
      /** The feeds' buffers, for reuse. */
      readonly buffers: readonly ArrayBuffer[];
    }
  | { readonly kind: 'closed' }
  | { readonly kind: 'shrunk' }
  | { readonly kind: 'memory-returned' }
  /** The request failed and the worker lives on. Errors travel as data: an engine's own may not be cloneable. */
  | { readonly kind: 'failed'; readonly message: string; readonly stack: string | undefined };

/** The distinct buffers under the tensors, for a transfer list. Throws for shared memory, which cannot be transferred. */
export function buffersOf(tensors: TensorMap): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const [name, { data }] of Object.entries(tensors)) {
    if (!(data.buffer instanceof ArrayBuffer)) throw new Error(`the tensor ${name} lies in shared memory`);
    buffers.add(data.buffer);
  }
  return [...buffers];
}
