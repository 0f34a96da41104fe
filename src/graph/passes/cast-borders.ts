/**
 * Let a net of another precision take and return float32.
 *
 *   Before: input float16 → … → output float16
 *   After:  input float32 → Cast → … → Cast → output float32
 *
 * Preconditions: one image input; inputs and outputs of numeric types. Equal at the output because every float16 is a
 * float32; at the input the Cast rounds as the net's own type requires.
 */
import { int } from '../attributes.js';
import type { DataType, Graph, Node, ValueInfo } from '../graph.js';
import { nameGiver } from '../names.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';
import { renameIn } from '../rewrite.js';

/** The pass. No match where everything is float32 already. */
export function castBorders(): Pass {
  return { name: 'cast-borders', apply: cast };
}

function cast(graph: Graph): Graph | undefined {
  const foreign = [...graph.inputs, ...graph.outputs].filter(({ dataType }) => dataType !== 'float32');
  if (foreign.length === 0) return undefined;
  const fresh = nameGiver(graph);
  const inner = new Map(foreign.map(({ name }) => [name, fresh(`${name}.own`)]));
  const border = (from: string, output: string, dataType: DataType): Node => {
    const attributes = { to: int(DATA_TYPE_CODES[dataType]) };
    return { op: 'Cast', name: fresh(`${output}.cast`), inputs: [from], outputs: [output], attributes };
  };
  const isForeign = (value: ValueInfo): boolean => inner.has(value.name);
  const asFloat = (value: ValueInfo): ValueInfo => ({ ...value, dataType: 'float32' });
  return {
    ...graph,
    inputs: graph.inputs.map(asFloat),
    outputs: graph.outputs.map(asFloat),
    nodes: [
      ...graph.inputs.filter(isForeign).map(({ name, dataType }) => border(name, inner.get(name)!, dataType)),
      ...graph.nodes.map((node) => renameIn(node, (name) => inner.get(name) ?? name)),
      ...graph.outputs.filter(isForeign).map(({ name }) => border(inner.get(name)!, name, 'float32')),
    ],
  };
}
