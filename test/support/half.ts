/**
 * Computes half precision as a device that has it does: every value is rounded. onnxruntime's CPU provider would
 * compute in single precision and leave out the Casts that it inserts itself where two of them meet. It keeps the Casts
 * that a graph has, so this file adds them to the graph.
 */
import { int } from '../../src/graph/attributes.js';
import type { Graph, Node } from '../../src/graph/graph.js';
import { nameGiver } from '../../src/graph/names.js';
import { DATA_TYPE_CODES } from '../../src/graph/onnx/data-types.js';

/** Whether a value has half precision, by the name that narrow-to-half.ts gives it. */
export const isHalfName = (name: string): boolean => /\.half(_\d+)?$/.test(name);

/**
 * The narrowed graph (narrow-to-half.ts) computed in single precision, each of its half-precision values rounded to
 * half precision.
 */
export function roundBetween(graph: Graph): Graph {
  const fresh = nameGiver(graph);
  const cast = (from: string, to: string, type: 'float16' | 'float32'): Node => {
    const attributes = { to: int(DATA_TYPE_CODES[type]) };
    return { op: 'Cast', name: fresh(`${to}.rounding`), inputs: [from], outputs: [to], attributes };
  };
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (node.op === 'Cast') return [node];
    const [before, after]: [Node[], Node[]] = [[], []];
    const inputs = node.inputs.map((name) => {
      if (!isHalfName(name)) return name;
      const single = fresh(`${name}.single`);
      before.push(cast(name, single, 'float32'));
      return single;
    });
    const outputs = node.outputs.map((name) => {
      if (!isHalfName(name)) return name;
      const exact = fresh(`${name}.exact`);
      after.push(cast(exact, name, 'float16'));
      return exact;
    });
    return [...before, { ...node, inputs, outputs }, ...after];
  });
  return { ...graph, nodes };
}
