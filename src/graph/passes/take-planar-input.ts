/**
 * Let a net that takes channels last (as TensorFlow exports it) take [N, 3, H, W] like all other nets.
 *
 *   Before: x [N, H, W, 3]
 *   After:  x [N, 3, H, W] → Transpose → [N, H, W, 3]
 *
 * Precondition: the only input has rank 4 with 3 channels last, or 1, and not second. Equal because the same numbers arrive;
 * the engine cancels the Transpose against the net's own.
 */
import { ints } from '../attributes.js';
import type { Dim, Graph, Node } from '../graph.js';
import { nameGiver } from '../names.js';
import type { Pass } from '../pass.js';
import { renameReads } from '../rewrite.js';

/** The pass. */
export function takePlanarInput(): Pass {
  return { name: 'take-planar-input', apply: transpose };
}

function transpose(graph: Graph): Graph | undefined {
  const [input, ...others] = graph.inputs;
  const [batch, height, width, channels] = input?.dims ?? [];
  if (input?.dims.length !== 4 || others.length > 0 || isChannels(height) || !isChannels(channels)) return undefined;
  const fresh = nameGiver(graph);
  const last = fresh(`${input.name}.channels_last`);
  const attributes = { perm: ints(0, 2, 3, 1) };
  const transposed: Node = { op: 'Transpose', name: last, inputs: [input.name], outputs: [last], attributes };
  const rest = graph.nodes.map((node) => renameReads(node, (name) => (name === input.name ? last : name)));
  return { ...graph, inputs: [{ ...input, dims: [batch!, channels!, height!, width!] }], nodes: [transposed, ...rest] };
}

function isChannels(dim: Dim | undefined): boolean {
  return dim === 3 || dim === 1;
}
