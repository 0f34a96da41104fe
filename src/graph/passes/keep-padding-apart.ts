/**
 * Keep the engine from taking padding with zeros for the padding of a max pooling.
 *
 *   Before: Pad with zeros → … → MaxPool without padding of its own
 *   After:  Pad with zeros → … → MaxPool, auto_pad = VALID
 *
 *   Before: Pad with zeros → … → MaxPool, pads p or ceil_mode
 *   After:  Pad with zeros → … → Pad p with −∞ → MaxPool
 *
 * Equal by definition: VALID is no padding, and −∞ is what a max pooling pads with; its last, partial window (ceil_mode) is
 * one that reaches stride − 1 cells further. Why: onnxruntime 1.30 fuses a Pad of zeros and a MaxPool (pad_fusion.cc) into one
 * with padding, which ignores what is padded; where a window has only negative values its maximum is no longer 0. It does
 * not with an auto_pad, nor over another Pad. What lies between them may be anything that the engine takes out first
 * (Identity, Cast, a pair of Transposes): in a graph with padding all bare poolings get VALID, which costs nothing, and a
 * Pad of its own each that such operators lead back to a Pad. Precondition there: no window can lie in the padding
 * altogether, and the type of the values is known.
 */
import { attribute, float, ints } from '../attributes.js';
import type { DataType, Graph, Node } from '../graph.js';
import { isOfKind, onlyRearranges } from '../operators.js';
import type { Pass } from '../pass.js';
import { producersOf, rewriteNodes, type Draft } from '../rewrite.js';
import { valueTypes } from '../value-types.js';
import { windowExtent, windowsOf, type Window } from '../windows.js';

/** What the engine may take out from between the two. */
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

/** A Pad with −∞ in front of the pooling, which loses its padding to it; the node alone where that cannot be. */
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

/** Of a map [N, C, …], all axes; undefined where a window could lie in the padding altogether. */
function explicitPads(windows: readonly Window[]): readonly number[] | undefined {
  const begin = windows.map(({ padBegin }) => padBegin);
  const end = windows.map(({ padEnd, stride, ceil }) => padEnd + (ceil ? stride - 1 : 0));
  const reach = windows.every((window, axis) => Math.max(begin[axis]!, end[axis]!) < windowExtent(window));
  return reach ? [0, 0, ...begin, 0, 0, ...end] : undefined;
}
