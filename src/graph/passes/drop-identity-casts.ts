/**
 * Take out the Casts that change nothing. Mixed-precision exports have many once they are widened (widen-half.ts).
 *
 *   Before: x float32 → Cast to float32 → y
 *   After:  x, read by the readers of y
 *
 * Precondition: the type of x is known: it is declared, or follows from operators that keep the type of their first
 * input. Equal by definition.
 */
import type { Graph, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { bypassAll } from '../rewrite.js';
import { castType, valueTypes } from '../value-types.js';

/** The pass. */
export function dropIdentityCasts(): Pass {
  return { name: 'drop-identity-casts', apply: drop };
}

function drop(graph: Graph): Graph | undefined {
  const types = valueTypes(graph);
  const isIdentity = (node: Node): boolean => {
    const type = types.get(node.inputs[0] ?? '');
    return node.op === 'Cast' && type !== undefined && type === castType(node);
  };
  return bypassAll(graph, isIdentity);
}
