/**
 * Let a net that takes channels last (as TensorFlow exports it) take [N, 3, H, W] as all others do.
 *
 *   Before: x [N, H, W, 3]
 *   After:  x [N, 3, H, W] → Transpose → [N, H, W, 3]
 *
 * Precondition: the only input has rank 4 with 3 channels last, and not second. Equal because the same numbers arrive; the
 * engine cancels the Transpose against the net's own.
 */
import { ints } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import type { Pass } from '../pass.js';
import { mapReads } from '../rewrite.js';

/** The pass. */
export function takePlanarInput(): Pass {
  return { name: 'take-planar-input', apply: transpose };
}

function transpose(graph: Graph): Graph | undefined {
  const [input, ...others] = graph.inputs;
  if (input?.dims.length !== 4 || others.length > 0 || input.dims[1] === 3 || input.dims[3] !== 3) return undefined;
  const [batch, height, width] = input.dims as [string, string, string];
  const planar = { ...input, dims: [batch, 3, height, width] };
  const builder = graphBuilder(graph);
  const attributes = { perm: ints(0, 2, 3, 1) };
  const last = builder.node('Transpose', [input.name], { name: `${input.name}.channels_last`, attributes });
  const [transposed] = builder.finish([]).nodes.slice(-1);
  const rest = mapReads(graph.nodes, (name) => (name === input.name ? last : name));
  return { ...graph, inputs: [planar], nodes: [transposed!, ...rest] };
}
