/**
 * The narrow interface between fullconv and a loaded engine; engine-description.ts describes engines that are not
 * loaded. An engine turns a serialized graph into a session. A session maps named tensors to named tensors,
 * synchronously on the thread it lives on. Sessions live in worker threads (worker.ts); the rest of the server sees
 * only the pool (pool.ts).
 */
import type { Device } from '../device.js';
import type { StampedFile } from '../regular-files.js';
import type { TensorMap, TensorType } from '../tensor.js';

/** A half precision that an engine computes a single-precision graph in, because that is faster: its own sums stay single. */
export type Autocast = 'bf16';

/** What the setting FULLCONV_PRECISION may be. */
export const PRECISION_WISHES = ['auto', 'fp32', 'bf16'] as const satisfies readonly ('auto' | 'fp32' | Autocast)[];
export type PrecisionWish = (typeof PRECISION_WISHES)[number];

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
  /** The files in that folder; a session never computes with other bytes than were digested. Absent: they are not checked. */
  readonly weightsFiles?: readonly StampedFile[];
  /** sha256 of the graph and its weights, for engines that keep optimized models; absent if that does not pay. */
  readonly digest?: string;
  /** Run the graph as it is written, without the engine's optimizations. */
  readonly asWritten?: boolean;
  /** Absent: the graph is computed in the precisions that it says. */
  readonly autocast?: Autocast | undefined;
  /**
   * A run with a feed of this many bytes or more takes so long that an engine may prepare for it alone; absent: none
   * does.
   */
  readonly largeFeed?: number;
  /** The item that most requests have, without the batch axis, and its multiply-adds; absent if requests vary. */
  readonly typical?: { readonly feeds: FeedShapes; readonly cost: number };
  /** The shapes, with the batch axis, that a worker runs after it has opened the session; absent: none. */
  readonly warmUp?: readonly FeedShapes[];
}

export interface EngineOptions {
  /** Threads inside one operator. */
  readonly threads: number;
  /** Runs at the same time: see `EngineDescription.lanes`. Default: 1. */
  readonly lanes?: number;
  readonly device: Device;
  /** The folder that the user says the engine's library is in; absent: it is looked for. */
  readonly libraryFolder?: string | undefined;
  /** Where an engine may keep optimized models, and how many bytes; absent: nowhere. */
  readonly kept?: { readonly folder: string; readonly maxBytes: number };
  /**
   * What further copies of weights may take of a device whose sessions remember one shape (DevicePolicy.remembersOneShape). Absent: the
   * engine's own bound.
   */
  readonly maxCopiedBytes?: number;
}

export interface Session {
  /** The execution provider really in use, e.g. `cpu`. */
  readonly provider: string;
  /** Run once. As many at the same time as the engine has lanes. The caller gives up the feeds' buffers until the promise settles; the outputs belong to the caller. */
  run(feeds: TensorMap): Promise<TensorMap>;
  /** Whether runs have left memory with it that `shrink` gives back; absent: they leave none. */
  readonly hasGrown?: boolean;
  /** Give that memory back, when no run uses it any more. The session computes the same afterwards. */
  shrink?(): Promise<void>;
  /** Free the session's memory. Not while a run is in flight. */
  release(): Promise<void>;
}

/** An engine that is loaded, for one device. */
export interface Engine {
  /** The half precision that this processor is faster in; absent: none. */
  readonly autocast?: Autocast | undefined;
  /** Open a session. Throws with the engine's own message when the model cannot be loaded. */
  open(spec: SessionSpec): Promise<Session>;
}
