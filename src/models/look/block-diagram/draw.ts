/**
 * Draws a net from its graph: boxes of layers (boxes.ts), repeats folded (fold.ts), on a page (arrange.ts), as SVG. A part of
 * a net is drawn in full.
 */
import { UsageError } from '../../../errors.js';
import type { Graph, Node } from '../../../graph/graph.js';
import type { NativeSize } from '../../../graph/native-shapes.js';
import { boxesOf } from './boxes.js';
import { foldRepeats } from './fold.js';
import { svgOf } from './svg.js';

export interface DrawOptions {
  /** What stands above the drawing. */
  readonly title: string;
  /**
   * Draw these layers alone: a block, i.e. all layers whose names begin with `part.` or `part/`; or from a layer to a layer,
   * `first..last`, in the order in which they run.
   */
  readonly part?: string | undefined;
}

/** The SVG of a net. Throws UsageError if the part has no layer, or if there is more than a picture can show. */
export function drawNet(graph: Graph, nativeSize: NativeSize, { title, part }: DrawOptions): string {
  if (part === undefined) return svgOf(foldRepeats(boxesOf(graph, nativeSize)), title);
  const chosen = partOf(graph, part);
  const boxes = boxesOf(graph, nativeSize, (node) => chosen.has(node));
  if (boxes.length === 0) throw new UsageError(`--part=${part}: these layers are constants, which are not drawn.`);
  return svgOf({ boxes, folds: [] }, `${title}: ${part}`);
}

function partOf({ nodes }: Graph, part: string): ReadonlySet<Node> {
  const block = nodes.filter(({ name }) => name === part || name.startsWith(`${part}.`) || name.startsWith(`${part}/`));
  if (block.length > 0) return new Set(block);
  const [from, to] = part.split('..');
  const [first, last] = [from, to].map((wanted) => nodes.findIndex(({ name }) => name === wanted));
  if (first === undefined || last === undefined || first < 0 || last < first) {
    throw new UsageError(`--part=${part}: no layers have such names; --layers lists the layers.`);
  }
  return new Set(nodes.slice(first, last + 1));
}
