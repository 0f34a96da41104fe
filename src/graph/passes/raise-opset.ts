/**
 * Bring a graph of an older operator set to opset 18, the one that these passes write.
 *
 *   Before: opset 7 to 17: axes, sizes, pads and bounds as attributes
 *   After:  opset 18: the same as constant inputs
 *
 * Preconditions: below opset 13 the axis of a Softmax, LogSoftmax or Hardmax is the last one (by the shapes at the
 * native size), because those run over all axes from theirs on; no operator changed its meaning in another way
 * (Upsample, Resize below 13, Scatter). Equal because each rewritten node says the same in the newer form; all other
 * operators mean in opset 18 what they meant.
 * Source: ONNX Operator changelog, opsets 7 to 18.
 */
import { attribute, int } from '../attributes.js';
import { OPSET } from '../build.js';
import { inlineConstant } from '../constants.js';
import type { Attribute, Graph, Initializer, Node } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { operatorsOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { rewriteNodes, type Replace } from '../rewrite.js';

/** The pass for a graph of this native size. No match for opset 18 or newer, or below 7. */
export function raiseOpset(nativeSize: NativeSize): Pass {
  return { name: 'raise-opset', apply: (graph) => raise(graph, nativeSize) };
}

/**
 * Operators whose attributes became inputs: the opset in which they did, and the attributes by the input's position.
 */
const MOVED: Readonly<Record<string, { readonly since: number; readonly attributes: readonly string[] }>> = {
  Squeeze: { since: 13, attributes: ['axes'] },
  Unsqueeze: { since: 13, attributes: ['axes'] },
  ...Object.fromEntries(operatorsOfKind('reduction').map((op) => [op, { since: 18, attributes: ['axes'] }])),
  ReduceSum: { since: 13, attributes: ['axes'] },
  Clip: { since: 11, attributes: ['min', 'max'] },
  Pad: { since: 11, attributes: ['pads', 'value'] },
  Slice: { since: 10, attributes: ['starts', 'ends', 'axes'] },
  Split: { since: 13, attributes: ['split'] },
  TopK: { since: 10, attributes: ['k'] },
  Dropout: { since: 12, attributes: ['ratio'] },
};

/** Operators that changed their meaning, and the first opset in which they mean what they mean in opset 18. */
const CHANGED: Readonly<Record<string, number>> = {
  Upsample: Infinity,
  Scatter: Infinity,
  Resize: 13,
};

function raise(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const { opset } = graph;
  if (opset >= OPSET || opset < 7) return undefined;
  if (graph.nodes.some(({ op }) => opset < (CHANGED[op] ?? 0))) return undefined;
  const isHalf = [...graph.initializers.values()].some(({ dataType }) => dataType === 'float16');
  const shapes = nativeShapes(graph, nativeSize);
  const replace: Replace = (node, draft) => {
    const normalized = raiseBatchNorm(node);
    const raised = normalized && raiseSoftmax(normalized, opset, shapes);
    if (raised === undefined) return undefined;
    const add = (name: string, value: Attribute): string =>
      draft.set(constantOf(draft.fresh(name), value, { isList: node.op === 'TopK', isHalf }));
    return moveAttributes(splitEvenly(raised, opset), opset, add);
  };
  return rewriteNodes(graph, replace, { opset: OPSET });
}

/**
 * The node without `spatial` (always on since opset 9) and without training outputs (gone in opset 14). Undefined for a
 * BatchNormalization whose statistics are not by channel. One in training mode, as nets that standardize their weights have, keeps
 * its outputs.
 */
function raiseBatchNorm(node: Node): Node | undefined {
  if (node.op !== 'BatchNormalization' || attribute(node, 'training_mode', 'int') === 1) return node;
  const { spatial: _, ...attributes } = node.attributes;
  return attribute(node, 'spatial', 'int') === 0
    ? undefined
    : { ...node, outputs: node.outputs.slice(0, 1), attributes };
}

/** Both versions agree only over the last axis; undefined for another axis. */
function raiseSoftmax(node: Node, opset: number, shapes: ReadonlyMap<string, readonly number[]>): Node | undefined {
  if (opset >= 13 || !['Softmax', 'LogSoftmax', 'Hardmax'].includes(node.op)) return node;
  const rank = shapes.get(node.inputs[0] ?? '')?.length;
  const axis = attribute(node, 'axis', 'int') ?? 1;
  if (axis !== -1 && (rank === undefined || axis !== rank - 1)) return undefined;
  return { ...node, attributes: { ...node.attributes, axis: int(-1) } };
}

/** Since opset 18 a Split into equal parts says how many. */
function splitEvenly(node: Node, opset: number): Node {
  const even = node.op === 'Split' && node.inputs.length < 2 && node.attributes['split'] === undefined;
  if (!even || opset >= 18) return node;
  return { ...node, attributes: { ...node.attributes, num_outputs: int(node.outputs.length) } };
}

function moveAttributes(node: Node, opset: number, add: (name: string, value: Attribute) => string): Node {
  const moved = MOVED[node.op];
  if (moved === undefined || opset >= moved.since) return node;
  const inputs = [node.inputs[0]!];
  for (const [index, name] of moved.attributes.entries()) {
    const value = node.attributes[name];
    if (value === undefined) continue;
    while (inputs.length < index + 1) inputs.push('');
    inputs[index + 1] = add(`${node.name}.${name}`, value);
  }
  const attributes = Object.entries(node.attributes).filter(([name]) => !moved.attributes.includes(name));
  return { ...node, inputs, attributes: Object.fromEntries(attributes) };
}

/** TopK's k was a number and is a list of one; bounds have the type of the net. */
function constantOf(
  name: string,
  value: Attribute,
  { isList, isHalf }: { readonly isList: boolean; readonly isHalf: boolean },
): Initializer {
  switch (value.type) {
    case 'ints':
      return inlineConstant(name, 'int64', [value.value.length], value.value);
    case 'int':
      return inlineConstant(name, 'int64', isList ? [1] : [], [value.value]);
    case 'float':
      return inlineConstant(name, isHalf ? 'float16' : 'float32', [], [value.value]);
    default:
      throw new GraphError(`an attribute of type ${value.type} does not become an input`);
  }
}
