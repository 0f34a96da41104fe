/**
 * What a process of the engine is asked for one item of a batch, and what it answers: plain data, which crosses the border
 * between processes. An image travels as it came, encoded but for those that clients send as pixels, and is decoded where it
 * runs, or by a process that belongs to that one.
 */
import type { DecodeRequest } from '../images/decode.js';
import type { TensorMap } from '../tensor.js';

/** One item, without the batch axis. */
export type Work =
  | {
      /** Becomes the feed `image`, uint8 `[h, w, 3]`. */
      readonly image: DecodeRequest;
      /** For a dense view: class selectors (classes/classes.ts), which become the feed `classes`, int64 `[C]`. */
      readonly classes?: readonly number[] | undefined;
    }
  /** As they are, for whoever has no image. */
  | { readonly feeds: TensorMap }
  /** A whole run by itself: feeds with the batch axis, or none at all; its outputs are left as they are. */
  | { readonly batch: TensorMap };

export interface WorkOutput {
  /** Without the batch axis. */
  readonly outputs: TensorMap;
  /** Of the image, in milliseconds; 0 where another item of the batch had the same pixels. */
  readonly decodeMs: number;
  /** When it was decoded, by the machine's clock (machine-clock.ts); absent: nothing was. */
  readonly decodedAtMachineMs?: number | undefined;
}
