/**
 * Let a half-precision net with a float32 output end in its own precision. cast-borders.ts adds the Cast again behind
 * the rewritten head.
 *
 *   Before: x float16 → Cast to float32 → output float32
 *   After:  x float16 → output float16
 *
 * Preconditions: the only output comes from such a Cast, and the layer before it has float16 weights. Equal because
 * every float16 number is a float32 number: the Cast rounds nothing.
 */
import { attribute } from '../attributes.js';
import { tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { bypass } from '../rewrite.js';

/** The pass. */
export function dropOutputCast(): Pass {
  return { name: 'drop-output-cast', apply: drop };
}

function drop(graph: Graph): Graph | undefined {
  const [cast, ...before] = tailOf(graph);
  if (cast?.op !== 'Cast' || attribute(cast, 'to', 'int') !== DATA_TYPE_CODES.float32) return undefined;
  const layer = before.find((node) => node.op === 'Cast' || weightType(graph, node) !== undefined);
  if (layer === undefined || weightType(graph, layer) !== 'float16') return undefined;
  const bypassed = bypass(graph, cast);
  return bypassed && { ...bypassed, outputs: bypassed.outputs.map((output) => ({ ...output, dataType: 'float16' })) };
}

/** The floating-point type of the constants that a node computes with. */
function weightType(graph: Graph, { inputs }: Node): string | undefined {
  return inputs.map((name) => graph.initializers.get(name)?.dataType).find((dataType) => dataType?.startsWith('float'));
}
