/**
 * Weights that a file keeps as integers become initializers that know how they are stored, so that other passes see a
 * weight where a weight is.
 *
 *   Before: w int8, scale, zero point → DequantizeLinear → Conv
 *   After:  w float32 (graph.ts, Quantization) → Conv
 *
 * Preconditions: all three are initializers; one scale for the tensor or for each index of an axis (no blocks). Equal by
 * definition; the writer puts the DequantizeLinear back, and the engine fuses it with the convolution.
 */
import { attribute } from '../attributes.js';
import type { Graph, Initializer, Node } from '../graph.js';
import type { Pass } from '../pass.js';
import { prune } from '../rewrite.js';

/** The pass. */
export function absorbDequantizedWeights(): Pass {
  return { name: 'absorb-dequantized-weights', apply: absorb };
}

function absorb(graph: Graph): Graph | undefined {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const initializers = new Map<string, Initializer>(graph.initializers);
  const nodes = graph.nodes.filter((node) => {
    const [output = ''] = node.outputs;
    const weight = outputs.has(output) ? undefined : weightOf(node, graph.initializers);
    if (weight !== undefined) initializers.set(output, weight);
    return weight === undefined;
  });
  return nodes.length === graph.nodes.length ? undefined : prune({ ...graph, nodes, initializers });
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
