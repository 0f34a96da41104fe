/**
 * Turn a matrix product with constant weights into the Gemm that other passes know.
 *
 *   Before: x [N, I] → MatMul W [I, O] → (Add b [O]) → y [N, O]
 *   After:  x [N, I] → Gemm W, b → y
 *
 * Preconditions: x has rank 2 at the native size, W is a constant of rank 2; only the Add reads the product; b is a
 * constant of O numbers with no other reader. Equal because Gemm is x·W + b by definition.
 * Source: ONNX operators MatMul, Gemm (opset 7 to 13; the bias is optional since 11).
 */
import { elementCount } from '../../tensor.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { countReads, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function mergeMatMulAdd(nativeSize: NativeSize): Pass {
  return { name: 'merge-matmul-add', apply: (graph) => merge(graph, nativeSize) };
}

function merge(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const shapes = nativeShapes(graph, nativeSize);
  const reads = countReads(graph);
  const merged = new Set<Node>();
  return rewriteNodes(graph, (node, draft) => {
    if (merged.has(node)) return [];
    const [x = '', weight = ''] = node.inputs;
    const width = graph.initializers.get(weight)?.dims[1];
    if (node.op !== 'MatMul' || shapes.get(x)?.length !== 2 || width === undefined) return node;
    const gemm: Node = { ...node, op: 'Gemm', attributes: {} };
    const addition = reads.get(node.outputs[0]!) === 1 ? biasOf(graph, node.outputs[0]!, width, reads) : undefined;
    if (addition === undefined) return gemm;
    merged.add(addition.add);
    const bias = draft.set({ ...addition.bias, dims: [width] });
    return { ...gemm, inputs: [x, weight, bias], outputs: addition.add.outputs };
  });
}

/** The Add of a constant bias to a product. */
function biasOf(
  graph: Graph,
  product: string,
  width: number,
  reads: ReadonlyMap<string, number>,
): { readonly add: Node; readonly bias: Initializer } | undefined {
  const add = graph.nodes.find(({ op, inputs }) => op === 'Add' && inputs.includes(product));
  const bias = graph.initializers.get(add?.inputs.find((name) => name !== product) ?? '');
  if (add === undefined || bias === undefined || reads.get(bias.name) !== 1) return undefined;
  const fits = bias.dims.at(-1) === width && elementCount(bias.dims) === width && bias.dims.length <= 2;
  return fits ? { add, bias } : undefined;
}
