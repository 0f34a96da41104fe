/**
 * Padding that depends on the size of the input becomes the padding of the native size, at every size.
 *
 *   Before: window of stride s and extent e, auto_pad SAME_UPPER | SAME_LOWER
 *   After:  the same window, pads = b before, e − 1 − b behind, where SAME pads b before the map of the native size
 *
 * Preconditions: the map's size at the native size is known; a pooling's padding stays smaller than its kernel.
 *
 * Equal at the native size, and at every size where SAME pads b before. There are ⌊(n + e − 1 − e) / s⌋ + 1 = ⌈n / s⌉
 * windows, as many as SAME has by definition, and window j begins at s·j − b in both. Behind the map, no window reaches
 * the cells that only this pass pads; the others are padding in both. At a size with another remainder SAME would move
 * all windows by a pixel of the map. Here they stay where they are, so every cell of every map has one place, which
 * finer maps and tiles need.
 */
import { ints } from '../attributes.js';
import type { Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';
import { leadingPad, windowExtent, windowsOf } from '../windows.js';

/** The pass for a graph of this native size. */
export function resolveAutoPadding(nativeSize: NativeSize): Pass {
  return {
    name: 'resolve-auto-padding',
    apply(graph) {
      if (!graph.nodes.some(padsBySize)) return undefined;
      const shapes = nativeShapes(graph, nativeSize);
      return rewriteNodes(graph, (node) => (padsBySize(node) ? resolve(node, shapes) : node));
    },
  };
}

function padsBySize(node: Node): boolean {
  const { auto_pad: auto } = node.attributes;
  return isOfKind(node, 'window') && auto?.type === 'string' && auto.value.startsWith('SAME');
}

function resolve(node: Node, shapes: ReadonlyMap<string, readonly number[]>): Node {
  const [x = '', weight = ''] = node.inputs;
  const [, , ...sizes] = shapes.get(x) ?? [];
  const kernel = node.op === 'Conv' ? shapes.get(weight)?.slice(2) : undefined;
  if (sizes.length === 0 || (node.op === 'Conv' && kernel === undefined)) return node;
  const windows = windowsOf(node, kernel);
  const begin = windows.map((window, axis) => leadingPad(window, sizes[axis]!));
  const end = windows.map((window, axis) => windowExtent(window) - 1 - begin[axis]!);
  // onnxruntime's poolings refuse padding as wide as the kernel.
  const fits = windows.every((window, axis) => Math.max(begin[axis]!, end[axis]!) < window.kernel);
  if (node.op !== 'Conv' && !fits) return node;
  const { auto_pad: _, ...attributes } = node.attributes;
  return { ...node, attributes: { ...attributes, pads: ints(...begin, ...end) } };
}
