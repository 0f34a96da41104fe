/**
 * Free the batch and the size of an image that a graph was exported for.
 *
 *   Before: input [1, 3, 224, 224] → … Reshape to [1, …] … → logits [1, K]
 *   After:  input [N, 3, H, W] → … Reshape to [0, …] … → logits [N, K]
 *
 * Preconditions: the only input is an image [N, 3, H, W], the only output [N, K]. A constant target of a Reshape that
 * begins with the size its input begins with takes that size from the input. Equal at the exported size because 0 copies
 * the input's size, which is the one it replaces. Whether the net really takes other sizes, the caller infers.
 */
import { attribute } from '../attributes.js';
import { nameGiver } from '../build.js';
import { inlineConstant, integerValues } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { nativeShapes } from '../native-shapes.js';
import type { Pass } from '../pass.js';

/** The pass for a graph whose native input has this side, in pixels. */
export function freeSizes(nativeSize: number): Pass {
  return { name: 'free-sizes', apply: (graph) => freeAll(graph, nativeSize) };
}

function freeAll(graph: Graph, nativeSize: number): Graph | undefined {
  const [input, ...inputs] = graph.inputs;
  const [output, ...outputs] = graph.outputs;
  if (input?.dims.length !== 4 || output?.dims.length !== 2 || inputs.length + outputs.length > 0) return undefined;
  const shapes = nativeShapes(graph, nativeSize);
  const free = nameGiver(graph);
  const initializers = new Map<string, Initializer>(graph.initializers);
  const nodes = graph.nodes.map((node): Node => {
    const target = bakedTarget(graph, node, shapes);
    if (target === undefined) return node;
    const name = free(`${node.name}.free_shape`);
    initializers.set(name, inlineConstant(name, 'int64', [target.length], [0, ...target.slice(1)]));
    return { ...node, inputs: [node.inputs[0]!, name] };
  });
  return {
    ...graph,
    inputs: [{ ...input, dims: ['N', input.dims[1]!, 'H', 'W'] }],
    outputs: [{ ...output, dims: ['N', output.dims[1]!] }],
    nodes,
    initializers,
  };
}

/** The constant target of a Reshape whose first size is its input's; undefined for all other nodes. */
function bakedTarget(
  graph: Graph,
  node: Node,
  shapes: ReadonlyMap<string, readonly number[]>,
): readonly number[] | undefined {
  const [x = '', shape = ''] = node.inputs;
  const constant = graph.initializers.get(shape);
  if (node.op !== 'Reshape' || constant === undefined || attribute(node, 'allowzero', 'int')) return undefined;
  const target = integerValues(constant);
  const [batch, ...rest] = shapes.get(x) ?? [];
  return target !== undefined && rest.length > 0 && target[0] === batch ? target : undefined;
}
