/**
 * Give a classifier's output the form and the name that all classifiers have here.
 *
 *   Before: … → y [N, K], or [N, K, 1, 1] and the like
 *   After:  … → (Flatten) → logits [N, K]
 *
 * Preconditions: there is one output, and no other value is called `logits` (reserve-names.ts). Equal because Flatten
 * keeps the order of the numbers.
 */
import { int } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { renameValues } from '../rewrite.js';

export const LOGITS = 'logits';

/** The pass for a classifier of this many classes, whose output has this rank. */
export function nameLogits(classes: number, rank: number): Pass {
  return { name: 'name-logits', apply: (graph) => finish(graph, classes, rank) };
}

function finish(graph: Graph, classes: number, rank: number): Graph | undefined {
  const [output, ...others] = graph.outputs;
  if (output === undefined || others.length > 0) return undefined;
  const batch = rank > 1 ? (output.dims[0] ?? 'N') : 1;
  const declared = { name: LOGITS, dataType: output.dataType, dims: [batch, classes] };
  if (rank === 2) {
    const renamed = renameValues(graph, (name) => (name === output.name ? LOGITS : name));
    return { ...renamed, outputs: [declared] };
  }
  const builder = graphBuilder(graph);
  const axis = int(rank > 1 ? 1 : 0);
  builder.node('Flatten', [output.name], { name: 'logits_by_image', output: LOGITS, attributes: { axis } });
  return builder.finish([declared]);
}
