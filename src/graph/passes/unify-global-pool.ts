/**
 * Reduce the ways in which exporters average a whole map in front of the classifier to one.
 *
 *   Before: x [N, C, h, w] → ReduceMean over axes 2, 3 → [N, C, 1, 1] or [N, C]
 *           x [N, C, h, w] → AveragePool, one window over all of it → [N, C, 1, 1]
 *           x [N, C, h, w] → Transpose to [N, h, w, C] → ReduceMean over axes 1, 2 → [N, C]
 *   After:  x [N, C, h, w] → GlobalAveragePool → (Flatten)
 *
 *   Before: x [N, C, h, w] → MaxPool, one window over all of it, beside a GlobalAveragePool of x
 *   After:  x [N, C, h, w] → GlobalMaxPool
 *
 * Preconditions of a mean: the node is in the chain that ends in the only output; h × w is the map at the native size. Pooling
 * inside of the net (squeeze and excitation) is left alone.
 *
 * Equal because each is the mean over all positions: for ReduceMean of any map; for AveragePool at the native size,
 * where its window is the map (padding left out). Beyond the native size an AveragePool thereby becomes the mean over
 * the whole image.
 */
import { attribute, axesOf, int } from '../attributes.js';
import { tailOf } from '../classifier-head.js';
import type { Graph, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { rewriteNodes } from '../rewrite.js';
import { coversMap } from '../windows.js';

/** The pass for a graph of this native size. */
export function unifyGlobalPool(nativeSize: NativeSize): Pass {
  return { name: 'unify-global-pool', apply: (graph) => unify(graph, nativeSize) };
}

/** The map that is averaged over its height and width, and whether these axes remain with size 1. */
interface GlobalMean {
  readonly map: string;
  readonly keepsAxes: boolean;
}

function unify(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  const shapes = nativeShapes(graph, nativeSize);
  return unifyMean(graph, shapes) ?? unifyMaxima(graph, shapes);
}

/** A maximum over the whole map, beside a mean over it: both are of the whole map at any size. */
function unifyMaxima(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): Graph | undefined {
  const averaged = new Set(graph.nodes.filter(({ op }) => op === 'GlobalAveragePool').map(({ inputs }) => inputs[0]!));
  return rewriteNodes(graph, (node) => {
    const [x = ''] = node.inputs;
    const map = shapes.get(x)?.slice(2);
    const isGlobal = node.op === 'MaxPool' && node.outputs.length === 1 && averaged.has(x) && map?.length === 2;
    return isGlobal && coversMap(node, map) ? { ...node, op: 'GlobalMaxPool', attributes: {} } : node;
  });
}

function unifyMean(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): Graph | undefined {
  for (const node of tailOf(graph)) {
    const mean = meanOf(graph, node, shapes);
    if (mean === undefined) continue;
    return rewriteNodes(graph, (other, draft) => {
      if (other !== node) return other;
      if (mean.keepsAxes) return { ...node, op: 'GlobalAveragePool', inputs: [mean.map], attributes: {} };
      const pooled = draft.node('GlobalAveragePool', [mean.map], `${node.name}.pooled`);
      return { ...node, op: 'Flatten', inputs: [pooled], attributes: { axis: int(1) } };
    });
  }
  return undefined;
}

function meanOf(graph: Graph, node: Node, shapes: ReadonlyMap<string, readonly number[]>): GlobalMean | undefined {
  const [x = ''] = node.inputs;
  const dims = shapes.get(x);
  if (dims?.length !== 4) return undefined;
  if (node.op === 'AveragePool') return coversMap(node, dims.slice(2)) ? { map: x, keepsAxes: true } : undefined;
  if (node.op !== 'ReduceMean') return undefined;

  const keepsAxes = attribute(node, 'keepdims', 'int') !== 0;
  const axes = axesOf(graph, node)
    ?.map((axis) => (axis < 0 ? axis + 4 : axis))
    .sort((a, b) => a - b)
    .join();
  if (axes === '2,3') return { map: x, keepsAxes };
  const transpose = graph.nodes.find(({ op, outputs }) => op === 'Transpose' && outputs[0] === x);
  const channelsLast = transpose && attribute(transpose, 'perm', 'ints')?.join() === '0,2,3,1';
  return axes === '1,2' && channelsLast && !keepsAxes ? { map: transpose.inputs[0]!, keepsAxes } : undefined;
}
