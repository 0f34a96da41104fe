/**
 * Compute the small integers that a graph computes from constants: sizes, axes and padding, as exporters write them out.
 *
 *   Before: constants → ConstantOfShape, Concat, Reshape, Slice, Transpose, Cast, … → p, read by a Pad
 *   After:  initializer p
 *
 * Preconditions: the value is int64 and does not come from the graph's input, nor from its size. Equal because the shape rules compute
 * these values as the operators do (shape-rules.ts).
 */
import { inlineConstant } from '../constants.js';
import type { Graph } from '../graph.js';
import type { Known } from '../shape-rules.js';
import { inferNode, knownInitializers } from '../shapes.js';
import { GraphError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';
import { valueTypes } from '../value-types.js';

/** The pass. */
export function foldSizes(): Pass {
  return { name: 'fold-sizes', apply: fold };
}

function fold(graph: Graph): Graph | undefined {
  const known = new Map<string, Known>(knownInitializers(graph));
  const types = valueTypes(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return rewriteNodes(graph, (node, draft) => {
    // A value that comes from the image has no shape here.
    if (!node.inputs.every((name) => name === '' || known.has(name))) return node;
    try {
      inferNode(node, known);
    } catch (error) {
      if (error instanceof GraphError) return node;
      throw error;
    }
    const [output = '', ...others] = node.outputs;
    const result = known.get(output);
    const isSize = types.get(output) === 'int64' && others.length === 0 && !outputs.has(output);
    if (!isSize || result?.values === undefined) return node;
    draft.set(inlineConstant(output, 'int64', result.dims, result.values));
    return [];
  });
}
