/**
 * Keep one of a graph's outputs and what it needs: auxiliary classifiers and feature maps are left out.
 *
 *   Before: … → logits; … → auxiliary outputs
 *   After:  … → logits
 *
 * Equal because a value depends only on the nodes behind it. No match where the graph has no other output and no node
 * is dead, or does not have this output.
 */
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { prune } from '../rewrite.js';

/** The pass for the output of this name. */
export function keepOutput(name: string): Pass {
  return {
    name: 'keep-output',
    apply(graph: Graph) {
      const outputs = graph.outputs.filter((output) => output.name === name);
      if (outputs.length !== 1) return undefined;
      return prune(graph.outputs.length === 1 ? graph : { ...graph, outputs });
    },
  };
}
