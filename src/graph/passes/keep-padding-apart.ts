/**
 * Keep the engine from fusing a Pad with zeros into the padding of a max pooling.
 *
 *   Before: Pad with zeros → … → MaxPool without padding of its own
 *   After:  Pad with zeros → … → MaxPool, auto_pad = VALID
 *
 *   Before: Pad with zeros → … → MaxPool, pads p or ceil_mode
 *   After:  Pad with zeros → … → Pad p with −∞ → MaxPool
 *
 * Equal by definition: VALID is no padding, and a max pooling pads with −∞. Its last, partial window (ceil_mode) is one
 * that reaches stride − 1 cells further.
 *
 * Why: onnxruntime 1.30 fuses a Pad of zeros and a MaxPool (pad_fusion.cc) into one MaxPool with padding, which ignores
 * the padded cells. The maximum of a window with only negative values is then no longer 0. It does not fuse a pooling
 * with an auto_pad, nor over another Pad. It does fuse over operators that it takes out first (Identity, Cast, a pair
 * of Transposes). So in a graph with padding all bare poolings get VALID, which costs nothing, and every other pooling
 * gets a Pad of its own if such operators lead back to a Pad. Preconditions for that Pad: no window can lie entirely in
 * the padding, and the type of the values is known.
 */
import { attribute, float, ints } from '../attributes.js';
import type { DataType, Graph, Node } from '../graph.js';
import { isOfKind, onlyRearranges } from '../operators.js';
import type { Pass } from '../pass.js';
import { producersOf, rewriteNodes, type Draft } from '../rewrite.js';
import { valueTypes } from '../value-types.js';
import { windowExtent, windowsOf, type Window } from '../windows.js';

/** Whether the engine may take a node out from between the two. */
const isRemovable = (node: Node): boolean =>
  onlyRearranges(node) || isOfKind(node, 'identity', 'cast') || node.op === 'Expand';

/** The first operator set whose Pad has its amounts as an input. */
const PADS_INPUT_OPSET = 11;

/** The pass. */
export function keepPaddingApart(): Pass {
  return { name: 'keep-padding-apart', apply: keepApart };
}

function keepApart(graph: Graph): Graph | undefined {
  if (!graph.nodes.some(({ op }) => op === 'Pad')) return undefined;
  const types = valueTypes(graph);
  const producers = producersOf(graph);
  const isBehindPad = ({ inputs }: Node): boolean => {
    const producer = producers.get(inputs[0] ?? '');
    return producer !== undefined && (producer.op === 'Pad' || (isRemovable(producer) && isBehindPad(producer)));
  };
  return rewriteNodes(graph, (node, draft) => {
    if (node.op !== 'MaxPool' || (attribute(node, 'auto_pad', 'string') ?? 'NOTSET') !== 'NOTSET') return node;
    if (isBare(node)) {
      const { pads: _, ...attributes } = node.attributes;
      return { ...node, attributes: { ...attributes, auto_pad: { type: 'string', value: 'VALID' } } };
    }
    return isBehindPad(node) ? withPad(node, graph.opset, types.get(node.inputs[0] ?? ''), draft) : node;
  });
}

/** The pooling behind a new Pad with −∞, which takes over its padding; the unchanged node if that is impossible. */
function withPad(node: Node, opset: number, type: DataType | undefined, draft: Draft): Node {
  const [x = ''] = node.inputs;
  const pads = explicitPads(windowsOf(node));
  if (pads === undefined || (type !== 'float32' && type !== 'float16')) return node;
  const padded =
    opset < PADS_INPUT_OPSET
      ? draft.node('Pad', [x], `${node.name}.padded`, { pads: ints(...pads), value: float(-Infinity) })
      : draft.node(
          'Pad',
          [
            x,
            draft.constant(`${node.name}.pads`, 'int64', [pads.length], pads),
            draft.constant(`${node.name}.lowest`, type, [], [-Infinity]),
          ],
          `${node.name}.padded`,
        );
  const { pads: _pads, ceil_mode: _ceil, ...attributes } = node.attributes;
  return { ...node, inputs: [padded], attributes };
}

function isBare(node: Node): boolean {
  return windowsOf(node).every(({ padBegin, padEnd, ceil }) => padBegin === 0 && padEnd === 0 && !ceil);
}

/** The pads of all axes of a map [N, C, …]; undefined if a window could lie entirely in the padding. */
function explicitPads(windows: readonly Window[]): readonly number[] | undefined {
  const begin = windows.map(({ padBegin }) => padBegin);
  const end = windows.map(({ padEnd, stride, ceil }) => padEnd + (ceil ? stride - 1 : 0));
  const reach = windows.every((window, axis) => Math.max(begin[axis]!, end[axis]!) < windowExtent(window));
  return reach ? [0, 0, ...begin, 0, 0, ...end] : undefined;
}
