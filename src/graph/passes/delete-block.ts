/**
 * Delete a residual block's branches: the lesion of Veit 2016 (§4).
 *
 *   Before: x → F(x);  y = Add(F(x), shortcut(x))
 *   After:  y = Identity(shortcut(x))
 *
 * The shortcut stays, a projection too, and so does an activation behind the join. Several shortcuts are added up. The
 * value y keeps its name, so the other blocks that were found in the same graph stay as they were found.
 *
 * Not equal, on purpose: y loses the summand F(x), and nothing else changes. No match where the join is not in the graph.
 */
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import type { ResidualBlock } from '../residual-blocks.js';
import { rewriteNodes } from '../rewrite.js';

/** The pass for a block that was found in this graph or in one that differs only by other blocks. */
export function deleteBlock({ join, shortcuts }: Pick<ResidualBlock, 'join' | 'shortcuts'>): Pass {
  const values = shortcuts.map(({ value }) => value);
  const op = values.length === 1 ? 'Identity' : 'Sum';
  return {
    name: 'delete-block',
    apply: (graph: Graph) =>
      rewriteNodes(graph, (node) => (node.name === join.name ? { ...node, op, inputs: values, attributes: {} } : node)),
  };
}
