/**
 * Free the batch and the image size that a graph was exported for.
 *
 *   Before: input [1, 3, 224, 224] → … Reshape to [1, …] … → logits [1, K]
 *   After:  input [N, 3, H, W] → … Reshape to [0, …] … → logits [N, K]
 *
 * Preconditions: the only input is an image [N, 3, H, W], the only output [N, K]. If the constant target of a Reshape
 * begins with the first size of its input, that size is taken from the input. Equal at the exported size because 0
 * copies the input's size, which is the one it replaces. The caller infers whether the net really takes other sizes. No
 * match if all sizes are free.
 */
import { attribute } from '../attributes.js';
import { integerValues } from '../constants.js';
import type { Dim, Graph, Node, ValueInfo } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Replace } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function freeSizes(nativeSize: NativeSize): Pass {
  return { name: 'free-sizes', apply: (graph) => freeAll(graph, nativeSize) };
}

function freeAll(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const [input, ...inputs] = graph.inputs;
  const [output, ...outputs] = graph.outputs;
  if (input?.dims.length !== 4 || output?.dims.length !== 2 || inputs.length + outputs.length > 0) return undefined;
  const shapes = nativeShapes(graph, nativeSize);
  const replace: Replace = (node, draft) => {
    const target = bakedTarget(graph, node, shapes);
    if (target === undefined) return node;
    const shape = draft.constant(`${node.name}.free_shape`, 'int64', [target.length], [0, ...target.slice(1)]);
    const { allowzero: _, ...attributes } = node.attributes;
    return { ...node, inputs: [node.inputs[0]!, shape], attributes };
  };
  return rewriteNodes(graph, replace, {
    inputs: [withDims(input, ['N', input.dims[1]!, 'H', 'W'])],
    outputs: [withDims(output, ['N', output.dims[1]!])],
  });
}

function withDims(value: ValueInfo, dims: readonly Dim[]): ValueInfo {
  return value.dims.join() === dims.join() ? value : { ...value, dims };
}

/** The constant target of a Reshape whose first size is its input's; undefined for all other nodes. */
function bakedTarget(
  graph: Graph,
  node: Node,
  shapes: ReadonlyMap<string, readonly number[]>,
): readonly number[] | undefined {
  const [x = '', shape = ''] = node.inputs;
  const constant = graph.initializers.get(shape);
  if (node.op !== 'Reshape' || constant === undefined) return undefined;
  const target = integerValues(constant);
  if (target?.includes(0) && attribute(node, 'allowzero', 'int')) return undefined;
  const [batch, ...rest] = shapes.get(x) ?? [];
  return target !== undefined && rest.length > 0 && target[0] === batch ? target : undefined;
}
