/** Classifiers of src/architectures as fully convolutional nets. */
import type { Graph } from '../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../src/graph/pass.js';
import { convolutionalizeGemm } from '../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../src/graph/passes/convolutionalize-global-pool.js';

/** `[N, 3, H, W]` → CLASS_MAP; the native size in pixels matters only for a head that does not pool globally. */
export function withClassMap(classifier: Graph, nativeSize: number): Graph {
  return (
    applyPass(classifier, convolutionalizeGlobalPool()) ?? applyPasses(classifier, [convolutionalizeGemm(nativeSize)])
  );
}
