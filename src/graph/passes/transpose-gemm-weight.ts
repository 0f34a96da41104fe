/**
 * Bring the weight of a Gemm to the order [O, I] of a convolution's weight.
 *
 *   Before: x → Gemm W [I, O], transB = 0
 *   After:  x → Gemm Wᵀ [O, I], transB = 1
 *
 * Preconditions: the weight is bound, of rank 2, and has no other reader. Equal because x·W = x·(Wᵀ)ᵀ. A weight in a
 * file stays there as it is (graph.ts, Arrangement): the engine transposes it once, when it loads.
 */
import { attribute, int } from '../attributes.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { countReads, rewriteNodes } from '../rewrite.js';
import { transposeWeight } from '../weights.js';

/** The pass. */
export function transposeGemmWeight(): Pass {
  return { name: 'transpose-gemm-weight', apply: transpose };
}

function transpose(graph: Graph): Graph | undefined {
  const reads = countReads(graph);
  return rewriteNodes(graph, (node, draft) => {
    const weight = graph.initializers.get(node.inputs[1] ?? '');
    if (node.op !== 'Gemm' || attribute(node, 'transB', 'int') || weight?.dims.length !== 2) return node;
    const transposed = reads.get(weight.name) === 1 ? transposeWeight(weight, weight.dims, [1, 0]) : undefined;
    if (transposed === undefined) return node;
    draft.set(transposed);
    return { ...node, attributes: { ...node.attributes, transB: int(1) } };
  });
}
