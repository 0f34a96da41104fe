/**
 * Leave out a view by strides that shows all numbers of an image's value in their order. torch's exporter writes them behind
 * a global pooling, with the size of one image in them.
 *
 *   Before: x [1, C, h, w] → Reshape [C·h·w] → Gather of the numbers 0, 1, 2, … as [1, C, h, w]
 *   After:  x
 *
 * Preconditions: the indices are constant and count up, and the result has the shape of x at the native size. Equal because
 * no number moves. Source: onnxscript, function_libs/torch_lib/ops/core.py (aten_as_strided).
 */
import { attribute } from '../attributes.js';
import { integerValues } from '../constants.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { producersOf, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function undoStridedViews(nativeSize: NativeSize): Pass {
  return { name: 'undo-strided-views', apply: (graph) => undo(graph, nativeSize) };
}

function undo(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const shapes = nativeShapes(graph, nativeSize);
  const producers = producersOf(graph);
  const countsUp = (name: string): boolean => {
    const indices = graph.initializers.get(name);
    return (indices && integerValues(indices))?.every((value, place) => value === place) === true;
  };
  return rewriteNodes(graph, (node) => {
    const [flat = '', indices = ''] = node.inputs;
    const reshape = node.op === 'Gather' && axisOf(node) === 0 ? producers.get(flat) : undefined;
    const x = reshape?.op === 'Reshape' ? reshape.inputs[0]! : undefined;
    const isWhole =
      x !== undefined &&
      shapes.get(flat)?.length === 1 &&
      shapes.get(x) !== undefined &&
      shapes.get(x)!.join() === shapes.get(node.outputs[0]!)?.join() &&
      countsUp(indices);
    return isWhole ? { ...node, op: 'Identity', inputs: [x], attributes: {} } : node;
  });
}

const axisOf = (node: Node): number => attribute(node, 'axis', 'int') ?? 0;
