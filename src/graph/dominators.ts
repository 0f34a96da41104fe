/**
 * Which values everything must pass through on its way from the graph's input: the dominators of each value. A value
 * that depends on no graph input, such as a weight, has none; neither has a size that is taken of a map.
 *
 * The graph is in topological order, so one pass gives the tree of immediate dominators. Source: Cooper, Harvey, Kennedy
 * 2001, "A Simple, Fast Dominance Algorithm".
 */
import type { Graph } from './graph.js';
import { isOfKind } from './operators.js';

export interface Dominators {
  /** Whether a value depends on a graph input. */
  isData(value: string): boolean;
  /**
   * The last value that every path to any of `values` passes through; constants do not count. It may be one of them.
   * Undefined where there is none: they come from different graph inputs, or are all constants.
   */
  common(values: readonly string[]): string | undefined;
  /** Whether every path to `value` passes through `over`; a value dominates itself. */
  dominates(over: string, value: string): boolean;
}

/** A value with the depth of its place in the tree; the root above all graph inputs has depth 0 and no name. */
interface Place {
  readonly name: string | undefined;
  readonly parent: Place | undefined;
  readonly depth: number;
}

export function dominatorsOf(graph: Graph): Dominators {
  const root: Place = { name: undefined, parent: undefined, depth: 0 };
  const places = new Map<string, Place>();
  const below = (parent: Place, name: string): void => void places.set(name, { name, parent, depth: parent.depth + 1 });
  const meet = (values: readonly string[]): Place | undefined =>
    values
      .flatMap((value) => places.get(value) ?? [])
      .reduce<Place | undefined>((met, place) => (met === undefined ? place : lastShared(met, place)), undefined);

  for (const { name } of graph.inputs) below(root, name);
  for (const node of graph.nodes) {
    const parent = isOfKind(node, 'source') ? undefined : meet(node.inputs);
    if (parent !== undefined) for (const output of node.outputs) below(parent, output);
  }
  return {
    isData: (value) => places.has(value),
    common: (values) => meet(values)?.name,
    dominates(over, value) {
      const above = places.get(over);
      const place = places.get(value);
      return above !== undefined && place !== undefined && lastShared(above, place) === above;
    },
  };
}

function lastShared(a: Place, b: Place): Place {
  let [one, other] = [a, b];
  while (one !== other) {
    if (one.depth >= other.depth) one = one.parent!;
    else other = other.parent!;
  }
  return one;
}
