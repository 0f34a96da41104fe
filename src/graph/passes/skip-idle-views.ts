/**
 * Leave out nodes that rearrange a single vector per image. Exporters put them between a global pooling and the
 * convolutions, gates and fully connected layers that read it.
 *
 *   Before: x [N, C, 1, 1] → Flatten | Reshape | Transpose | Squeeze | Unsqueeze … → [N, C, 1, 1], read by a layer
 *   After:  x, read by the layer
 *
 *   Before: x [N, C, 1, 1] → Transpose to [N, 1, 1, C] … → Flatten | Reshape → [N, C]
 *   After:  x → Flatten from axis 1
 *
 * Preconditions: at the native size all values of the chain have a single axis larger than 1 behind the batch, which
 * stays the first axis. Equal at that size because the numbers of an image then have only one order, so none of these
 * nodes moves any. Behind a global pooling this holds at every size.
 */
import { attribute, int } from '../attributes.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { onlyRearranges } from '../operators.js';
import type { Pass } from '../pass.js';
import { renameReads, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function skipIdleViews(nativeSize: NativeSize): Pass {
  return { name: 'skip-idle-views', apply: (graph) => skip(graph, nativeSize) };
}

function skip(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  // With two images the batch is not mistaken for an axis of size 1.
  const shapes = nativeShapes(graph, nativeSize, 2);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  /** For each view, the values that it is a view of, nearest first. */
  const behind = new Map<string, readonly string[]>();
  const replaced = new Map<string, string>();
  return rewriteNodes(graph, (node) => {
    const read = renameReads(node, (name) => replaced.get(name) ?? name);
    const [x = ''] = node.inputs;
    const [y = ''] = node.outputs;
    const [from, to] = [shapes.get(x), shapes.get(y)];
    if (!onlyRearranges(node) || !isVector(from) || !isVector(to) || !keepsBatch(node, from, to)) return read;
    const ancestors = [x, ...(behind.get(x) ?? [])];
    behind.set(y, ancestors);
    const equal = ancestors.findLast((name) => shapes.get(name)!.join() === to.join());
    if (equal !== undefined && !outputs.has(y)) replaced.set(y, equal);
    if (equal !== undefined || to.length !== 2 || ancestors.length === 1) return read;
    return { ...node, op: 'Flatten', inputs: [ancestors.at(-1)!], attributes: { axis: int(1) } };
  });
}

function isVector(dims: readonly number[] | undefined): dims is readonly number[] {
  return dims !== undefined && dims.length > 1 && dims.slice(1).filter((size) => size !== 1).length <= 1;
}

function keepsBatch(node: Node, from: readonly number[], to: readonly number[]): boolean {
  const perm = attribute(node, 'perm', 'ints');
  return from[0] === to[0] && (node.op !== 'Transpose' || perm?.[0] === 0);
}
