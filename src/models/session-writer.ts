/**
 * Turns finished graphs into the sessions of one load of a model. A session takes pixels. The net is computed in single
 * or half precision, and the passes after it always in single. Hides the ids of sessions, and the choice of those whose
 * compiled form an engine may keep on disk.
 */
import { createHash } from 'node:crypto';
import type { Graph } from '../graph/graph.js';
import { writeOnnx } from '../graph/onnx/model.js';
import { applyPasses, applyWhereMatching, type Pass } from '../graph/pass.js';
import { absorbStatistics } from '../graph/passes/absorb-statistics.js';
import { addImageInput, type ImagePreprocessing } from '../graph/passes/add-image-input.js';
import { foldBatchNorm } from '../graph/passes/fold-batch-norm.js';
import { liftConstants } from '../graph/passes/lift-constants.js';
import { narrowToHalf } from '../graph/passes/narrow-to-half.js';
import type { Autocast, SessionSpec } from '../runtime/session.js';
import type { Network } from './networks/network.js';

/**
 * From this size on the engine keeps its form of the weights on disk, and maps it: all sessions and workers share its pages. A
 * smaller net opens as fast without it, and takes a few megabytes a session.
 */
export const KEPT_PARAMETERS = 1e6;

/**
 * Pixels of an input from which the engine may prepare for one run alone: a net of any size opens in less than a tenth
 * of the time that the coarsest view takes for them.
 */
const LARGE_PIXELS = 1.5 * 2 ** 20;
const BYTES_PER_PIXEL = 3;

export interface SessionWriterOptions {
  /** Prefix of the sessions' ids. */
  readonly id: string;
  readonly preprocessing: ImagePreprocessing;
}

export interface SessionOptions {
  /** Passes that add nodes after the net. */
  readonly ends?: readonly Pass[];
  /** Cost of a pixel relative to the coarsest view. Default: 1. */
  readonly pixelCost?: number;
  readonly inHalf?: boolean;
  readonly autocast?: Autocast | undefined;
}

/** The session of a net with float32 input and output; `view` distinguishes it from the model's other sessions. */
export type SessionWriter = (view: string, net: Graph, options?: SessionOptions) => SessionSpec;

/** A writer of sessions for graphs over this network's weights. */
export function sessionWriter(
  { parameters, weightsDigest, weightsFolder, weightsFiles }: Network,
  { id, preprocessing }: SessionWriterOptions,
): SessionWriter {
  return (view, net, { ends = [], pixelCost = 1, inHalf = false, autocast } = {}) => {
    const computed = inHalf ? narrowed(net) : net;
    const model = writeOnnx(applyPasses(computed, [...ends, addImageInput(preprocessing)]));
    const largeFeed = (BYTES_PER_PIXEL * LARGE_PIXELS) / pixelCost;
    const spec = {
      ...{ id: `${id}/${view}`, model, weightsFolder, weightsFiles, largeFeed },
      ...(autocast !== undefined && { autocast }),
    };
    if (parameters < KEPT_PARAMETERS) return spec;
    return { ...spec, digest: createHash('sha256').update(weightsDigest).update(model).digest('hex') };
  };
}

/** The net in half precision. Batch normalization is folded first, so that products are rounded, not their factors. */
export function narrowed(net: Graph): Graph {
  return applyWhereMatching(net, [liftConstants(), foldBatchNorm(), absorbStatistics(), narrowToHalf()]);
}
