/**
 * Let a half-precision net report how large its weights are.
 *
 *   Before: weights float16, each from a file or computed from constants → … → outputs
 *   After:  the same, and max |w| of each weight w → largest_weights float32 [1, n], in the order of halfWeights
 *
 * Precondition: narrow-to-half.ts has run. Nothing else changes. A weight beyond half's range has become infinite. A
 * layer may hide that from its results on some images (a ReLU cuts off −∞), but not on all.
 */
import { int } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { castType } from '../value-types.js';

/** Name of the output, [1, n]: one row, as for a batch of one image. */
export const LARGEST_WEIGHTS = 'largest_weights';

/** The pass. No match where the net has no such weight. */
export function reportWeights(): Pass {
  return {
    name: 'report-weights',
    apply(graph) {
      const weights = halfWeights(graph);
      if (weights.length === 0) return undefined;
      const builder = graphBuilder(graph);
      const row = builder.constant('weight_row', 'int64', [2], [1, 1]);
      const largest = weights.map((weight) => {
        const single = builder.node('Cast', [weight], { attributes: { to: int(DATA_TYPE_CODES.float32) } });
        const magnitude = builder.node('ReduceMax', [builder.node('Abs', [single])], {
          attributes: { keepdims: int(0) },
        });
        return builder.node('Reshape', [magnitude, row]);
      });
      builder.node('Concat', largest, { name: LARGEST_WEIGHTS, attributes: { axis: int(1) } });
      const output = { name: LARGEST_WEIGHTS, dataType: 'float32', dims: [1, weights.length] } as const;
      return builder.finish([...graph.outputs, output]);
    },
  };
}

/** The names of the half-precision weights that are not inline; narrow-to-half.ts checks the inline ones itself. */
export function halfWeights(graph: Graph): readonly string[] {
  const stored = [...graph.initializers.values()].filter(
    ({ dataType, data }) => dataType === 'float16' && data.kind === 'external',
  );
  const constants = new Set(graph.initializers.keys());
  const cast: string[] = [];
  for (const node of graph.nodes) {
    if (node.inputs.length === 0 || !node.inputs.every((name) => name === '' || constants.has(name))) continue;
    for (const name of node.outputs) constants.add(name);
    if (node.op === 'Cast' && castType(node) === 'float16') cast.push(node.outputs[0]!);
  }
  return [...stored.map(({ name }) => name), ...cast];
}
