/**
 * Finished graphs as the sessions of one load of a model: pixels go in, the net is computed in single or in half precision,
 * and what comes behind it always in single. Hides how sessions are told apart, and which of them an engine may keep what it
 * made of.
 */
import { createHash } from 'node:crypto';
import type { Graph } from '../graph/graph.js';
import { writeOnnx } from '../graph/onnx/model.js';
import { applyPasses, applyWhereMatching, type Pass } from '../graph/pass.js';
import { absorbStatistics } from '../graph/passes/absorb-statistics.js';
import { addImageInput, type ImagePreprocessing } from '../graph/passes/add-image-input.js';
import { foldBatchNorm } from '../graph/passes/fold-batch-norm.js';
import { narrowToHalf } from '../graph/passes/narrow-to-half.js';
import type { SessionSpec } from '../runtime/session.js';
import type { Network } from './networks/network.js';

/** From here on what the engine makes of the weights is kept on disk: a smaller net opens as fast without. */
const KEPT_PARAMETERS = 8e6;

/** Of the coarsest view: a net of any size opens in less than a tenth of the time it takes for them. */
const LARGE_PIXELS = 1.5 * 2 ** 20;
const BYTES_PER_PIXEL = 3;

export interface SessionWriterOptions {
  /** What the ids begin with. */
  readonly id: string;
  readonly preprocessing: ImagePreprocessing;
}

export interface SessionOptions {
  /** What is added behind the net. */
  readonly ends?: readonly Pass[];
  /** What a pixel costs beside one in the coarsest view; default 1. */
  readonly pixelCost?: number;
  readonly inHalf?: boolean;
}

/** The session of a net that takes and gives float32; `view` tells it from the model's others. */
export type SessionWriter = (view: string, net: Graph, options?: SessionOptions) => SessionSpec;

/** Sessions of graphs over the weights of this network. */
export function sessionWriter(
  { parameters, weightsDigest, weightsFolder }: Network,
  { id, preprocessing }: SessionWriterOptions,
): SessionWriter {
  return (view, net, { ends = [], pixelCost = 1, inHalf = false } = {}) => {
    const computed = inHalf ? narrowed(net) : net;
    const model = writeOnnx(applyPasses(computed, [...ends, addImageInput(preprocessing)]));
    const spec = { id: `${id}/${view}`, model, weightsFolder, largeFeed: (BYTES_PER_PIXEL * LARGE_PIXELS) / pixelCost };
    if (parameters < KEPT_PARAMETERS) return spec;
    return { ...spec, digest: createHash('sha256').update(weightsDigest).update(model).digest('hex') };
  };
}

/** The net in half precision. Batch normalization is folded first: the product is what has to be rounded, not its factors. */
export function narrowed(net: Graph): Graph {
  return applyWhereMatching(net, [foldBatchNorm(), absorbStatistics(), narrowToHalf()]);
}
