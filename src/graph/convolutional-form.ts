/** The fully convolutional form of a classifier from src/architectures. */
import type { Graph } from './graph.js';
import { GraphError } from './graph-error.js';
import type { NativeSize } from './native-shapes.js';
import { applyPass } from './pass.js';
import { convolutionalizeGemm } from './passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from './passes/convolutionalize-global-pool.js';
import { spreadHead } from './passes/spread-head.js';

export interface ConvolutionalForm {
  /** [N, 3, H, W] → CLASS_MAP [N, K, h, w]. */
  readonly graph: Graph;
  /** Whether the mean of the map is the logits at any size. */
  readonly poolsGlobally: boolean;
}

/**
 * One layer behind a global pooling, or none; fully connected layers over the whole map; or several layers behind a global
 * pooling that are affine together. The native size matters only for the second kind. Throws GraphError for another head.
 */
export function convolutionalForm(classifier: Graph, nativeSize: NativeSize): ConvolutionalForm {
  const pooled = applyPass(classifier, convolutionalizeGlobalPool());
  if (pooled !== undefined) return { graph: pooled, poolsGlobally: true };
  const stacked = applyPass(classifier, convolutionalizeGemm(nativeSize));
  if (stacked !== undefined) return { graph: stacked, poolsGlobally: false };
  const { graph, isAffine } = spreadHead(classifier, 'cells', nativeSize);
  if (!isAffine) throw new GraphError('the layers behind the global pooling are not affine');
  return { graph, poolsGlobally: true };
}
