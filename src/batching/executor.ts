/** What the batcher needs of the worker pool. */
import type { RunResult } from '../runtime/pool.js';
import type { TensorMap } from '../tensor.js';

export interface Executor {
  /** How many `run`s there can be at the same time. */
  readonly size: number;
  /** How many more `run`s may be started now. */
  readonly idle: number;
  /** Why nothing can run any more; undefined while it can. */
  readonly failure: Error | undefined;
  /** Called only while `idle` > 0, which it lowers at once. The feeds' buffers are given up. */
  run(sessionId: string, feeds: TensorMap): Promise<RunResult>;
  /** Be told when `idle` rises or `failure` is set. */
  onIdle(callback: () => void): void;
  /** A buffer for feeds of at least `byteLength` bytes. */
  acquireBuffer(byteLength: number): ArrayBuffer;
}
