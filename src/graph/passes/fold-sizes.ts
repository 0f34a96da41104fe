/**
 * Compute the small integers that a graph computes from constants, or from the number of a map's channels: sizes, axes and padding, as
 * exporters write them out.
 *
 *   Before: constants → ConstantOfShape, Concat, Reshape, Slice, Transpose, Cast, … → p, read by a Pad
 *           map → Shape → Gather of the channels → Div → end, read by a Slice
 *   After:  initializers p, end
 *
 * Preconditions: the value is int64, and does not come from the numbers of the graph's input. Where it comes from its size, all sizes of the
 * input are free, and the value is the same for one image of the native size and two of many times its height and width.
 *
 * Equal because the shape rules compute these values as the operators do (shape-rules.ts). What depends on the remainder of a size, as
 * padding may, becomes that of the native size, as in resolve-auto-padding.ts.
 */
import { inlineConstant } from '../constants.js';
import type { Graph, Node } from '../graph.js';
import { imageShapes, type NativeSize } from '../native-shapes.js';
import type { Known } from '../shape-rules.js';
import { inferNode, knownInitializers, knownInputs } from '../shapes.js';
import { GraphError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';
import { valueTypes } from '../value-types.js';

/** The pass; without a native size, for what is computed from constants alone. */
export function foldSizes(nativeSize?: NativeSize): Pass {
  return {
    name: 'fold-sizes',
    apply: (graph) => fold(graph, nativeSize === undefined ? [] : unlikeImages(nativeSize)),
  };
}

type Images = Parameters<typeof imageShapes>[1];

function unlikeImages(nativeSize: NativeSize): readonly Images[] {
  const { height, width } = typeof nativeSize === 'number' ? { height: nativeSize, width: nativeSize } : nativeSize;
  return [
    { batch: 1, height, width },
    // With the same remainders by strides up to 32.
    { batch: 2, height: 33 * height, width: 65 * width },
  ];
}

function fold(graph: Graph, images: readonly Images[]): Graph | undefined {
  if (images.length > 0 && !hasFreeSizes(graph)) return undefined;
  const inputs = images.length === 0 ? [[]] : images.map((given) => knownInputs(graph, imageShapes(graph, given)));
  const cases = inputs.map((given) => new Map([...knownInitializers(graph), ...given]));
  const types = valueTypes(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  return rewriteNodes(graph, (node, draft) => {
    for (const known of cases) inferIfKnown(node, known);
    const [output = '', ...others] = node.outputs;
    const [first, ...rest] = cases.map((known) => known.get(output));
    const isSize = types.get(output) === 'int64' && others.length === 0 && !outputs.has(output);
    // Division by 0 gives none.
    if (!isSize || first?.values?.every(Number.isSafeInteger) !== true) return node;
    if (!rest.every((other) => other?.values?.join() === first.values!.join())) return node;
    draft.set(inlineConstant(output, 'int64', first.dims, first.values));
    return [];
  });
}

function hasFreeSizes({ inputs: [input] }: Graph): boolean {
  return input?.dims.length === 4 && [0, 2, 3].every((axis) => typeof input.dims[axis] === 'string');
}

function inferIfKnown(node: Node, known: Map<string, Known>): void {
  // Without a size of the graph's input, what comes from it has no shape.
  if (!node.inputs.every((name) => name === '' || known.has(name))) return;
  try {
    inferNode(node, known);
  } catch (error) {
    if (!(error instanceof GraphError)) throw error;
  }
}
