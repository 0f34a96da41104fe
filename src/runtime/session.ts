/**
 * The narrow interface between fullconv and an engine that is loaded; what an engine says of itself before is in engine-description.ts. An engine turns a serialized graph into a session; a session
 * maps named tensors to named tensors, synchronously on the thread it lives on. Sessions live in worker threads
 * (worker.ts); the rest of the server sees only the pool (pool.ts).
 */
import type { Device } from '../device.js';
import type { TensorMap, TensorType } from '../tensor.js';

/** Feeds without their values. */
export type FeedShapes = Readonly<Record<string, { readonly type: TensorType; readonly dims: readonly number[] }>>;

/** Everything needed to open the same session on any worker. Plain data: it crosses a thread border. */
export interface SessionSpec {
  /** Unique while the session is open, e.g. `resnet18@1/heatmap`. */
  readonly id: string;
  /** A serialized ONNX model whose large weights are external data. */
  readonly model: Uint8Array;
  /** The folder that external data locations are relative to; absent when every weight is inline. */
  readonly weightsFolder?: string;
  /** sha256 of the graph and its weights, for engines that keep what they made of them; absent where that does not pay. */
  readonly digest?: string;
  /** Run it as it is written, without the engine's optimizations of graphs. */
  readonly asWritten?: boolean;
  /** Bytes of one feed from which a run takes so long that an engine may prepare for it alone; absent: none does. */
  readonly largeFeed?: number;
  /** One item, without the batch axis, as most requests have it, and its multiply-adds; absent: requests vary. */
  readonly typical?: { readonly feeds: FeedShapes; readonly cost: number };
  /** What a worker runs when it has opened the session, before anybody waits; absent: nothing. With the batch axis. */
  readonly warmUp?: readonly FeedShapes[];
}

export interface EngineOptions {
  /** Threads inside one operator. */
  readonly threads: number;
  readonly device: Device;
  /** Where an engine may keep what it made of models, and how many bytes; absent: nowhere. */
  readonly kept?: { readonly folder: string; readonly maxBytes: number };
}

export interface Session {
  /** The execution provider really in use, e.g. `cpu`. */
  readonly provider: string;
  /** Run once. The caller gives up the feeds' buffers until the promise settles; the outputs belong to the caller. */
  run(feeds: TensorMap): Promise<TensorMap>;
  /** Free the session's memory. Not while a run is in flight. */
  release(): Promise<void>;
}

/** An engine that is loaded, for one device. */
export interface Engine {
  /** Open a session. Throws with the engine's own message when the model cannot be loaded. */
  open(spec: SessionSpec): Promise<Session>;
}
