/**
 * Cut a part out of a graph, as a graph of its own.
 *
 *   Before: input → … → x → part → y → …
 *   After:  x → part → y, with x as the input and y as the output
 *
 * Precondition, which throws: the outputs depend on nothing but the inputs and constants.
 *
 * Equal because a value depends only on the nodes behind it: fed with the x of the whole, the part gives its y.
 */
import type { Dim, Graph, ValueInfo } from '../graph.js';
import { GraphError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import { prune } from '../rewrite.js';

export interface Part {
  /** Values that become inputs. */
  readonly from: readonly string[];
  /** Values that become outputs. */
  readonly to: readonly string[];
}

/** The pass; `shapes` has the shapes of `from` and `to`, [N, …]. Their batch becomes free, the other sizes are fixed. */
export function cutOut({ from, to }: Part, shapes: ReadonlyMap<string, readonly number[]>): Pass {
  return { name: 'cut-out', apply: (graph) => cut(graph, { from, to }, shapes) };
}

function cut(graph: Graph, { from, to }: Part, shapes: ReadonlyMap<string, readonly number[]>): Graph {
  const declare = (name: string): ValueInfo => {
    const dims = shapes.get(name);
    if (dims === undefined) throw new GraphError(`the shape of "${name}" is not known`);
    return { name, dataType: 'float32', dims: dims.map((size, axis): Dim => (axis === 0 ? 'N' : size)) };
  };
  const inputs = from.map(declare);
  const given = new Set(from);
  const nodes = graph.nodes.filter(({ outputs }) => !outputs.some((name) => given.has(name)));
  const part = prune({ ...graph, inputs, outputs: to.map(declare), nodes });
  const before = graph.inputs.find(
    ({ name }) => !given.has(name) && part.nodes.some((node) => node.inputs.includes(name)),
  );
  if (before !== undefined) throw new GraphError(`"${to.join('", "')}" depend on more than "${from.join('", "')}"`);
  return part;
}
