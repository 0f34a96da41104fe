/** Which precision a model is computed in: what its manifest says, what the settings say, and what the device has. Pure. */
import type { Autocast, PrecisionWish } from '../runtime/session.js';
import type { Manifest, Precision } from './manifest.js';

/** What computes a model. */
export interface Computing {
  /** Name of the engine. Default: `onnxruntime`. */
  readonly engine?: string;
  /** Whether the device computes graphs in half precision (runtime/engine-description.ts tells). Default: false. */
  readonly computesHalf?: boolean;
  /** The half precision in which the engine computes graphs in single precision if it may; absent: none. */
  readonly autocast?: Autocast | undefined;
  /** Default: `auto`. */
  readonly precision?: PrecisionWish;
}

export interface ChosenPrecision {
  readonly precision: Precision;
  /** Somebody asked for half precision: the model is refused if it is too inexact in it. Otherwise single precision does. */
  readonly isAskedFor: boolean;
}

/** A half precision that the device does not have becomes the one it has, or single. */
export function choosePrecision(
  { precision: stated }: Pick<Manifest, 'precision'>,
  { computesHalf = false, autocast, precision: wish = 'auto' }: Computing,
): ChosenPrecision {
  if (stated === 'int8') return { precision: 'int8', isAskedFor: false };
  if (wish === 'fp32' || stated === 'fp32') return { precision: 'fp32', isAskedFor: false };
  if (stated === 'fp16' && computesHalf) return { precision: 'fp16', isAskedFor: true };
  if (autocast === undefined) return { precision: 'fp32', isAskedFor: false };
  return { precision: autocast, isAskedFor: wish === autocast || stated !== undefined };
}
