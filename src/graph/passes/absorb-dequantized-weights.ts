/**
 * Weights that a file keeps as integers become float32 initializers that record how they are stored, so that other
 * passes recognize them as weights.
 *
 *   Before: w int8, scale, zero point → DequantizeLinear → Conv
 *   After:  w float32 (graph.ts, Quantization) → Conv
 *
 * Preconditions: all three are initializers; one scale for the tensor or for each index of an axis (no blocks). Equal
 * by definition; the writer puts the DequantizeLinear back, and the engine fuses it with the convolution.
 */
import { attribute } from '../attributes.js';
import type { Graph, Initializer, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';

/** The pass. */
export function absorbDequantizedWeights(): Pass {
  return { name: 'absorb-dequantized-weights', apply: absorb };
}

function absorb(graph: Graph): Graph | undefined {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return rewriteNodes(graph, (node, draft) => {
    const weight = outputs.has(node.outputs[0] ?? '') ? undefined : weightOf(node, graph.initializers);
    if (weight === undefined) return node;
    draft.set(weight);
    return [];
  });
}

function weightOf(node: Node, initializers: ReadonlyMap<string, Initializer>): Initializer | undefined {
  if (node.op !== 'DequantizeLinear') return undefined;
  const [storedName = '', scaleName = '', zeroName = ''] = node.inputs;
  const [stored, scale, zeroPoint] = [storedName, scaleName, zeroName].map((name) => initializers.get(name));
  if (stored === undefined || scale === undefined || (zeroName !== '' && zeroPoint === undefined)) return undefined;
  const { dataType: storedAs, dims, data } = stored;
  if ((storedAs !== 'int8' && storedAs !== 'uint8' && storedAs !== 'int32') || data.kind === 'unbound')
    return undefined;
  const given = attribute(node, 'axis', 'int') ?? 1;
  const axis = given < 0 ? given + dims.length : given;
  const isByAxis = scale.dims.length === 1 && scale.dims[0] === dims[axis];
  if (scale.dataType !== 'float32' || !(scale.dims.length === 0 || isByAxis)) return undefined;
  const quantization = { storedAs, scale, axis, ...(zeroPoint === undefined ? {} : { zeroPoint }) };
  return { name: node.outputs[0]!, dataType: 'float32', dims, data, quantization };
}
