/** What the batcher needs from the worker pool. */
import type { RunResult } from '../runtime/pool.js';
import type { TensorMap } from '../tensor.js';

export interface Executor {
  /** How many `run`s can go on at the same time. */
  readonly size: number;
  /** How many more `run`s may be started now. */
  readonly idle: number;
  /** Why no `run` can succeed any more; undefined while one can. */
  readonly failure: Error | undefined;
  /** Must be called only while `idle` > 0, and lowers it at once. The caller gives up the feeds' buffers. */
  run(sessionId: string, feeds: TensorMap): Promise<RunResult>;
  /** Call `callback` when `idle` rises or `failure` is set. */
  onIdle(callback: () => void): void;
  /** A buffer for feeds of at least `byteLength` bytes. */
  acquireBuffer(byteLength: number): ArrayBuffer;
}
