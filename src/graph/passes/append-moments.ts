/**
 * Measure the spread of inner values in the graph itself, so that two numbers a value leave the session and no maps.
 *
 *   Before: … → v₁ …, v₂ …                                  outputs: logits
 *   After:  … → v₁ …, v₂ …; means and mean squares of each  outputs: logits, means [N, V], mean_squares [N, V]
 *
 * Precondition: the values are float32 with a batch axis in front. Other images' numbers do not enter an image's.
 *
 * Equal because the nodes of the graph stay. Variance follows as E[x²] − E[x]², for one image or for many, because a value
 * has as many numbers in each image.
 */
import { int } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';

export const MEANS = 'means';
export const MEAN_SQUARES = 'mean_squares';

/** The pass for these values; the outputs have their order. No match where there are none. */
export function appendMoments(values: readonly string[]): Pass {
  return { name: 'append-moments', apply: (graph) => (values.length === 0 ? undefined : append(graph, values)) };
}

function append(graph: Graph, values: readonly string[]): Graph {
  const builder = graphBuilder(graph);
  const axes = builder.constant('moment_axes', 'int64', [1], [1]);
  const mean = (value: string, name: string): string => builder.node('ReduceMean', [value, axes], { name });
  const flat = values.map((value) =>
    builder.node('Flatten', [value], { name: `${value}.flat`, attributes: { axis: int(1) } }),
  );
  const join = (parts: readonly string[], output: string): string =>
    builder.node('Concat', parts, { name: output, output, attributes: { axis: int(1) } });
  join(
    flat.map((value) => mean(value, `${value}.mean`)),
    MEANS,
  );
  join(
    flat.map((value) => mean(builder.node('Mul', [value, value], { name: `${value}.square` }), `${value}.mean_square`)),
    MEAN_SQUARES,
  );
  const [batch = 'N'] = graph.inputs[0]?.dims ?? [];
  const declare = (name: string) => ({ name, dataType: 'float32', dims: [batch, values.length] }) as const;
  return builder.finish([...graph.outputs, declare(MEANS), declare(MEAN_SQUARES)]);
}
